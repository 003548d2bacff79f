"""The embedder that the settings name."""

from paywarden.kit.errors import ConfigurationError
from paywarden.memory.embedder import Embedder
from paywarden.settings import Settings


def embedder_of(settings: Settings) -> Embedder:
    """The embedder of PAYWARDEN_EMBEDDER, not yet loaded. Raises ConfigurationError when it is not to be had."""
    from paywarden.memory.local_embedder import MiniLMEmbedder, UniversalSentenceEmbedder

    match settings.embedder:
        case "default":
            return UniversalSentenceEmbedder()
        case "minilm":
            return MiniLMEmbedder()
        case "voyage" | "openai":
            return _hosted(settings)


def _hosted(settings: Settings) -> Embedder:
    from paywarden.memory.hosted_embedder import HostedEmbedder, openai, voyage

    key = settings.embedder_api_key
    if key is None:
        raise ConfigurationError(f"{settings.embedder.upper()}_API_KEY is not set")
    return HostedEmbedder(
        voyage() if settings.embedder == "voyage" else openai(),
        key.get_secret_value(),
        model=settings.embedder_model,
        dimension=settings.embedder_dimension,
        base_url=settings.embedder_base_url,
        timeout_seconds=settings.embedder_timeout_seconds,
    )
