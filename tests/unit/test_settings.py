"""Settings: what is read from where, and half a configuration is refused with the variable's name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings

URL = {"PAYMENT_API_URL": "http://127.0.0.1:9"}
KEY = {"PAYMENT_API_KEY": "canary-key"}
SECRET = {"PAYMENT_WEBHOOK_SECRET": "canary-secret"}
DATABASE = {"DATABASE_URL": "postgresql://service:canary-password@db/paywarden"}
OWNER = {"PAYWARDEN_OWNER_DATABASE_URL": "postgresql://owner:canary-password@db/paywarden"}

Load = Callable[[dict[str, str]], Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Settings from exactly these variables, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("PAYWARDEN_", "PAYMENT_", "DATABASE_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)

    def run(variables: dict[str, str]) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings.load()

    return run


def test_nothing_set_is_the_laptop_with_the_sandbox(load: Load) -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.environment) == ("127.0.0.1", 8000, "test")
    assert settings.payment_api_url is settings.database_url is settings.anthropic_api_key is None


def test_a_whole_configuration_is_read(load: Load) -> None:
    settings = load({**URL, **KEY, **SECRET, **DATABASE, **OWNER, "PAYWARDEN_PORT": "8123"})
    assert settings.port == 8123
    assert settings.payment_api_key is not None
    assert settings.payment_api_key.get_secret_value() == "canary-key"
    assert settings.service_url == DATABASE["DATABASE_URL"]
    assert settings.migration_url == OWNER["PAYWARDEN_OWNER_DATABASE_URL"]


def test_the_service_migrates_when_no_owner_is_named(load: Load) -> None:
    assert load(DATABASE).migration_url == DATABASE["DATABASE_URL"]


def test_the_env_file_is_read_and_the_environment_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PAYWARDEN_PORT=8001\nPAYWARDEN_LOG_LEVEL=debug\nUNRELATED=1\n")
    settings = load({"PAYWARDEN_PORT": "8002"})
    assert (settings.port, settings.log_level) == (8002, "debug")


def test_an_empty_variable_is_unset(load: Load) -> None:
    settings = load({"PAYMENT_API_URL": "", "ANTHROPIC_API_KEY": "", "DATABASE_URL": "", "PAYWARDEN_PORT": ""})
    assert settings.payment_api_url is settings.anthropic_api_key is settings.database_url is None
    assert settings.port == 8000


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({**URL, **SECRET}, "PAYMENT_API_KEY must be set, because PAYMENT_API_URL is set"),
        ({**URL, **KEY}, "PAYMENT_WEBHOOK_SECRET must be set"),
        ({"PAYWARDEN_ENVIRONMENT": "live"}, "PAYMENT_API_URL must be set, because PAYWARDEN_ENVIRONMENT is live"),
        (OWNER, "DATABASE_URL must be set"),
        ({"PAYWARDEN_LEASE_SECONDS": "10"}, "PAYWARDEN_LEASE_SECONDS must be longer"),
        ({"PAYWARDEN_LEASE_SECONDS": "15.1"}, "by at most 5 seconds"),
        ({"PAYWARDEN_PROVIDER_TIMEOUT_SECONDS": "15"}, "PAYWARDEN_PROVIDER_TIMEOUT_SECONDS"),
        ({"PAYWARDEN_POOL_MIN": "11"}, "PAYWARDEN_POOL_MAX must be at least"),
        ({"PAYWARDEN_PORT": "99999"}, "PAYWARDEN_PORT: "),
        ({"PAYWARDEN_ENVIRONMENT": "staging"}, "PAYWARDEN_ENVIRONMENT: "),
    ],
)
def test_half_a_configuration_is_refused_by_name(load: Load, variables: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        load(variables)


@pytest.mark.parametrize("broken", [{**URL, **KEY}, {**DATABASE, **OWNER, "PAYWARDEN_PORT": "canary-port"}])
def test_no_error_and_no_representation_shows_a_value(load: Load, broken: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(broken)
    assert "canary" not in str(caught.value)
    whole = load({**URL, **KEY, **SECRET, **DATABASE, **OWNER, "PAYWARDEN_PORT": "8000"})
    assert "canary" not in repr(whole)


@pytest.mark.parametrize(
    ("root", "data_home", "expected"),
    [
        (True, "/elsewhere", "/var/lib/paywarden"),
        (False, "/elsewhere", "/elsewhere/paywarden"),
        (False, "", "/home/ada/.local/share/paywarden"),
    ],
)
def test_where_the_data_lives(
    load: Load, monkeypatch: pytest.MonkeyPatch, root: bool, data_home: str, expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    settings = load({"HOME": "/home/ada", "XDG_DATA_HOME": data_home})
    assert settings.data_dir == Path(expected)


def test_given_values_win_and_the_rest_is_unchanged(load: Load) -> None:
    load({"PAYWARDEN_PORT": "8001"})
    given: dict[str, Any] = {"port": 8002, "database_url": "postgresql://other@db/x"}
    settings = Settings.load(**given)
    assert (settings.port, settings.service_url) == (8002, "postgresql://other@db/x")
