"""What flow tests do again and again: ask, run the worker, look at both books."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from uuid import UUID

from msgspec import structs

from paywarden.flow import advance, ask, invariants, recovery
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor, Desk
from paywarden.kit.canonical import digest
from paywarden.kit.states import Status
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Payment
from paywarden.sandbox.control import SandboxControl

SENT = {Status.OUTCOME_UNKNOWN, Status.PROCESSING}


@dataclass
class Stage:
    """One tenant at one sandbox."""

    desk: Desk
    sandbox: SandboxControl
    agent: Actor
    admin: Actor
    numbers: Any = field(default_factory=lambda: count(1))

    def with_settings(self, **changes: Any) -> "Stage":
        return replace(self, desk=replace(self.desk, settings=self.desk.settings.model_copy(update=changes)))

    def sending_only(self) -> "Stage":
        """Callers here see their payment sent, however long that takes, and leave all that follows to the worker."""
        desk = replace(self.desk, settings=self.desk.settings.model_copy(update={"answer_timeout_seconds": 0}))
        return Sender(desk, self.sandbox, self.agent, self.admin, self.numbers)

    async def charge(self, amount_minor: int = 2_500, *, key: str | None = "", **changes: Any) -> Payment:
        """Charge a customer; with a key of its own unless told otherwise, None for no key."""
        wanted = structs.replace(Ask("charge", amount_minor, "usd", customer_id="cust_1"), **changes)
        return (await self.ask(wanted, key)).payment

    async def ask(self, wanted: Ask, key: str | None = "", actor: Actor | None = None) -> ask.Asked:
        chosen = f"key-{next(self.numbers)}" if key == "" else key
        request = None if chosen is None else IdempotentRequest(chosen, digest([repr(wanted)]))
        return await ask.ask(self.desk, actor or self.agent, wanted, request)

    async def find(self, payment_id: UUID) -> Payment:
        return await advance.find(self.desk, self.agent.tenant_id, payment_id)

    async def until(self, payment_id: UUID, *statuses: Status, limit_seconds: float = 20) -> Payment:
        """Run the worker until the payment is in one of these states."""
        deadline = time.monotonic() + limit_seconds
        while (payment := await self.find(payment_id)).status not in statuses:
            if time.monotonic() > deadline:
                raise AssertionError(f"still {payment.status}, wanted {statuses}")
            if not await recovery.run_once(self.desk):
                await asyncio.sleep(0.05)
        return payment

    async def paid_charge(self, amount_minor: int = 2_500, **changes: Any) -> Payment:
        return await self.until((await self.charge(amount_minor, **changes)).id, Status.SUCCEEDED)

    async def broken_invariants(self) -> dict[str, list[dict[str, Any]]]:
        found = await invariants.check(self.desk.pool)
        return {finding.invariant.name: finding.broken for finding in found if finding.broken}

    async def charges_at_provider(self, payment: Payment) -> int:
        """How often the provider really charged for this payment."""
        book = await self.sandbox.book()
        return int(book["charges"].get(payment.public_id, 0))


class Sender(Stage):
    """A stage that takes steps until a payment was sent once, or can go no further."""

    async def ask(self, wanted: Ask, key: str | None = "", actor: Actor | None = None) -> ask.Asked:
        asked = await super().ask(wanted, key, actor)
        payment, seen = asked.payment, set()
        while advance.goes_on(payment) and payment.status not in {*seen, *SENT}:
            seen.add(payment.status)
            stepped = await advance.step(self.desk, payment.tenant_id, payment.id)
            payment = stepped or await self.find(payment.id)
        return replace(asked, payment=payment)
