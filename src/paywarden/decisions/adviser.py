"""The adviser's port: a snapshot in, a record of its advice out. Whatever goes wrong with it escalates to a person."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from paywarden.decisions.advice import Advice, MalformedAdviceError, Snapshot

Effort = Literal["unset", "low", "medium", "high"]
"""How long a model may think; ``unset`` for models that have no such setting."""


@dataclass(frozen=True, slots=True)
class AdviceRecord:
    """An advice and how it came about. ``failure`` says why the adviser gave none; the advice is then an escalation.

    ``request_ids`` are the provider's names of the calls it took, ``cost_micro_usd`` their price in millionths of a US
    dollar, None when it is not known.
    """

    advice: Advice
    adviser: str
    latency_ms: int
    model: str | None = None
    prompt_sha256: bytes | None = None
    raw_answer: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    prompt_version: str | None = None
    request_ids: tuple[str, ...] = ()
    cost_micro_usd: int | None = None


class Adviser(Protocol):
    """Something with an opinion. It may raise and it may hang: ``consult`` bounds both."""

    @property
    def name(self) -> str: ...

    def most_micro_usd(self, snapshot: Snapshot) -> int:
        """What advice on this case can cost at most, in millionths of a US dollar; 0 for an adviser that is free."""
        ...

    async def advise(self, snapshot: Snapshot) -> AdviceRecord: ...


@runtime_checkable
class ModelAdviser(Adviser, Protocol):
    """An adviser that asks a model, and could ask another one."""

    def of_model(self, model: str, effort: Effort | None) -> Adviser:
        """The same adviser asking another model; thinking as long as before when ``effort`` is None."""
        ...


async def consult(adviser: Adviser, snapshot: Snapshot, timeout_seconds: float) -> AdviceRecord:
    """The adviser's record, or an escalation that names what happened. Never raises for the adviser's faults."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_seconds):
            return await adviser.advise(snapshot)
    except TimeoutError:
        failure = f"adviser_timeout: no answer within {timeout_seconds:g} seconds"
    except MalformedAdviceError as error:
        failure = f"adviser_malformed: {error}"
    except Exception as error:
        failure = f"adviser_error: {type(error).__name__}"
    return escalation(adviser.name, failure, latency_ms=round((time.monotonic() - started) * 1000))


def escalation(adviser: str, failure: str, *, latency_ms: int) -> AdviceRecord:
    """What stands in for an advice that did not come: nothing approved, a person must look."""
    advice = Advice("escalate", 0, f"The adviser gave no usable advice ({failure}).", 0)
    return AdviceRecord(advice=advice, adviser=adviser, latency_ms=latency_ms, failure=failure)
