"""Every case by its name, in the order in which a round takes them. The names are a promise."""

from collections.abc import Callable, Mapping

from bench.case import Case
from bench.holds import HoldBatches, Holds, HoldsCaptured, HoldsOfManyTenants, HoldsOnFull, HotHoldBatches
from bench.lists import ListFilter
from bench.notes import NoteInsert, SearchCustomer
from bench.payments import AdvisedPayments, AutonomousPayments
from bench.starts import ColdStart, WarmStart
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
    "payment_advised_http": AdvisedPayments,
    "webhook_applied": AppliedWebhooks,
    "list_filter_1m": ListFilter,
    "hold_http_full": HoldsOnFull,
    "note_insert": NoteInsert,
    "search_customer_20k": SearchCustomer,
    "start_cold": ColdStart,
    "start_warm": WarmStart,
}
