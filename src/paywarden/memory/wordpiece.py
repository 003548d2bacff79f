"""Texts to the word pieces of a BERT vocabulary, as the models of its family were trained on (uncased)."""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

_LONGEST_WORD_CHARACTERS = 100
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs"})
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class WordPieces:
    """The vocabulary: a piece is known by its line. What a text says is never taken for a mark like ``[SEP]``."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._start, self._end, self._unknown = (self._numbers[mark] for mark in ("[CLS]", "[SEP]", "[UNK]"))

    def numbers(self, text: str, most: int) -> list[int]:
        """The numbers of the text's pieces between the marks of beginning and end; at most ``most`` of them."""
        found = [self._start]
        for word in _words(text):
            found += self._pieces(word)
            if len(found) >= most:
                break
        return [*found[: most - 1], self._end]

    def _pieces(self, word: str) -> list[int]:
        """The longest known beginning, then the longest known continuation, to the end; else one unknown piece."""
        if len(word) > _LONGEST_WORD_CHARACTERS:
            return [self._unknown]
        pieces, start = [], 0
        while start < len(word):
            number, start = self._longest(word, start)
            if number is None:
                return [self._unknown]
            pieces.append(number)
        return pieces

    def _longest(self, word: str, start: int) -> tuple[int | None, int]:
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            number = self._numbers.get(prefix + word[start:end])
            if number is not None:
                return number, end
        return None, start


def _words(text: str) -> Iterator[str]:
    """Lower-case words without accents; punctuation and ideographs stand alone."""
    spaced = "".join(map(_plain, text))
    bare = (character for character in unicodedata.normalize("NFD", spaced) if unicodedata.category(character) != "Mn")
    return iter("".join(map(_apart, bare)).split())


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character in "\t\n\r" or character.isspace():
        return " "
    if character == "\ufffd" or unicodedata.category(character) in _INVISIBLE:
        return ""
    if any(first <= ord(character) <= last for first, last in _IDEOGRAPHS):
        return f" {character} "
    return character


@lru_cache(maxsize=4096)
def _apart(character: str) -> str:
    if character in _ASCII_PUNCTUATION or unicodedata.category(character).startswith("P"):
        return f" {character} "
    return character.lower()
