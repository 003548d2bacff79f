"""Decisions: every case through recall, the adviser, the code's checks and the shipped policies. No money anywhere."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from evals.cases import Case
from evals.outcomes import CaseResult, permitted, result
from evals.purse import Purse
from evals.snapshots import learn, reached, recall
from evals.vectors import Vectors
from paywarden.decisions.adviser import Adviser, consult
from paywarden.decisions.checks import check_advice
from paywarden.guardrails.cedar import PolicySet

Progress = Callable[[int, int], None]
"""Told how many cases are judged, and how many there are."""


async def judge(
    cases: Sequence[Case],
    adviser: Adviser,
    policies: PolicySet,
    vectors: Vectors,
    purse: Purse,
    *,
    timeout_seconds: float,
    concurrency: int,
    progress: Progress,
) -> list[CaseResult]:
    """The cases that the purse could bear, in their order; ``concurrency`` of them at a time."""
    await learn(cases, vectors)
    left = iter(cases)
    judged: dict[str, CaseResult] = {}

    async def work() -> None:
        for case in left:
            found = await _judge_one(case, adviser, policies, vectors, purse, timeout_seconds)
            if found is not None:
                judged[case.id] = found
            progress(len(judged), len(cases))

    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(work())
    return list(_in_order(cases, judged))


async def _judge_one(
    case: Case, adviser: Adviser, policies: PolicySet, vectors: Vectors, purse: Purse, timeout_seconds: float
) -> CaseResult | None:
    snapshot = recall(case, vectors)
    most_micro_usd = adviser.most_micro_usd(snapshot)
    if not await purse.reserve(most_micro_usd):
        return None
    started = time.perf_counter()
    record = await consult(adviser, snapshot, timeout_seconds)
    latency_ms = round((time.perf_counter() - started) * 1000, 3)
    await purse.settle(most_micro_usd, record.cost_micro_usd)
    checked = check_advice(snapshot, record)
    decision = permitted(policies, case, checked)
    return result(case, record, checked, decision, reached=reached(case, snapshot), latency_ms=latency_ms)


def _in_order(cases: Sequence[Case], judged: dict[str, CaseResult]) -> Iterator[CaseResult]:
    return (judged[case.id] for case in cases if case.id in judged)
