"""Notes and an embedder that does not answer: nothing is lost, nothing is proven by what could not be looked at."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from paywarden.decisions import checks
from paywarden.decisions.advice import Advice, Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.flow import advise, decision, embedding, knowledge, note_import
from paywarden.flow.desk import Desk
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit.errors import EmbedderUnavailableError, NotFoundError
from paywarden.memory import notes
from paywarden.memory.hosted_embedder import HostedEmbedder, openai
from paywarden.memory.notes import NewNote, Recalled
from tests.contract.embeddings_api import KEY, good
from tests.contract.messages_api import MessagesApi, Scripted, messages_api
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

DOWN = Scripted(503, b"{}", (("Retry-After", "60"),))
REFUSED = Scripted(400, b"{}")


@dataclass
class Hosted:
    """A world whose notes are read by a hosted embedder, which can be told to answer otherwise."""

    world: World
    api: MessagesApi
    desk: Desk

    def answers(self, with_down: bool) -> None:
        self.api.otherwise = (lambda _: DOWN) if with_down else good

    async def add(self, customer: str, *contents: str) -> None:
        for content in contents:
            await knowledge.add_note(self.desk, self.world.stage.agent, NewNote(customer, content))

    async def catch_up(self) -> int:
        return await embedding.catch_up(self.desk.pool, self.desk.embedder, asyncio.Event())

    async def recalled(self, customer: str, request: str) -> Snapshot:
        return await advise.recall(
            self.desk, QUICKSTART_TENANT_ID, request=request, customer_id=customer, kind="refund", amount_minor=900,
            currency="usd",
        )  # fmt: skip

    async def waiting(self) -> int:
        return (await embedding.state(self.desk, self.world.stage.agent)).notes_waiting

    async def all_read(self, **changes: Any) -> list[embedding.Progress]:
        job = embedding.read_all(self.desk.pool, changes.get("embedder", self.desk.embedder), "quickstart", 0)
        return [progress async for progress in job]


@pytest.fixture
async def hosted(world: World) -> AsyncIterator[Hosted]:
    async with messages_api() as api:
        api.otherwise = good
        embedder = HostedEmbedder(openai(), KEY, model=None, dimension=64, base_url=f"{api.url}/v1", timeout_seconds=5)
        world.stage.desk = replace(world.stage.desk, embedder=embedder)
        yield Hosted(world, api, world.stage.desk)
        await embedder.close()


async def test_a_note_is_kept_while_the_embedder_is_down_and_read_when_it_is_back(hosted: Hosted) -> None:
    await hosted.add("c", "before")
    hosted.answers(with_down=True)
    await hosted.add("c", "order 4711 came back")
    imported = await note_import.import_notes(
        hosted.desk, hosted.world.stage.agent, [NewNote("c", f"line {number}") for number in range(150)]
    )
    assert sum(note.added for note in imported) == 150
    assert await hosted.waiting() == 151
    with pytest.raises(EmbedderUnavailableError):
        await hosted.catch_up()
    with pytest.raises(EmbedderUnavailableError):
        await knowledge.search(hosted.desk, hosted.world.stage.agent, "c", text="order 4711", vector=None, limit=3)
    hosted.answers(with_down=False)
    found = await knowledge.search(hosted.desk, hosted.world.stage.agent, "c", text="order 4711", vector=None, limit=2)
    assert (found[0].content, found[1].content, found[1].score) == ("before", "order 4711 came back", None)
    assert await hosted.catch_up() == 151
    assert (await hosted.waiting(), await hosted.catch_up()) == (0, 0)
    assert hosted.world.one("select count(*) from paywarden.note_vectors") == 152


async def test_what_could_not_be_looked_at_makes_evidence_incomplete(hosted: Hosted) -> None:
    await hosted.add("c", "before", "order 4711 came back")
    await hosted.add("other", "elsewhere")
    assert (await hosted.recalled("c", "order 4711")).complete
    hosted.answers(with_down=True)
    snapshot = await hosted.recalled("c", "order 4711")
    assert (snapshot.complete, snapshot.evidence[0].content) == (False, "order 4711 came back")
    await hosted.add("c", "while it was down")
    hosted.answers(with_down=False)
    assert not (await hosted.recalled("c", "order 4711")).complete
    assert (await hosted.recalled("other", "order 4711")).complete
    await hosted.catch_up()
    assert (await hosted.recalled("c", "order 4711")).complete


class Sure:
    """A model that is sure, and cites what it was shown."""

    name = "sure"

    def __init__(self, verdict: str) -> None:
        self._verdict = verdict

    def most_micro_usd(self, _: Snapshot) -> int:
        return 0

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        cited = tuple(record.id for record in snapshot.records)
        amount = snapshot.requested_amount_minor if self._verdict == "approve" else 0
        return AdviceRecord(Advice(self._verdict, amount, "I am sure.", 100, cited), self.name, 0)  # type: ignore[arg-type]


async def refund(hosted: Hosted, verdict: str, customer: str) -> tuple[str, str | None]:
    """What becomes of a refund of a double charge, with a model that is sure of this verdict."""
    charge = await hosted.world.double_charge(customer, 900)
    hosted.world.stage.desk = replace(hosted.desk, adviser=Sure(verdict))
    payment = (await hosted.world.stage.ask(hosted.world.refund_of(charge, 900))).payment
    return payment.status.value, payment.reason


@pytest.mark.parametrize(
    ("verdict", "otherwise"), [("approve", {"submitting", "processing", "succeeded"}), ("deny", {"denied"})]
)
async def test_no_verdict_counts_on_evidence_that_is_not_complete(
    hosted: Hosted, verdict: str, otherwise: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twins: recall that calls everything complete, and checks that do not ask."""
    await hosted.add("c", "a note")
    hosted.answers(with_down=True)
    status, _ = await refund(hosted, verdict, "c")
    assert (status, hosted.world.held()) == ("in_review", 0)
    with monkeypatch.context() as twin:
        twin.setattr(checks, "_stands", lambda verdict, failed, complete: True)
        unchecked, _ = await refund(hosted, verdict, "d")
    real = notes.recall

    async def careless(*given: Any) -> Recalled:
        return replace(await real(*given), complete=True)

    monkeypatch.setattr(notes, "recall", careless)
    unasked, _ = await refund(hosted, verdict, "e")
    assert {unchecked, unasked} <= otherwise


async def test_a_decision_without_evidence_is_told_within_the_time_of_the_quick_start(hosted: Hosted) -> None:
    hosted.answers(with_down=True)
    told = await decision.decide(
        hosted.desk, hosted.world.stage.agent, customer_id="c", request="Customer asks for a refund",
        amount_minor=5_000, currency="usd",
    )  # fmt: skip
    assert (told.approve, told.amount_minor, told.verdict, told.reason) == (False, 0, "escalate", checks.INCOMPLETE)


async def test_a_text_that_the_embedder_refuses_keeps_no_other_from_being_read(hosted: Hosted) -> None:
    def refuses_poison(body: dict[str, Any]) -> Scripted:
        return REFUSED if any("poison" in text for text in body["input"]) else good(body)

    hosted.answers(with_down=True)
    await hosted.add("c", *(f"note {number}" for number in range(9)), "poison", "more poison", "last")
    hosted.api.otherwise = refuses_poison
    assert await hosted.catch_up() == 10
    assert (await hosted.waiting(), await hosted.catch_up()) == (2, 0)
    assert not (await hosted.recalled("c", "note")).complete
    last = (await hosted.all_read())[-1]
    assert (last.due, last.read, last.refused) == (2, 0, 2)


async def test_an_embedder_that_refuses_everything_is_not_asked_about_each_note(hosted: Hosted) -> None:
    hosted.answers(with_down=True)
    await hosted.add("c", *(f"note {number}" for number in range(30)))
    hosted.api.otherwise = lambda _: REFUSED
    hosted.api.requests.clear()
    with pytest.raises(EmbedderUnavailableError):
        await hosted.catch_up()
    assert len(hosted.api.requests) == 2


async def test_another_embedder_reads_ahead_while_the_present_one_serves(hosted: Hosted, embedder: Any) -> None:
    await hosted.add("c", *(f"note {number}" for number in range(250)))
    progress = await hosted.all_read(embedder=embedder)
    assert [each.read for each in progress] == [*range(0, 250, 20), 250]
    assert {each.due for each in progress} == {250}
    assert (await hosted.recalled("c", "note 7")).complete
    switched = replace(hosted, desk=replace(hosted.desk, embedder=embedder))
    assert (await switched.recalled("c", "note 7")).complete
    assert hosted.world.one("select count(distinct embedder) from paywarden.note_vectors") == 2
    assert [each.read for each in await switched.all_read()] == [0]


async def test_two_jobs_and_a_worker_at_once_make_each_vector_once(hosted: Hosted) -> None:
    hosted.answers(with_down=True)
    await hosted.add("c", *(f"note {number}" for number in range(120)))
    hosted.answers(with_down=False)
    await asyncio.gather(hosted.all_read(), hosted.all_read(), hosted.catch_up())
    assert await hosted.waiting() == 0
    assert hosted.world.one("select count(*) from paywarden.note_vectors") == 120


async def test_the_job_gives_up_when_its_patience_is_over_and_goes_on_later(hosted: Hosted) -> None:
    hosted.answers(with_down=True)
    await hosted.add("c", *(f"note {number}" for number in range(150)))
    first = json.dumps([f"note {number}" for number in range(100)])

    def then_down(body: dict[str, Any]) -> Scripted:
        return good(body) if json.dumps(body["input"]) == first else DOWN

    hosted.api.otherwise = then_down
    with pytest.raises(EmbedderUnavailableError):
        await hosted.all_read()
    assert await hosted.waiting() == 50
    hosted.answers(with_down=False)
    assert [each.read for each in await hosted.all_read()] == [0, 50]
    with pytest.raises(NotFoundError):
        [each async for each in embedding.read_all(hosted.desk.pool, hosted.desk.embedder, "nobody", 0)]


async def test_the_worker_reads_what_is_due_of_every_tenant(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own loop: it rests while the embedder is down, and goes on by itself."""
    monkeypatch.setattr(embedding, "_REST_SECONDS", 0.01)
    monkeypatch.setattr(embedding, "_LOOKING_SHARE", 1.0)
    other = await hosted.world.other_tenant()
    soon = Scripted(503, b"{}", (("Retry-After", "0"),))
    hosted.api.otherwise = lambda _: soon
    await hosted.add("c", "one")
    await knowledge.add_note(hosted.desk, other, NewNote("c", "two"))
    stop = asyncio.Event()
    working = asyncio.create_task(embedding.keep_up(hosted.desk, stop))
    async with asyncio.timeout(20):
        seen = len(hosted.api.requests)
        while len(hosted.api.requests) < seen + 2:
            await asyncio.sleep(0.02)
        hosted.answers(with_down=False)
        while hosted.world.one("select count(*) from paywarden.note_vectors") < 2:
            await asyncio.sleep(0.02)
        stop.set()
        await working
    assert hosted.world.one("select count(distinct tenant_id) from paywarden.note_vectors") == 2
