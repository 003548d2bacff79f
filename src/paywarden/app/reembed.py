"""``paywarden memory reembed``: the job that lets an embedder read a tenant's notes, and what it shows."""

import json
import sys

from paywarden.app.database import service_url
from paywarden.app.embedders import embedder_of
from paywarden.cli.progress import Tell, shown_progress
from paywarden.db.pool import open_pool
from paywarden.flow.embedding import Progress, read_all
from paywarden.settings import Settings


async def shown(settings: Settings, tenant: str, patience_seconds: int, as_json: bool) -> bool:
    """Read, with the progress on standard error and the outcome on standard output. Whether all notes were read.

    Raises what the job raises.
    """
    with shown_progress(sys.stderr) as tell:
        done = await _read(settings, tenant, patience_seconds, tell)
    if as_json:
        outcome = {"object": "reembedding", "embedder": done.embedder, "read": done.read, "refused": done.refused}
        print(json.dumps(outcome, indent=2))
        return not done.refused
    print(f"{done.embedder} has read {done.read} notes" + ("" if done.due else ": it had read all of them before"))
    if done.refused:
        print(f"It refuses {done.refused}: they have no vector, and people judge their customers' refunds.")
    return not done.refused


async def _read(settings: Settings, tenant: str, patience_seconds: int, tell: Tell) -> Progress:
    embedder = embedder_of(settings)
    try:
        async with open_pool(service_url(settings), settings) as pool:
            progress = Progress(embedder.id, 0, 0, 0)
            waiting = None
            async for progress in read_all(pool, embedder, tenant, patience_seconds):
                if progress.waits_for not in (None, waiting):
                    print(f"{progress.waits_for} Waiting for it.", file=sys.stderr)
                waiting = progress.waits_for
                tell(f"notes of {tenant}", progress.read + progress.refused, progress.due)
            return progress
    finally:
        await embedder.close()
