"""The settings of the embedder: whole, or refused at start with the variable's name and without its value."""

from pathlib import Path

import pytest

from paywarden.app.early_checks import check_embedder
from paywarden.app.embedders import embedder_of
from paywarden.kit.errors import ConfigurationError
from paywarden.memory import minilm
from paywarden.settings import Settings

NAMES = [
    "VOYAGE_API_KEY", "OPENAI_API_KEY", "PAYWARDEN_EMBEDDER", "PAYWARDEN_EMBEDDER_MODEL",
    "PAYWARDEN_EMBEDDER_DIMENSION", "PAYWARDEN_EMBEDDER_BASE_URL", "PAYWARDEN_EMBEDDER_TIMEOUT_SECONDS",
]  # fmt: skip
VOYAGE = {"PAYWARDEN_EMBEDDER": "voyage", "VOYAGE_API_KEY": "pa-canary"}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.parametrize(
    ("given", "embedder_id", "dimension"),
    [
        ({}, "use-multilingual-3", 512),
        ({"VOYAGE_API_KEY": "not used", "OPENAI_API_KEY": "nor this"}, "use-multilingual-3", 512),
        ({"PAYWARDEN_EMBEDDER": "minilm"}, "all-minilm-l6-v2", 384),
        (VOYAGE, "voyage:voyage-4:1024", 1024),
        (VOYAGE | {"PAYWARDEN_EMBEDDER_MODEL": "voyage-4-lite", "PAYWARDEN_EMBEDDER_DIMENSION": "512"},
         "voyage:voyage-4-lite:512", 512),
        ({"PAYWARDEN_EMBEDDER": "openai", "OPENAI_API_KEY": "sk-canary"}, "openai:text-embedding-3-small:1024", 1024),
    ],
)  # fmt: skip
async def test_each_embedder(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], embedder_id: str, dimension: int
) -> None:
    settings = loaded(monkeypatch, **given)
    check_embedder(settings)
    embedder = embedder_of(settings)
    assert (embedder.id, embedder.dimension) == (embedder_id, dimension)
    await embedder.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"PAYWARDEN_EMBEDDER": "bert"}, "PAYWARDEN_EMBEDDER"),
        ({"PAYWARDEN_EMBEDDER": "voyage", "OPENAI_API_KEY": "sk-canary"}, "VOYAGE_API_KEY must be set"),
        ({"PAYWARDEN_EMBEDDER": "openai", "VOYAGE_API_KEY": "pa-canary"}, "OPENAI_API_KEY must be set"),
        ({"PAYWARDEN_EMBEDDER_MODEL": "voyage-4"}, "PAYWARDEN_EMBEDDER_MODEL is for the embedders voyage and openai"),
        ({"PAYWARDEN_EMBEDDER": "minilm", "PAYWARDEN_EMBEDDER_DIMENSION": "512"}, "DIMENSION is for"),
        (VOYAGE | {"PAYWARDEN_EMBEDDER_DIMENSION": "2001"}, "PAYWARDEN_EMBEDDER_DIMENSION"),
        (VOYAGE | {"PAYWARDEN_EMBEDDER_MODEL": "a b"}, "PAYWARDEN_EMBEDDER_MODEL"),
        (VOYAGE | {"PAYWARDEN_EMBEDDER_TIMEOUT_SECONDS": "11"}, "PAYWARDEN_EMBEDDER_TIMEOUT_SECONDS"),
        (VOYAGE | {"VOYAGE_API_KEY": "pa canary"}, "VOYAGE_API_KEY must be printable ASCII"),
        (VOYAGE | {"VOYAGE_API_KEY": "pa-cänary"}, "VOYAGE_API_KEY must be printable ASCII"),
    ],
)  # fmt: skip
def test_half_a_configuration_is_refused(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        loaded(monkeypatch, **given)
    assert "canary" not in caught.value.detail


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.example.com/v1", True), ("http://127.0.0.1:8080/v1", True), ("http://localhost/v1", True),
        ("http://[::1]:1/v1", True), ("http://api.example.com/v1", False), ("http://127.0.0.1.example.com/v1", False),
        ("ftp://127.0.0.1/v1", False), ("https://user:canary@api.example.com", False), ("https:///v1", False),
        ("https://api.example.com/v1?key=canary", False), ("https://[::1", False), ("api.example.com", False),
        ("https://api.example.com:0/", False), ("https://api.example.com/#x", False),
    ],
)  # fmt: skip
def test_what_is_sent_can_be_read_by_nobody_on_the_way(
    monkeypatch: pytest.MonkeyPatch, url: str, allowed: bool
) -> None:
    given = VOYAGE | {"PAYWARDEN_EMBEDDER_BASE_URL": url}
    if allowed:
        assert loaded(monkeypatch, **given).embedder_base_url == url
        return
    with pytest.raises(ConfigurationError, match="PAYWARDEN_EMBEDDER_BASE_URL") as caught:
        loaded(monkeypatch, **given)
    assert "canary" not in caught.value.detail


def test_keys_are_among_the_secrets_that_the_log_redacts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"pa-canary", "sk-canary"} <= set(loaded(monkeypatch, **VOYAGE, OPENAI_API_KEY="sk-canary").secrets())


def test_weights_that_are_not_installed_are_told_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigurationError, match="run: make minilm"):
        check_embedder(loaded(monkeypatch, PAYWARDEN_EMBEDDER="minilm"))
