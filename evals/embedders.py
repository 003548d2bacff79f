"""The embedders that can be measured, by name."""

from typing import Literal, get_args

from paywarden.app.embedders import embedder_of
from paywarden.memory.embedder import Embedder
from paywarden.memory.local_embedder import MiniLMEmbedder, UniversalSentenceEmbedder
from paywarden.settings import Settings

EmbedderName = Literal["default", "minilm", "voyage", "openai"]
EMBEDDERS: tuple[EmbedderName, ...] = get_args(EmbedderName)


def embedder_named(name: EmbedderName) -> Embedder:
    """The embedder, not yet loaded; for a hosted one the environment is read. Raises ConfigurationError."""
    if name == "default":
        return UniversalSentenceEmbedder()
    if name == "minilm":
        return MiniLMEmbedder()
    return embedder_of(Settings.load(embedder=name))
