"""What the environment (or ``.env``) says. Half a configuration is refused at start, with the variable's name."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from paywarden.kit.errors import ConfigurationError

_LEASE_MARGIN_SECONDS = 5
_MOST_API_PROCESSES = 8


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/paywarden")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "paywarden"


def _api_processes() -> int:
    """One on two cores, which PostgreSQL needs as well; else one for every second core."""
    return min(max(1, len(os.sched_getaffinity(0)) // 2), _MOST_API_PROCESSES)


def _unprefixed(name: str, default: Any = None) -> Any:
    """A variable other software names too; every other one starts with PAYWARDEN_."""
    return Field(default=default, validation_alias=AliasChoices(name, name.lower()))


class Settings(BaseSettings):
    """Typed configuration. An empty variable counts as unset. Use ``load``, whose errors name the variable."""

    model_config = SettingsConfigDict(
        env_prefix="PAYWARDEN_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    payment_api_url: str | None = _unprefixed("PAYMENT_API_URL")
    payment_api_key: SecretStr | None = _unprefixed("PAYMENT_API_KEY")
    payment_webhook_secret: SecretStr | None = _unprefixed("PAYMENT_WEBHOOK_SECRET")
    # Whether the provider also has the routes below /v1/payouts; the built-in sandbox has them.
    payment_api_payouts: bool = _unprefixed("PAYMENT_API_PAYOUTS", default=False)
    anthropic_api_key: SecretStr | None = _unprefixed("ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = _unprefixed("ANTHROPIC_BASE_URL")
    voyage_api_key: SecretStr | None = _unprefixed("VOYAGE_API_KEY")
    openai_api_key: SecretStr | None = _unprefixed("OPENAI_API_KEY")
    # Unset means the embedded server. Both may hold a password.
    database_url: SecretStr | None = _unprefixed("DATABASE_URL")
    owner_database_url: SecretStr | None = None

    data_dir: Path = Field(default_factory=_default_data_dir)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    environment: Literal["test", "live"] = "test"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    provider_timeout_seconds: float = Field(default=10, gt=0, le=120)
    lease_seconds: float = Field(default=15, gt=0)
    fetch_first_seconds: float = Field(default=5, gt=0)
    fetch_backoff_max_seconds: float = Field(default=30, gt=0)
    answer_timeout_seconds: float = Field(default=10, gt=0)
    poll_interval_milliseconds: int = Field(default=200, ge=10)
    idempotency_lease_seconds: float = Field(default=30, gt=0)
    sandbox_webhook_delay_seconds: float = Field(default=2, ge=0)
    # How long the asking process keeps a new payment to itself before a worker may pick it up.
    pickup_seconds: float = Field(default=1, ge=0)
    review_seconds: int = Field(default=86_400, ge=1)
    # A reviewer who claimed a review keeps others from it for so long; a heartbeat begins the time anew.
    review_lease_seconds: float = Field(default=60, ge=1, le=3600)
    # How often a payment asks for facts that its adviser misses; after that a person decides. 0: a person at once.
    facts_rounds: int = Field(default=3, ge=0, le=10)
    # How long it waits for them each time: customers answer in days. No answer is a no.
    facts_seconds: int = Field(default=3 * 86_400, ge=1)
    # A bare reservation that nobody settles gives its authority back after this long, unless it names its own time.
    reservation_seconds: int = Field(default=30 * 86_400, ge=1)
    adviser_timeout_seconds: float = Field(default=30, gt=0, le=45)
    # A Cedar file that replaces the shipped policies; see docs/policies.md.
    policy_file: Path | None = None
    # The model that is asked when ANTHROPIC_API_KEY is set; its thoughts count against the tokens.
    adviser_model: str = Field(default="claude-sonnet-5-5", pattern=r"^[A-Za-z0-9._:@/-]{1,100}$")
    adviser_max_tokens: int = Field(default=4096, ge=256, le=32_000)
    # How long it may think; "unset" for a model that has no such setting.
    adviser_effort: Literal["unset", "low", "medium", "high"] = "medium"
    # What advice may cost a tenant on a day (UTC), in US dollars; a person looks at the rest.
    adviser_budget_usd: Decimal = Field(default=Decimal(25), ge=0, le=1_000_000)
    # What turns notes into vectors; see docs/memory.md before you change it.
    embedder: Literal["default", "minilm", "voyage", "openai"] = "default"
    # Whether the first API process loads a local one beside its first work, or like the others when a text needs it.
    embedder_preload: bool = True
    # The rest about it is for the hosted ones only.
    embedder_model: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:@/-]{1,100}$")
    embedder_dimension: int = Field(default=1024, ge=64, le=2000)
    embedder_base_url: str | None = None
    # For one call with its repeats; after that a note is kept without a vector, which follows.
    embedder_timeout_seconds: float = Field(default=5, gt=0, le=10)
    # Nothing is sent again this close to the end of a provider's key window.
    key_window_margin_seconds: float = Field(default=300, ge=0)
    # A child of `paywarden up` that lived this long is started again at once when it dies, else ever more slowly.
    settled_seconds: float = Field(default=30, gt=0)
    # Set by `paywarden up` on its embedded default only: the quick-start routes answer without a key on loopback.
    keyless_quickstart: bool = False

    # How many processes of `paywarden up` answer HTTP; they share the port, and each of several is told which it is.
    api_processes: int = Field(default_factory=_api_processes, ge=1, le=_MOST_API_PROCESSES)
    api_process: int | None = Field(default=None, ge=1, le=_MOST_API_PROCESSES)

    pool_min: int = Field(default=2, ge=1)
    pool_max: int = Field(default=10, ge=1)
    pool_timeout_seconds: float = Field(default=5, gt=0)
    # Turn off behind PgBouncer in transaction mode.
    prepared_statements: bool = True

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment; ``given`` (by field name) wins over it.

        Raises ConfigurationError that names each variable and what is wrong, and never its value.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            problems = [_problem(each["loc"], each["msg"]) for each in error.errors()]
            raise ConfigurationError("; ".join(problems)) from None

    @property
    def migration_url(self) -> str:
        """Who migrates: PAYWARDEN_OWNER_DATABASE_URL, else DATABASE_URL."""
        url = self.owner_database_url or self.database_url
        if url is None:
            raise ConfigurationError("DATABASE_URL is not set")
        return url.get_secret_value()

    @property
    def service_url(self) -> str:
        """Who serves: DATABASE_URL."""
        if self.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set")
        return self.database_url.get_secret_value()

    @property
    def advice_lease_seconds(self) -> float:
        """How long whoever asks the adviser has the payment to itself; the request is embedded first."""
        return self.embedder_timeout_seconds + self.adviser_timeout_seconds + _LEASE_MARGIN_SECONDS

    @property
    def model_timeout_seconds(self) -> float:
        """How long the adviser waits for its model: a little less than is waited for the adviser itself."""
        return self.adviser_timeout_seconds * 0.95

    def secrets(self) -> list[str]:
        """Every secret value that is set, for the log's redaction."""
        held = (
            *(self.payment_api_key, self.payment_webhook_secret, self.database_url, self.owner_database_url),
            *(self.anthropic_api_key, self.voyage_api_key, self.openai_api_key),
        )
        return [secret.get_secret_value() for secret in held if secret is not None]

    @property
    def embedder_api_key(self) -> SecretStr | None:
        """The key of the hosted embedder; None for one that needs none."""
        return {"voyage": self.voyage_api_key, "openai": self.openai_api_key}.get(self.embedder)

    def secret(self, variable: str) -> str:
        """A webhook secret by the name of its variable. Raises ConfigurationError when it is not set."""
        if variable == "PAYMENT_WEBHOOK_SECRET" and self.payment_webhook_secret is not None:
            return self.payment_webhook_secret.get_secret_value()
        value = os.environ.get(variable)
        if not value or not variable.endswith("_SECRET"):
            raise ConfigurationError(f"{variable} is not set")
        return value

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if self.payment_api_url is not None:
            _require(self.payment_api_key, "PAYMENT_API_KEY", "PAYMENT_API_URL is set")
            _require(self.payment_webhook_secret, "PAYMENT_WEBHOOK_SECRET", "PAYMENT_API_URL is set")
        if self.environment == "live":
            _require(self.payment_api_url, "PAYMENT_API_URL", "PAYWARDEN_ENVIRONMENT is live")
        return self

    @model_validator(mode="after")
    def _database_is_whole(self) -> Self:
        if self.owner_database_url is not None:
            _require(self.database_url, "DATABASE_URL", "PAYWARDEN_OWNER_DATABASE_URL is set")
        if self.pool_max < self.pool_min:
            raise ValueError("PAYWARDEN_POOL_MAX must be at least PAYWARDEN_POOL_MIN")
        return self

    @model_validator(mode="after")
    def _embedder_is_whole(self) -> Self:
        because = f"PAYWARDEN_EMBEDDER is {self.embedder}"
        if self.embedder not in ("voyage", "openai"):
            for name in self.model_fields_set & {"embedder_model", "embedder_dimension", "embedder_base_url"}:
                raise ValueError(f"PAYWARDEN_{name.upper()} is for the embedders voyage and openai, but {because}")
            return self
        variable = f"{self.embedder.upper()}_API_KEY"
        _require(self.embedder_api_key, variable, because)
        if self.embedder_api_key is not None and not _fits_a_header(self.embedder_api_key.get_secret_value()):
            raise ValueError(f"{variable} must be printable ASCII without spaces")
        if self.embedder_base_url is not None and not _is_private_address(self.embedder_base_url):
            raise ValueError("PAYWARDEN_EMBEDDER_BASE_URL must be like https://host/v1; http only on this machine")
        return self

    @model_validator(mode="after")
    def _lease_covers_one_call(self) -> Self:
        margin_seconds = self.lease_seconds - self.provider_timeout_seconds
        if not 0 < margin_seconds <= _LEASE_MARGIN_SECONDS:
            raise ValueError(
                "PAYWARDEN_LEASE_SECONDS must be longer than PAYWARDEN_PROVIDER_TIMEOUT_SECONDS,"
                f" by at most {_LEASE_MARGIN_SECONDS} seconds"
            )
        return self


def _require(value: object, variable: str, because: str) -> None:
    if value is None:
        raise ValueError(f"{variable} must be set, because {because}")


def _fits_a_header(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def _is_private_address(url: str) -> bool:
    """Whether what is sent there can be read by nobody on the way."""
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        return False
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    return sound and (parts.scheme == "https" or (parts.scheme == "http" and loopback))


def _problem(location: tuple[int | str, ...], message: str) -> str:
    """One sentence about one problem; whole-model problems name their variables themselves."""
    sentence = message.removeprefix("Value error, ")
    if not location:
        return sentence
    name = str(location[0])
    return f"{name if name.isupper() else f'PAYWARDEN_{name.upper()}'}: {sentence}"
