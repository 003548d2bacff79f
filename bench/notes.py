"""Notes: keeping one."""

from bench.case import ServiceCase
from bench.figures import Sample, Tally
from bench.seed_notes import Notes, seed
from bench.server import number
from bench.service import Service
from bench.world import World

_NOTES, _NOTES_FULL = Notes(200_000, 20_000), Notes(1_000_000, 20_000)
_COUNT = "select count(*) from paywarden.notes"


def many_notes(world: World) -> Service:
    """The service on 200,000 notes, or with FULL=1 on a million."""
    wanted = _NOTES_FULL if world.full else _NOTES
    return world.service("notes", lambda service: seed(service.superuser_url, wanted))


class NoteInsert(ServiceCase):
    """One note a request, each with another text, into a database that has 200,000 already."""

    def prepare(self, world: World) -> None:
        self.service = many_notes(world)

    def measure(self, seconds: int) -> Sample:
        before = number(self.service.superuser_url, _COUNT)
        reading = self.press("notes", seconds, connections=16)
        stored = number(self.service.superuser_url, _COUNT) - before
        tally = Tally("notes", reading.acknowledged, stored, 16)
        broken = tuple(filter(None, [tally.broken()])) + reading.broken()
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, broken, self.memory())
