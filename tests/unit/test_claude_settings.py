"""The settings of the adviser's model."""

from pathlib import Path

import pytest

from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL", "MAX_TOKENS", "EFFORT", "TIMEOUT_SECONDS"):
        monkeypatch.delenv(f"PAYWARDEN_ADVISER_{name}", raising=False)


def test_the_defaults() -> None:
    settings = Settings.load()
    assert (settings.adviser_model, settings.adviser_max_tokens, settings.adviser_effort) == (
        "claude-sonnet-5-5",
        4096,
        "medium",
    )


@pytest.mark.parametrize("timeout_seconds", ["0.5", "30", "45"])
def test_the_model_has_less_time_than_the_adviser(timeout_seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYWARDEN_ADVISER_TIMEOUT_SECONDS", timeout_seconds)
    settings = Settings.load()
    assert 0.9 * settings.adviser_timeout_seconds < settings.model_timeout_seconds < settings.adviser_timeout_seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL", "two words"),
        ("MODEL", "m\n"),
        ("MODEL", "m" * 101),
        ("MAX_TOKENS", "0"),
        ("MAX_TOKENS", "255"),
        ("MAX_TOKENS", "32001"),
        ("MAX_TOKENS", "many"),
        ("EFFORT", "enormous"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PAYWARDEN_ADVISER_{name}", value)
    with pytest.raises(ConfigurationError, match=f"PAYWARDEN_ADVISER_{name}"):
        Settings.load()
