"""Import of notes in batches: what was added, what was there, and every line that was refused."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from paywarden.cli.note_files import NoteLine, Refusal
from paywarden.client import Paywarden, PaywardenApiError, PaywardenUnreachableError

BATCH_NOTES = 200
# The service reads 256 KiB at most.
_BATCH_BYTES = 200_000
# Whoever has more wrong lines than that has the wrong file; the list of them is kept in memory.
MAX_REFUSED = 10_000
_PLACE = re.compile(r"notes\.([0-9]{1,3})(?:\.([a-z_]+).*)?", re.ASCII)


@dataclass(slots=True)
class Report:
    """What became of the lines so far. ``stopped_at_line`` is set when too many were refused to go on."""

    added: int = 0
    already_there: int = 0
    refused: list[Refusal] = field(default_factory=list)
    stopped_at_line: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "object": "note_import_report",
            "added": self.added,
            "already_there": self.already_there,
            "refused": [
                {"line": refusal.number, "field": refusal.field, "problem": refusal.problem}
                for refusal in sorted(self.refused, key=lambda refusal: refusal.number)
            ],
            "stopped_at_line": self.stopped_at_line,
        }


def import_lines(desk: Paywarden, found: Iterator[NoteLine | Refusal], report: Report) -> Iterator[int]:
    """Send every note that was found; after each batch the number of its last line, with ``report`` up to there.

    Raises PaywardenApiError and PaywardenUnreachableError, saying how far it came; a later import adds nothing twice.
    """
    for batch in _batches(_not_refused(found, report)):
        try:
            yield _send(desk, batch, report)
        except (PaywardenApiError, PaywardenUnreachableError) as error:
            error.detail = (
                f"{error.detail} {report.added} notes were added and {report.already_there} were there up to line"
                f" {batch[0].number - 1}; run the same command again to go on, nothing is added twice."
            )
            raise


def _not_refused(found: Iterator[NoteLine | Refusal], report: Report) -> Iterator[NoteLine]:
    for line in found:
        if isinstance(line, NoteLine):
            yield line
            continue
        report.refused.append(line)
        if len(report.refused) >= MAX_REFUSED:
            report.stopped_at_line = line.number
            return


def _batches(lines: Iterator[NoteLine]) -> Iterator[list[NoteLine]]:
    """As many notes at once as the service takes."""
    batch: list[NoteLine] = []
    size_bytes = 0
    for line in lines:
        line_bytes = len(json.dumps(line.note, ensure_ascii=False).encode())
        if batch and (len(batch) == BATCH_NOTES or size_bytes + line_bytes > _BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(line)
        size_bytes += line_bytes
    if batch:
        yield batch


def _send(desk: Paywarden, batch: list[NoteLine], report: Report) -> int:
    """Keep a batch; a note that the service refuses is reported and left out, and the others are sent again."""
    last = batch[-1].number
    while batch:
        try:
            told = desk.import_notes([line.note for line in batch])
        except PaywardenApiError as error:
            place = _PLACE.fullmatch(error.param or "")
            if error.code != "invalid_field" or place is None:
                raise
            refused = batch.pop(int(place.group(1)))
            problem = error.detail.removeprefix(f"{error.param} ")
            report.refused.append(Refusal(refused.number, place.group(2), problem))
            continue
        report.added += told["added"]
        report.already_there += told["already_there"]
        break
    return last
