"""all-MiniLM-L6-v2 in numpy: the pieces and the vectors that its authors' own programs give, and what it finds."""

import asyncio
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from evals import messages, retrieval
from evals.vectors import Vectors

from paywarden.memory.local_embedder import MiniLMEmbedder
from paywarden.memory.minilm import model_folder
from paywarden.memory.wordpiece import WordPieces

pytestmark = pytest.mark.timeout(180)

# By the library `tokenizers` 0.23.3, which gives the same for all 13,083 messages of Banking77.
PIECES = {
    "I was charged twice!": [1045, 2001, 5338, 3807, 999],
    "unbelievably tokenized": [4895, 8671, 2666, 3567, 6321, 19204, 3550],
    "it's 3.50€—ok…": [2009, 1005, 1055, 1017, 1012, 2753, 30102, 1517, 7929, 1529],
    "¿Qué?": [1094, 10861, 1029],
    "a\u0301b İstanbul ﬁ": [11113, 9960, 1984],
    "日本語 返金 😀": [1864, 1876, 1950, 100, 1964, 100],
    "a\u200bb\ufeff \ttab": [11113, 21628],
    "ß ΣΑΣ": [1096, 1173, 14608, 29733],
    "x" * 101 + " y": [100, 1061],
    "\ufffd\x00": [],
}
# The beginning of what the model's card shows for these two sentences.
CARD = {
    "This is an example sentence": [0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374480],
    "Each sentence is converted": [0.0864386, 0.1027627, 0.0053945, 0.0020444, -0.0099633],
}


@pytest.fixture(scope="module")
def embedder() -> Iterator[MiniLMEmbedder]:
    made = MiniLMEmbedder()
    asyncio.run(made.preload())
    yield made
    asyncio.run(made.close())


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces((model_folder() / "vocab.txt").read_text("utf-8").splitlines())


@pytest.mark.parametrize("text", PIECES, ids=ascii)
def test_a_text_is_cut_into_the_pieces_that_the_model_has_learnt(pieces: WordPieces, text: str) -> None:
    assert pieces.numbers(text, 256) == [101, *PIECES[text], 102]


def test_no_text_can_pretend_to_be_a_mark(pieces: WordPieces) -> None:
    assert pieces.numbers("[SEP] [CLS]", 256)[1:-1].count(102) == 0
    long = pieces.numbers("word " * 1_000, 256)
    assert (len(long), long[0], long[-1]) == (256, 101, 102)


async def test_the_vectors_are_those_of_the_model_s_card(embedder: MiniLMEmbedder) -> None:
    vectors = await embedder.embed(list(CARD), "note")
    for vector, (_, begins) in zip(vectors, CARD.items(), strict=True):
        assert np.allclose(vector[:5], begins, atol=2e-6)
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


async def test_what_stands_beside_a_text_does_not_change_its_vector(embedder: MiniLMEmbedder) -> None:
    """Texts of many lengths are computed together; what fills the shorter ones up must not count."""
    texts = [("a refund of the order " * count).strip() for count in (1, 2, 30, 3, 80, 1)]
    together = await embedder.embed(texts, "note")
    alone = MiniLMEmbedder()
    for text, vector in zip(texts, together, strict=True):
        assert np.allclose((await alone.embed([text], "query"))[0], vector, atol=1e-5)
    await alone.close()


@pytest.mark.parametrize("text", ["日本語", "😀", "\u200b", "!", "\u0301", "x" * 20_000, "word " * 400])
async def test_every_text_has_a_unit_vector(embedder: MiniLMEmbedder, text: str) -> None:
    (vector,) = await embedder.embed([text], "note")
    assert (vector.shape, vector.dtype) == ((embedder.dimension,), np.float32)
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


async def test_it_finds_the_right_intent_without_torch(embedder: MiniLMEmbedder) -> None:
    """A twelfth of the training part, asked with a twentieth of the test part; `make evals` asks with all of it."""
    corpus, asked = messages.load()[::12], messages.published_test()[::20]
    found = await retrieval.measure(asked, corpus, Vectors(embedder), embedder.id)
    print(f"MiniLM: hit@1 {found.hit_at_1:.3f} of {found.queries} among {found.corpus}")
    assert found.hit_at_1 > 0.78
    assert "torch" not in sys.modules
