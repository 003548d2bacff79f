"""What of the settings can be seen to be impossible before anything is loaded: light enough for every command."""

from urllib.parse import urlsplit

from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings


def check_embedder(settings: Settings) -> None:
    """Raises ConfigurationError when PAYWARDEN_EMBEDDER names weights that are not installed."""
    if settings.embedder == "minilm":
        from paywarden.memory.minilm import model_folder

        model_folder()


def require_provider(settings: Settings) -> tuple[str, str]:
    """Address and key of the provider. Raises ConfigurationError when they are not set."""
    if settings.payment_api_url is None or settings.payment_api_key is None:
        raise ConfigurationError(
            "PAYMENT_API_URL, PAYMENT_API_KEY and PAYMENT_WEBHOOK_SECRET must be set;"
            " to try things without a provider: paywarden up"
        )
    return settings.payment_api_url, settings.payment_api_key.get_secret_value()


def check_provider_address(settings: Settings) -> None:
    """Raises ConfigurationError when PAYMENT_API_URL is set and no address of a web service; it may hold a secret."""
    url = settings.payment_api_url
    if url is not None and not _is_web_address(url):
        raise ConfigurationError("PAYMENT_API_URL is not an address like https://api.example.com")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
