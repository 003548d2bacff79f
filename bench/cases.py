"""Every case by its name, in the order in which a round takes them. The names are a promise."""

from collections.abc import Callable, Mapping

from bench.case import Case
from bench.holds import HoldBatches, Holds, HoldsCaptured, HoldsOfManyTenants, HotHoldBatches
from bench.notes import NoteInsert, SearchCustomer
from bench.payments import AutonomousPayments
from bench.webhooks import AppliedWebhooks
from bench.yardstick import TpcB

CASES: Mapping[str, Callable[[], Case]] = {
    "tpcb": TpcB,
    "hold_http": Holds,
    "hold_capture_http": HoldsCaptured,
    "hold_batch_100": HoldBatches,
    "hold_batch_100_hot": HotHoldBatches,
    "hold_http_1000_tenants": HoldsOfManyTenants,
    "payment_autonomous_http": AutonomousPayments,
    "webhook_applied": AppliedWebhooks,
    "note_insert": NoteInsert,
    "search_customer_20k": SearchCustomer,
}
