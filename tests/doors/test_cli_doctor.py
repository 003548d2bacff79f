"""What the doctor says of a configured database: it goes and looks, and shows no password."""

import json
from pathlib import Path

import psycopg
import pytest

from paywarden.cli import findings
from paywarden.cli.findings import Finding
from paywarden.settings import Settings
from tests.conftest import MIGRATOR, Database, create_empty_database

PASSWORD = "hunter2secret"
DATABASE_FINDINGS = {"Database", "pgvector", "Database login", "Migrations"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYWARDEN_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def examined(monkeypatch: pytest.MonkeyPatch, address: str, **more: str) -> dict[str, Finding]:
    for name, value in {"DATABASE_URL": address, **more}.items():
        monkeypatch.setenv(name, value)
    found = findings.examine("http://127.0.0.1:9", None)
    assert PASSWORD not in json.dumps([finding.as_json() for finding in found])
    return {finding.what: finding for finding in found}


def test_a_database_that_is_fit(data: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    found = examined(monkeypatch, database.service_url)
    assert {what for what in DATABASE_FINDINGS if found[what].result == "ok"} == DATABASE_FINDINGS
    assert ", version 18." in found["Database"].found
    assert found["Embedded PostgreSQL"].found == "not used: DATABASE_URL is set"


def test_a_database_that_was_never_migrated(data: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    name = f"{database.name}_bare"
    create_empty_database(database.server, name)
    try:
        database.server.administer("drop extension vector", database=name)
        found = examined(monkeypatch, database.server.url(MIGRATOR, name))
    finally:
        database.server.administer(f"drop database {name} with (force)")
    assert found["Database"].result == "ok"
    assert (found["pgvector"].result, found["pgvector"].found) == ("broken", "not in this database")
    assert "paywarden migrate" in str(found["Migrations"].remedy)
    assert found["Migrations"].result == "broken"


def test_a_database_at_another_revision(data: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("update alembic.alembic_version set version_num = '0001'")
    found = examined(monkeypatch, database.service_url)
    assert found["Migrations"].result == "broken"
    assert found["Database login"].result == "ok"


def test_a_login_that_may_not_serve(data: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    address = database.service_url.partition("@")[2]
    database.server.administer(f"create role stranger login password '{PASSWORD}'")
    try:
        found = examined(monkeypatch, f"postgresql://stranger:{PASSWORD}@{address}")
        wrong = examined(monkeypatch, f"postgresql://stranger:{PASSWORD}-wrong@{address}")
    finally:
        database.server.administer("drop role stranger")
    assert (found["Database login"].result, found["Migrations"].result) == ("broken", "broken")
    assert "paywarden_app" in found["Database login"].found
    assert wrong["Database"].result == "broken"
    assert "password authentication failed" in wrong["Database"].found


@pytest.mark.parametrize("address", [f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", f"mysql://u:{PASSWORD}@db/x"])
def test_a_database_that_cannot_be_reached_or_meant(data: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    found = examined(monkeypatch, address, PAYWARDEN_OWNER_DATABASE_URL=address)
    assert found["Database"].result == found["Owner's database"].result == "broken"
    assert ("Connection refused" in found["Database"].found) == address.startswith("postgresql")


def test_the_embedded_service_is_not_taken_for_the_configured_one(
    data: Path, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    line = {"url": "http://127.0.0.1:8000", "database_url": database.quickstart_url}
    (data / "ready.json").write_text(json.dumps(line))
    monkeypatch.setenv("DATABASE_URL", database.service_url)
    found = findings._ready(line["url"], None, Settings.load())
    assert found.result == "broken"
    assert "embedded database, not on DATABASE_URL" in found.found
    (data / "ready.json").write_text(json.dumps({**line, "database_url": None}))
    assert findings._ready(line["url"], None, Settings.load()).result == "ok"
