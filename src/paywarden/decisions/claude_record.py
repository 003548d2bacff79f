"""What is kept of one consultation of a model: every call of it, answered or not."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from paywarden.decisions.advice import Advice
from paywarden.decisions.adviser import AdviceRecord, escalation
from paywarden.decisions.claude_answer import AdviserFailedError, Reply
from paywarden.decisions.prices import TokenUsage, cost_micro_usd
from paywarden.decisions.prompt import SystemPrompt

MAX_RAW_ANSWER_BYTES = 64 * 1024
_SECOND_ANSWER = "\n\n=== asked again, for the form only ===\n\n"
_REDACTED = "[redacted]"


@dataclass(slots=True)
class Consultation:
    """One case before one model. Nothing that is kept holds ``api_key``, whoever wrote it into an answer."""

    adviser: str
    model: str
    prompt: SystemPrompt
    api_key: str
    _started: float = field(default_factory=time.monotonic)
    _calls: int = 0
    _unknown_cost: int = 0
    _replies: list[Reply] = field(default_factory=list)
    _raw_answers: list[str] = field(default_factory=list)
    _request_ids: list[str] = field(default_factory=list)

    def asked(self) -> None:
        """A call begins; until it ends nobody knows what it costs."""
        self._calls += 1
        self._unknown_cost += 1

    def answered(self, reply: Reply) -> None:
        """A call ended with a message."""
        self._unknown_cost -= 1
        self._replies.append(reply)
        self._keep(reply.text, reply.request_id)

    def broke_off(self, error: AdviserFailedError) -> None:
        """A call ended without a message."""
        self._unknown_cost -= 0 if error.charged else 1
        self._keep(error.raw_answer, error.request_id)

    def record(self, advice: Advice) -> AdviceRecord:
        """The opinion with everything it took."""
        return self._complete(AdviceRecord(advice, self.adviser, self._latency_ms()))

    def failed(self, failure: str) -> AdviceRecord:
        """An escalation in place of an opinion, with everything it took."""
        return self._complete(escalation(self.adviser, failure, latency_ms=self._latency_ms()))

    def _complete(self, record: AdviceRecord) -> AdviceRecord:
        return replace(
            record,
            model=self._replies[-1].model if self._replies else self.model,
            prompt_version=self.prompt.version,
            prompt_sha256=self.prompt.sha256,
            raw_answer=self._raw_answer(),
            usage=self._usage(),
            request_ids=tuple(self._request_ids),
            cost_micro_usd=self._cost_micro_usd(),
        )

    def _keep(self, raw_answer: str | None, request_id: str | None) -> None:
        if raw_answer is not None:
            self._raw_answers.append(raw_answer)
        if request_id is not None:
            self._request_ids.append(request_id.replace(self.api_key, _REDACTED))

    def _raw_answer(self) -> str | None:
        if not self._raw_answers:
            return None
        room = MAX_RAW_ANSWER_BYTES // 2 - len(_SECOND_ANSWER)
        redacted = [answer.replace(self.api_key, _REDACTED) for answer in self._raw_answers]
        return _SECOND_ANSWER.join(_cut(answer, room) for answer in redacted)

    def _usage(self) -> dict[str, Any]:
        used = [reply.usage for reply in self._replies]
        return {"calls": self._calls, **_summed(used)}

    def _cost_micro_usd(self) -> int | None:
        costs = [cost_micro_usd(reply.model, reply.usage) for reply in self._replies]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) and not self._unknown_cost else None

    def _latency_ms(self) -> int:
        return round((time.monotonic() - self._started) * 1000)


def _summed(used: list[TokenUsage]) -> dict[str, int]:
    return {
        "input_tokens": sum(usage.input for usage in used),
        "output_tokens": sum(usage.output for usage in used),
        "cache_read_input_tokens": sum(usage.cache_read for usage in used),
        "cache_creation_input_tokens": sum(usage.cache_write for usage in used),
    }


def _cut(text: str, limit_bytes: int) -> str:
    return text.encode("utf-8", "backslashreplace")[:limit_bytes].decode("utf-8", "ignore")
