"""Every case by its name, in the order in which a round takes them. The names are a promise."""

from collections.abc import Callable, Mapping

from bench.case import Case
from bench.notes import NoteInsert
from bench.yardstick import TpcB

CASES: Mapping[str, Callable[[], Case]] = {
    "tpcb": TpcB,
    "note_insert": NoteInsert,
}
