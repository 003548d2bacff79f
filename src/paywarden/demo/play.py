"""The demo: three stories at the same time, then one look at the books over everything.

Everything goes through HTTP, with an agent's own key where an agent would act. Ids are made for each run, so that a
second run never meets the first one's keys.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from paywarden.client import AsyncPaywarden
from paywarden.demo.billing import billing
from paywarden.demo.cases import DEFAULT_COUNT
from paywarden.demo.checkout import BOOKS, checkout
from paywarden.demo.report import Report, Story
from paywarden.demo.stage import Progress, Stage, hired
from paywarden.demo.support import support
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339, utc_now


async def play(url: str, admin_key: str, progress: Progress, count: int = DEFAULT_COUNT) -> Report:
    """Play the stories, that of the support desk with ``count`` messages.

    Raises PaywardenApiError, PaywardenUnreachableError.
    """
    began = time.monotonic()
    async with AsyncPaywarden(url, admin_key) as admin:
        stage = Stage(ids.new_uuid().hex[-8:], admin, url, rfc3339(utc_now()), progress)
        stories = await _all_stories(stage, count)
        async with hired(stage, BOOKS, []) as books:
            compared = dict(await books.reconcile(since=stage.started_at))
        return Report(stage.run, time.monotonic() - began, stories, compared, await _dossier(admin, stories))


async def _all_stories(stage: Stage, count: int) -> list[Story]:
    """All at once; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(story) for story in (support(stage, count), billing(stage), checkout(stage))]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


async def _dossier(admin: AsyncPaywarden, stories: Sequence[Story]) -> Mapping[str, Any] | None:
    """The one to read: an invoice that was collected past a hostile note; else an advised refund."""
    told = [story.told for story in reversed(stories) if story.told is not None]
    return await admin.get_dossier(told[0]) if told else None
