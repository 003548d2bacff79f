"""The billing gate as a ``with`` block: held when it begins, captured inside, given back when it is left without that.

One key stands for one piece of work, however often it is tried: an attempt after a crash finds the hold of the one
before it, and what was captured is never captured again. An attempt that failed has given its hold back, so the next
one gets another hold, under a key made from the same one.
"""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from paywarden.client import objects
from paywarden.client.calls import holds
from paywarden.client.conversation import Conversation
from paywarden.client.errors import PaywardenApiError, PaywardenClientError, PaywardenUsageError
from paywarden.client.usage import checked_idempotency_key
from paywarden.kit import ids

_MOST_ROOT_CHARACTERS = 230
# How a capture is refused when another attempt at the same work was there first.
_TAKEN_BY_ANOTHER = frozenset({"idempotency_key_reused", "state_conflict"})


class HoldStory:
    """What becomes of one hold, told as conversations: opened, captured, extended, left."""

    def __init__(
        self,
        amount_minor: int,
        currency: str,
        customer: str | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> None:
        self._wanted: dict[str, Any] = {"amount_minor": amount_minor, "currency": currency, "customer": customer}
        self._wanted |= options
        self._key = f"pw-{ids.new_uuid()}" if idempotency_key is None else _checked_root(idempotency_key)
        self._captures = 0
        self._settled = False
        self.attempt = 1
        self.hold: objects.Hold | None = None
        self.billed = False

    @property
    def opened(self) -> objects.Hold:
        """The hold as it stands. Raises RuntimeError before the block has begun."""
        if self.hold is None:
            raise RuntimeError("the gate is used in a with block")
        return self.hold

    def open(self) -> Conversation[None]:
        """Hold, or find what an earlier attempt has held; past what earlier attempts gave back."""
        while self.hold is None or (self.hold["status"] == "released" and not self.hold["captured_minor"]):
            self.attempt += self.hold is not None
            self.hold = yield from holds.create_hold(**self._wanted, idempotency_key=self._attempt_key())
        self.billed = self.hold["status"] != "pending" and self.hold["captured_minor"] > 0

    def capture(self, amount_minor: int, *, final: bool) -> Conversation[objects.Hold]:
        """Take what it cost; what another attempt has captured for good is left as it is.

        Raises PaywardenUsageError after this block's own last capture: what came now would never be billed.
        """
        if self.billed:
            return self.opened
        if self._settled:
            raise PaywardenUsageError(
                "capture", "before this one was the last of its hold; bill parts with final=False"
            )
        self._captures += 1
        key = f"{self._attempt_key()}.capture-{self._captures}"
        hold = self.opened["id"]
        try:
            self.hold = yield from holds.capture_hold(hold, amount_minor, final=final, idempotency_key=key)
            self._settled = final
        except PaywardenApiError as refused:
            if refused.code not in _TAKEN_BY_ANOTHER:
                raise
            self.hold = yield from holds.get_hold(hold)
            if self.hold["status"] != "captured":
                raise
            self.billed = True
        return self.opened

    def extend(self, expires_in_seconds: int) -> Conversation[objects.Hold]:
        """More time, counted from now; what is billed needs none."""
        if self.billed:
            return self.opened
        self.hold = yield from holds.extend_hold(self.opened["id"], expires_in_seconds)
        return self.hold

    def leave(self, error: BaseException | None) -> Conversation[None]:
        """Give back what was not captured. What went wrong in the block is told before what goes wrong here."""
        if self.opened["status"] != "pending":
            return
        try:
            self.hold = yield from holds.release_hold(self.opened["id"])
        except PaywardenClientError as failed:
            if error is None:
                raise
            error.add_note(f"{self.opened['id']} could not be released and will expire by itself: {failed.detail}")

    def _attempt_key(self) -> str:
        return self._key if self.attempt == 1 else f"{self._key}.{self.attempt}"


def _checked_root(key: str) -> str:
    """The same key, with room for what is made from it."""
    if len(key) > _MOST_ROOT_CHARACTERS:
        problem = f"must have at most {_MOST_ROOT_CHARACTERS} characters here, because other keys are made from it"
        raise PaywardenUsageError("idempotency_key", problem)
    return checked_idempotency_key(key)


class Gate:
    """A hold around a costly call, for programs that wait. See ``Paywarden.gate``."""

    def __init__(self, run: Callable[[Conversation[Any]], Any], story: HoldStory) -> None:
        self._run = run
        self._story = story

    @property
    def hold(self) -> objects.Hold:
        """The hold as it stands."""
        return self._story.opened

    @property
    def billed(self) -> bool:
        """Whether an earlier attempt under the same key was billed: whatever is done now is not billed again."""
        return self._story.billed

    def capture(self, amount_minor: int, *, final: bool = True) -> objects.Hold:
        """Take what it cost, at most what is held; without ``final`` more may follow in this block."""
        return self._run(self._story.capture(amount_minor, final=final))  # type: ignore[no-any-return]

    def extend(self, expires_in_seconds: int) -> objects.Hold:
        """Let the hold expire so many seconds from now."""
        return self._run(self._story.extend(expires_in_seconds))  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        self._run(self._story.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._story.leave(error))


class AsyncGate:
    """The same for asynchronous programs. See ``AsyncPaywarden.gate``."""

    def __init__(self, run: Callable[[Conversation[Any]], Awaitable[Any]], story: HoldStory) -> None:
        self._run = run
        self._story = story

    @property
    def hold(self) -> objects.Hold:
        """The hold as it stands."""
        return self._story.opened

    @property
    def billed(self) -> bool:
        """Whether an earlier attempt under the same key was billed: whatever is done now is not billed again."""
        return self._story.billed

    async def capture(self, amount_minor: int, *, final: bool = True) -> objects.Hold:
        """Take what it cost, at most what is held; without ``final`` more may follow in this block."""
        return await self._run(self._story.capture(amount_minor, final=final))  # type: ignore[no-any-return]

    async def extend(self, expires_in_seconds: int) -> objects.Hold:
        """Let the hold expire so many seconds from now."""
        return await self._run(self._story.extend(expires_in_seconds))  # type: ignore[no-any-return]

    async def __aenter__(self) -> Self:
        await self._run(self._story.open())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._run(self._story.leave(error))
