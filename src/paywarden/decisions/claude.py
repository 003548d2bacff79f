"""The adviser that asks Claude. Whatever the model or the way to it does, the worst that comes of it is an escalation.

An answer in the wrong form is asked for once more, in the same conversation and about its form only. Nothing else is
tried again here: a refusal, a truncation, a full or broken API goes to a person at once, under a name of its own.
"""

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from paywarden.decisions.advice import Advice, MalformedAdviceError, Snapshot
from paywarden.decisions.adviser import AdviceRecord, Effort
from paywarden.decisions.claude_answer import AdviserFailedError, Reply, answered_turns, read_advice
from paywarden.decisions.claude_record import Consultation
from paywarden.decisions.prices import most_micro_usd
from paywarden.decisions.prompt import AdviceThresholds, case_message, form_message, system_prompt

if TYPE_CHECKING:
    from paywarden.decisions.claude_client import ClaudeClient

# The schema, which the API puts before the prompt, and the request for another form.
_FORM_TOKENS = 4_000


class ClaudeAdviser:
    """Advice from a Claude model over the Messages API. ``close`` gives the connections back."""

    name = "claude"

    def __init__(
        self,
        api_key: str,
        thresholds: AdviceThresholds,
        *,
        model: str,
        max_tokens: int,
        effort: Effort,
        timeout_seconds: float,
        base_url: str | None = None,
    ) -> None:
        """``timeout_seconds`` bounds a whole consultation; less than ``consult`` waits, so that the record is kept."""
        self._api_key = api_key
        self._model = model
        self._max_tokens = max_tokens
        self._effort: Effort = effort
        self._timeout_seconds = timeout_seconds
        self._prompt = system_prompt(thresholds)
        self._line = _Line(api_key, base_url)

    def of_model(self, model: str, effort: Effort | None) -> Self:
        """The same adviser asking another model, over the same connections; ``effort`` unless None."""
        other = copy(self)
        other._model, other._effort = model, effort or self._effort
        return other

    async def preload(self) -> None:
        """Import the SDK (most of a second, 48 MB) beside other work; else the first case waits for it."""
        await self._line.open()

    def most_micro_usd(self, snapshot: Snapshot) -> int:
        """What a consultation about this case can cost at most, in millionths of a US dollar.

        That is two calls, the second with the first one's answer in it; a token is at least a byte.
        """
        case_tokens = len((self._prompt.text + case_message(snapshot)).encode()) + _FORM_TOKENS
        return most_micro_usd(self._model, 2 * case_tokens + self._max_tokens, 2 * self._max_tokens)

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        """The model's opinion, or an escalation that names what came instead."""
        consultation = Consultation(self.name, self._model, self._prompt, self._api_key)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return consultation.record(await self._converse(snapshot, consultation))
        except TimeoutError:
            failure = f"adviser_timeout: no answer within {self._timeout_seconds:g} seconds"
        except MalformedAdviceError as error:
            failure = f"adviser_malformed: {error}"
        except AdviserFailedError as error:
            failure = str(error)
        return consultation.failed(failure)

    async def close(self) -> None:
        """Give the connections back; the next case opens them again."""
        await self._line.close()

    async def _converse(self, snapshot: Snapshot, consultation: Consultation) -> Advice:
        turns: list[dict[str, Any]] = [{"role": "user", "content": case_message(snapshot)}]
        reply = await self._ask(turns, consultation)
        try:
            return read_advice(reply)
        except MalformedAdviceError as problem:
            turns += answered_turns(reply, form_message(str(problem)))
        return read_advice(await self._ask(turns, consultation))

    async def _ask(self, turns: list[dict[str, Any]], consultation: Consultation) -> Reply:
        client = await self._line.open()
        consultation.asked()
        try:
            reply = await client.ask(self._model, self._max_tokens, self._effort, self._prompt.text, turns)
        except AdviserFailedError as error:
            consultation.broke_off(error)
            raise
        consultation.answered(reply)
        return reply


class _Line:
    """The connections to the API, opened when somebody first asks."""

    def __init__(self, api_key: str, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client: ClaudeClient | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> "ClaudeClient":
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._new_client)
            return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _new_client(self) -> "ClaudeClient":
        from paywarden.decisions.claude_client import ClaudeClient

        return ClaudeClient(self._api_key, self._base_url)
