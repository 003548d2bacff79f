"""Where the database is: DATABASE_URL, else the embedded server of the data folder."""

from paywarden.db.address import check_address, try_address
from paywarden.db.embedded import SERVICE, EmbeddedServer
from paywarden.settings import Settings


def service_url(settings: Settings) -> str:
    """How the service logs in. Raises ConfigurationError when nothing is configured and no embedded server runs."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return EmbeddedServer(settings.data_dir).connection_url(SERVICE)


def check_addresses(settings: Settings) -> None:
    """Raises ConfigurationError when a variable that names a database cannot mean one."""
    for variable, address in _addresses(settings).items():
        check_address(variable, address)


def try_addresses(settings: Settings) -> None:
    """Raises ConfigurationError when a configured database does not let us in."""
    for variable, address in _addresses(settings).items():
        try_address(variable, address)


def try_owner_address(settings: Settings) -> None:
    """Raises ConfigurationError when whoever migrates is not let in; the service's login may not exist yet."""
    owner = settings.owner_database_url is not None
    try_address("PAYWARDEN_OWNER_DATABASE_URL" if owner else "DATABASE_URL", settings.migration_url)


def _addresses(settings: Settings) -> dict[str, str]:
    given = {"DATABASE_URL": settings.database_url, "PAYWARDEN_OWNER_DATABASE_URL": settings.owner_database_url}
    return {variable: secret.get_secret_value() for variable, secret in given.items() if secret is not None}
