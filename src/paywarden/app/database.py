"""Where the database is: DATABASE_URL, else the embedded server of the data folder."""

from paywarden.db.embedded import SERVICE, EmbeddedServer
from paywarden.settings import Settings


def service_url(settings: Settings) -> str:
    """How the service logs in. Raises ConfigurationError when nothing is configured and no embedded server runs."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return EmbeddedServer(settings.data_dir).connection_url(SERVICE)
