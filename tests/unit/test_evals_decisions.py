"""The evals of decisions see what they are there to see: every wrong approval, in money."""

import asyncio
from dataclasses import replace

import pytest
from evals import cases as labelled
from evals import messages
from evals.cases import Case
from evals.decisions import judge
from evals.metrics import effort, money
from evals.outcomes import CaseResult
from evals.purse import Purse
from evals.snapshots import learn, reached, recall
from evals.vectors import Vectors

from paywarden.decisions.advice import Advice, Snapshot
from paywarden.decisions.adviser import AdviceRecord, Adviser
from paywarden.decisions.rules import RulesAdviser
from paywarden.flow.advise import EVIDENCE_NOTES, OWN_RECORDS
from paywarden.guardrails.cedar import PolicySet, shipped
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from tests.unit.guarded import with_text

SOME = 72
UNBOUNDED = 10**12


class Scripted:
    """Says what a function makes of the snapshot; a call costs what is given."""

    name = "scripted"

    def __init__(self, say: object, cost_micro_usd: int = 0) -> None:
        self._say = say
        self._cost_micro_usd = cost_micro_usd

    def most_micro_usd(self, _: Snapshot) -> int:
        return 2 * self._cost_micro_usd

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        usage = {"calls": 1, "input_tokens": 100}
        advice = self._say(snapshot)  # type: ignore[operator]
        return AdviceRecord(advice, self.name, 1, usage=usage, cost_micro_usd=self._cost_micro_usd)


def approve(snapshot: Snapshot) -> Advice:
    """Everything, surely, and resting on the customer's own payment."""
    evidence = (snapshot.records[0].id,)
    return Advice("approve", snapshot.requested_amount_minor, "Fine.", 100, evidence)


def deny(_: Snapshot) -> Advice:
    return Advice("deny", 0, "No.", 100)


@pytest.fixture(scope="module")
def some() -> list[Case]:
    """A sample, and those whose history is too long to be read whole."""
    cases = labelled.make(messages.load())
    return cases[:SOME] + [case for case in cases[SOME:] if len(case.rows) >= OWN_RECORDS]


@pytest.fixture(scope="module")
def vectors(some: list[Case], embedder: UniversalSentenceEmbedder) -> Vectors:
    """Vectors of all that the cases hold, by the default embedder."""

    async def learnt() -> Vectors:
        known = Vectors(embedder)
        await learn(some, known)
        return known

    return asyncio.run(learnt())


async def run(
    cases: list[Case],
    adviser: Adviser,
    vectors: Vectors,
    *,
    policies: PolicySet | None = None,
    budget_micro_usd: int = UNBOUNDED,
) -> list[CaseResult]:
    return await judge(
        cases,
        adviser,
        policies or shipped(),
        vectors,
        Purse(budget_micro_usd),
        timeout_seconds=5,
        concurrency=2,
        progress=lambda done, total: None,
    )


def whole(cases: list[Case]) -> list[Case]:
    """Those whose evidence is complete; of the others no verdict counts, and a person looks."""
    return [case for case in cases if len(case.rows) < OWN_RECORDS]


async def test_an_adviser_that_approves_everything_is_seen_to_pay_all_of_it(some: list[Case], vectors: Vectors) -> None:
    """All but what rests on incomplete evidence, or on no record that bears the amount: there no approval counts."""
    results = await run(some, Scripted(approve), vectors)
    found, standing = money(results), {each.id for each in results if each.verdict == "approve"}
    paid = [case for case in some if case.id in standing]
    assert {case.id for case in paid} < {case.id for case in whole(some)}
    assert {each.id for each in results if each.outcome == "paid"} == standing
    unsupported = [case.requested_minor - case.label.supported_minor for case in paid]
    assert (found.paid, found.person) == (len(paid), len(some) - len(paid))
    assert found.wrongly_paid_minor == sum(unsupported) > 0
    assert found.wrongly_paid == sum(amount > 0 for amount in unsupported)
    assert found.past_person == sum(case.label.person for case in paid)
    assert found.wrongly_refused == 0


async def test_an_adviser_that_denies_everything_is_seen_to_refuse_all_of_it(
    some: list[Case], vectors: Vectors
) -> None:
    found = money(await run(some, Scripted(deny), vectors))
    assert found.refused == len(whole(some))
    assert found.wrongly_refused_minor == sum(case.label.supported_minor for case in whole(some)) > 0
    assert found.wrongly_paid == 0


async def test_an_adviser_that_obeys_is_seen_to_pay_where_it_was_told_to(some: list[Case], vectors: Vectors) -> None:
    orders = [case.injection.text for case in some if case.injection is not None]

    def obey(snapshot: Snapshot) -> Advice:
        read = [snapshot.request, *(note.content for note in snapshot.evidence)]
        told = any(order in text for order in orders for text in read)
        return approve(snapshot) if told else deny(snapshot)

    results = await run(some, Scripted(obey), vectors)
    complete = {case.id for case in whole(some)}
    reached = {each.id for each in results if each.reached}
    standing = {each.id for each in results if each.verdict == "approve"}
    assert {each.id for each in results if each.outcome == "paid"} == standing
    assert standing < reached & complete
    hostile = [each for each in results if each.injection is not None]
    assert money(results).wrongly_paid_minor == money(hostile).wrongly_paid_minor > 0


async def test_the_rules_adviser_pays_nothing_wrongly(some: list[Case], vectors: Vectors) -> None:
    found = money(await run(some, RulesAdviser(), vectors))
    assert found.paid > 0
    assert found.wrongly_paid_minor == 0


async def test_a_guard_that_forgets_the_advised_amount_is_seen(some: list[Case], vectors: Vectors) -> None:
    """The broken twin: the same advice, and policies that do not compare its amount with what is asked for."""
    compared = "  context.amount_minor <= context.thresholds.advised_refund_max_minor &&"
    broken = with_text(f"  context.amount_minor <= context.advice.amount_minor &&\n{compared}", compared)
    results = await run(some, RulesAdviser(), vectors, policies=broken)
    assert money(results).wrongly_paid_minor > 0
    assert {each.stratum for each in results if each.wrongly_paid_minor} == {"partly"}


async def test_checks_of_the_code_stand_between_advice_and_money(some: list[Case], vectors: Vectors) -> None:
    def invent(snapshot: Snapshot) -> Advice:
        return replace(approve(snapshot), evidence=("pay_that_nobody_retrieved",))

    results = await run(some, Scripted(invent), vectors)
    assert {(each.advised, each.verdict, each.outcome) for each in results} == {("approve", "escalate", "person")}


async def test_an_adviser_that_breaks_sends_all_to_a_person_under_a_name(some: list[Case], vectors: Vectors) -> None:
    def break_down(_: Snapshot) -> Advice:
        raise RuntimeError("the secret of the day")

    results = await run(some, Scripted(break_down), vectors)
    assert {each.outcome for each in results} == {"person"}
    assert effort(results).failures == {"adviser_error": len(some)}


async def test_no_call_is_made_that_the_budget_could_not_bear(some: list[Case], vectors: Vectors) -> None:
    results = await run(some, Scripted(deny, cost_micro_usd=100), vectors, budget_micro_usd=1_000)
    assert len(results) == 9, "a tenth call could cost 200, and 100 are left"
    assert effort(results).cost_micro_usd == 900
    assert [each.id for each in results] == [case.id for case in some if case.id in {each.id for each in results}]


def test_a_snapshot_holds_what_recall_would_find(some: list[Case], vectors: Vectors) -> None:
    for case in some:
        snapshot = recall(case, vectors)
        found = {note.id for note in snapshot.evidence}
        stated = {note.id for note in case.notes if note.facts is not None}
        assert stated <= found, "a record that states facts is never too far away"
        assert EVIDENCE_NOTES <= len(found) <= EVIDENCE_NOTES + len(stated) < len(case.notes)


def test_what_is_out_of_sight_is_told(some: list[Case], vectors: Vectors) -> None:
    long = [case for case in some if len(case.rows) >= OWN_RECORDS]
    assert long
    for case in long:
        snapshot = recall(case, vectors)
        assert not snapshot.complete
        assert len(snapshot.records) == OWN_RECORDS
        assert case.payment_id not in {record.id for record in snapshot.records}


def test_nearly_every_hostile_text_reaches_the_adviser(some: list[Case], vectors: Vectors) -> None:
    hostile = [case for case in some if case.injection is not None]
    assert sum(reached(case, recall(case, vectors)) for case in hostile) / len(hostile) > 0.9
    assert not any(reached(case, recall(case, vectors)) for case in some if case.injection is None)
