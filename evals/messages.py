"""The messages: Banking77, every one of them once, in the order of its files: intent after intent."""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

SEED = "paywarden evals 1"
HELD_OUT = 500
HELD_OUT_ONE_IN = 20
_DATA = Path(__file__).parent / "data"
_DEMO = files("paywarden.demo") / "banking77_sample.csv"


@dataclass(frozen=True, slots=True)
class Message:
    """What a customer wrote, and the intent that Banking77's annotators gave it."""

    text: str
    intent: str


def load() -> list[Message]:
    """Every message of the training part, the first of those that are repeated word for word."""
    first: dict[str, Message] = {}
    for message in _read((_DATA / "banking77_train.csv").read_text("utf-8")):
        first.setdefault(message.text, message)
    return list(first.values())


def published_test() -> list[Message]:
    """The test part as it was published: what others measure with, too."""
    return _read((_DATA / "banking77_test.csv").read_text("utf-8"))


def shuffled(messages: Iterable[Message]) -> list[Message]:
    """The messages in an order that only the seed and their words decide."""
    return sorted(messages, key=lambda message: drawn(message.text))


def split(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Every 20th until there are 500, so that each intent has its share; and all the others."""
    numbers = set(range(0, HELD_OUT * HELD_OUT_ONE_IN, HELD_OUT_ONE_IN))
    held_out = [message for number, message in enumerate(messages) if number in numbers]
    return held_out, [message for number, message in enumerate(messages) if number not in numbers]


def unseen(messages: Iterable[Message]) -> list[Message]:
    """Those that are not in the demo's sample: the rules adviser's words were chosen with that in view."""
    seen = {message.text for message in _read(_DEMO.read_text("utf-8"))}
    return [message for message in messages if message.text not in seen]


def drawn(*words: object) -> int:
    """A number of 256 bits that follows from the seed and these words alone."""
    return int.from_bytes(hashlib.sha256("\0".join([SEED, *map(str, words)]).encode()).digest())


def _read(text: str) -> list[Message]:
    return [Message(row["text"], row["category"]) for row in csv.DictReader(text.splitlines(keepends=True))]
