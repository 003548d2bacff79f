"""What is looked up for payments and shown in lists is found by an index, as the roles behind the wall see it.

On small tables PostgreSQL reads everything anyway; so there are enough rows here, and the figures about them are fresh.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from bench.seed_payments import A_YEAR, SQL, STEPS

from paywarden.db.sql import NEWEST, all_statements
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from tests.conftest import Database, Server, Servers, cloned
from tests.database.test_named_sql import as_prepared

PAYMENTS = 20_000
SOME_ID, CUSTOMER = uuid4(), "cust-77"
PAGE = {"after_transaction": NEWEST[0], "after_id": NEWEST[1], "limit": 21}
CREDIT = {"books": ["money", "credit"], "codes": [f"customer_credit/{CUSTOMER}", f"credit/{CUSTOMER}"]}
PROVIDER_NAMES = {
    "providers": ["rest"], "accounts": ["default"], "kinds": ["charge"], "provider_ids": ["name"],
}  # fmt: skip
MORE_ROWS = """
    insert into paywarden.accounts (tenant_id, id, book, asset, code, normal)
    select tenant_id, account_id, book, asset, account_id::text, 'debit'
    from paywarden.transfers, unnest(array[debit_account_id, credit_account_id]) as account_id
    group by tenant_id, account_id, book, asset;
    insert into paywarden.webhook_inbox (tenant_id, id, provider, provider_account, event_key, event_type, body, status,
        payment_id, next_step_at)
    select tenant_id, uuidv7(), 'rest', 'default', id::text, 'payment.succeeded', '{}',
        case when n % 100 = 0 then 'received' else 'applied' end, id,
        case when n % 100 = 0 then now() + n * interval '1 second' end
    from (select tenant_id, id, row_number() over () as n from paywarden.payments) as numbered;
    insert into paywarden.reviews (tenant_id, id, payment_id, initiator_id, required_role, reviewer_kind, action_digest,
        reason, status, expires_at)
    select tenant_id, uuidv7(), id, principal_id, 'review', 'any', action_digest, 'a reason',
        case when status = 'in_review' then 'open' else 'approved' end, now() + interval '1 day'
    from paywarden.payments;
    insert into paywarden.discrepancies (tenant_id, id, kind, payment_id, subject, status)
    select tenant_id, uuidv7(), 'amount_differs', id, id::text,
        case when status = 'failed' then 'open' else 'resolved' end
    from paywarden.payments;
    insert into paywarden.checks (tenant_id, id, payment_id, findings)
    select tenant_id, uuidv7(), id, '[{"rule": "charge_autonomous", "result": "pass", "detail": ""}]'
    from paywarden.payments;
    insert into paywarden.notes (tenant_id, id, customer_id, trust, content, content_sha256)
    select tenant_id, uuidv7(), customer_id, 'customer', 'a note', sha256('a note') from paywarden.payments;
    insert into paywarden.notes (tenant_id, id, customer_id, trust, content, content_sha256)
    select tenant_id, uuidv7(), 'cust-77', 'customer', 'note ' || id, sha256('a note')
    from paywarden.payments limit 2000;
    insert into paywarden.note_vectors (tenant_id, note_id, customer_id, embedder, embedding)
    select tenant_id, id, customer_id, 'test', array_fill(0.1::real, array[400])::vector from paywarden.notes;
    insert into paywarden.api_keys (tenant_id, id, principal_id, secret_sha256, hint)
    select tenant_id, uuidv7(), principal_id, sha256(id::text::bytea), 'hint' from paywarden.payments;
    update paywarden.payments set expires_at = now() + interval '1 hour' where status = 'in_review';
    update paywarden.payments set status = 'needs_facts', missing_facts = '{x}', facts_until = now() + interval '1 hour'
    where id in (select id from paywarden.payments where status = 'in_review' limit 50);
    insert into paywarden.holds (tenant_id, id, amount_minor, principal_id, currency, customer_id, expires_at, status,
        closed_at)
    select tenant_id, uuidv7(), 5, principal_id, 'usd', customer_id, now() + interval '1 hour',
        case when status = 'succeeded' then 'posted' else 'pending' end, case when status = 'succeeded' then now() end
    from paywarden.payments;
    insert into paywarden.accounts (tenant_id, id, book, asset, code, normal)
    select tenant_id, uuidv7(), 'money', 'USD/2', 'customer_credit/' || id, 'credit' from paywarden.payments;
    insert into paywarden.credit_top_ups (tenant_id, id, principal_id, customer_id, funding, amount_minor, currency)
    select tenant_id, uuidv7(), principal_id, customer_id, 'granted', 5, 'usd' from paywarden.payments;
    insert into paywarden.credit_reversals (tenant_id, top_up_id, principal_id, reason)
    select tenant_id, id, principal_id, 'a reason' from paywarden.credit_top_ups;
"""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A named statement, what it is asked for, and the index by which it must find its rows."""

    statement: str
    index: str
    values: dict[str, Any] = field(default_factory=dict)
    role: str = "paywarden_app"


LOOKUPS = [
    Lookup(
        "payments.list_payments",
        "payments_in_status",
        PAGE | {"statuses": ["in_review", "denied"], "kinds": ["charge", "refund", "payout"]},
    ),
    Lookup(
        "payments.list_payments_of_customer",
        "payments_by_customer",
        PAGE | {"customer_id": CUSTOMER, "status": None, "kind": None},
    ),
    Lookup("payments.payments_of_customer", "payments_by_customer", {"customer_id": CUSTOMER, "limit": 20}),
    Lookup("payments.payment_by_id", "payments_pkey", {"id": SOME_ID}),
    Lookup("payments.transitions_of_payment", "payment_transitions_pkey", {"id": SOME_ID}),
    Lookup("payments.due_payments", "payments_due", {"limit": 16}, "paywarden_system"),
    Lookup("payments.expiring_payments", "payments_expiring", {"limit": 16}, "paywarden_system"),
    Lookup("payments.facts_overdue", "payments_waiting_for_facts", {"limit": 16}, "paywarden_system"),
    Lookup("payments.backlog", "payments_due", {}, "paywarden_system"),
    Lookup("payments.payments_by_provider_ids", "payments_by_provider_id", PROVIDER_NAMES),
    Lookup("payments.lock_payments", "payments_pkey", {"ids": [SOME_ID]}),
    Lookup("payments.stored_key", "idempotency_keys_pkey", {"principal_id": SOME_ID, "key": "key-7"}),
    Lookup("payments.operations_of_payment", "operations_tenant_id_payment_id_kind_key", {"payment_id": SOME_ID}),
    Lookup("webhooks.due_events", "webhook_inbox_due", {"limit": 16}, "paywarden_system"),
    Lookup("webhooks.claim_events", "webhook_inbox_pkey", {"ids": [SOME_ID]}),
    Lookup("webhooks.events_of_payment", "webhook_inbox_by_payment", {"payment_id": SOME_ID}),
    Lookup("ledger.list_transfers", "transfers_in_order", PAGE),
    Lookup("ledger.list_transfers_of_payment", "transfers_by_payment", PAGE | {"payment_id": SOME_ID}),
    Lookup("ledger.list_transfers_of_accounts", "transfers_by_debit", PAGE | CREDIT),
    Lookup("ledger.list_transfers_of_accounts", "transfers_by_credit", PAGE | CREDIT),
    Lookup("ledger.list_transfers_of_accounts", "accounts_tenant_id_code_book_asset_key", PAGE | CREDIT),
    Lookup("ledger.accounts_of_codes", "accounts_tenant_id_code_book_asset_key", CREDIT),
    Lookup("ledger.transfers_of_payment", "transfers_by_payment", {"payment_id": SOME_ID}),
    Lookup("ledger.holds_of_payment", "holds_by_payment", {"payment_id": SOME_ID}),
    Lookup("billing.list_top_ups", "credit_top_ups_pkey", {"after_id": NEWEST[1], "limit": 21}),
    Lookup(
        "billing.list_top_ups_of_customer",
        "credit_top_ups_by_customer",
        {"customer_id": CUSTOMER, "after_id": NEWEST[1], "limit": 21},
    ),
    Lookup("memory.notes_of_customer", "notes_by_customer", {"customer_id": CUSTOMER, "before": None, "limit": 20}),
    Lookup("audit.events_of_subject", "events_pkey", {"subject_id": SOME_ID}),
    Lookup("decisions.checks_of_payment", "checks_pkey", {"payment_id": SOME_ID}),
    Lookup("reconciliation.list_discrepancies", "discrepancies_in_status", {"status": "open", "limit": 101}),
    Lookup("reconciliation.discrepancies_of_payment", "discrepancies_by_payment", {"payment_id": SOME_ID}),
    Lookup("reviews.reviews_of_payment", "reviews_by_payment", {"payment_id": SOME_ID}),
    Lookup("reviews.overdue_reviews", "reviews_expiring", {"limit": 16}, "paywarden_system"),
    Lookup("identity.holder_of_key", "api_keys_tenant_id_secret_sha256_key", {"secret_sha256": b"x" * 32}),
]


@pytest.fixture(scope="module")
def filled(servers: Servers, database_numbers: Iterator[int]) -> Iterator[str]:
    """A database in which everything is there twenty thousand times: its name."""
    names = ("principal", "mandate", "window", "spent", "clearing", "revenue")
    values = {"count": PAYMENTS, "statuses": list(A_YEAR), "run": "plans", "transaction": 700, "agent": "agent-1"}
    values |= {"tenant": QUICKSTART_TENANT_ID} | {name: uuid4() for name in names}
    with cloned(servers.get(18), f"test_{next(database_numbers)}") as database:
        with psycopg.connect(database.superuser_url, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute("set session_replication_role = replica")
            for step in STEPS:
                connection.execute(SQL[step].encode(), values)
            connection.execute(MORE_ROWS.encode())
        database.server.administer("vacuum analyze", database=database.name)
        yield database.name


@pytest.fixture
def grown(filled: str, server: Server, database_numbers: Iterator[int]) -> Iterator[Database]:
    """The same for one test, which may drop an index."""
    with cloned(server, f"test_{next(database_numbers)}", filled) as database:
        yield database


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all below it."""
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


def scans(tree: dict[str, Any]) -> list[tuple[str, str]]:
    """Every scan of a plan: how, and of which index or table."""
    return [
        (node["Node Type"], node.get("Index Name") or node.get("Relation Name") or "")
        for node in nodes(tree)
        if "Scan" in node["Node Type"]
    ]


def trees(database: Database, lookup: Lookup) -> Iterator[dict[str, Any]]:
    """The plan for these values, and the one that serves every call."""
    text = all_statements()[lookup.statement].sql
    values = {name: str(value) if isinstance(value, UUID) else value for name, value in lookup.values.items()}
    with psycopg.connect(database.service_url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("select set_config('role', %s, true)", [lookup.role])
        connection.execute("select set_config('app.tenant', %s, true)", [str(QUICKSTART_TENANT_ID)])
        for row in (
            connection.execute(f"explain (verbose, format json) {text}".encode(), values).fetchone(),
            connection.execute(f"explain (verbose, format json, generic_plan) {as_prepared(text)}".encode()).fetchone(),
        ):
            assert row is not None
            plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
            yield plan[0]["Plan"]


def walked(database: Database, lookup: Lookup) -> bool:
    """Whether a plan goes through the whole index and drops what is not wanted."""
    return any(
        node.get("Index Name") == lookup.index and "Index Cond" not in node
        for tree in trees(database, lookup)
        for node in nodes(tree)
    )


def missed(database: Database, lookups: list[Lookup]) -> dict[str, Any]:
    """The statements that do not find their rows by the index that is there for them."""
    found = {}
    for lookup in lookups:
        for scanned in map(scans, trees(database, lookup)):
            if lookup.index not in {index for kind, index in scanned if "Index" in kind}:
                found[lookup.statement] = scanned
    return found


def test_what_is_looked_up_is_found_by_its_index(grown: Database) -> None:
    assert missed(grown, LOOKUPS) == {}
    _drop(grown, "payments_in_status")
    assert set(missed(grown, LOOKUPS)) == {"payments.list_payments"}, "a lost index was not missed"


def test_the_newest_of_some_kinds_and_statuses_are_read_in_order(grown: Database) -> None:
    """Not all of a kind, to be sorted afterwards: what is sorted are a page of each."""
    (lookup,) = [each for each in LOOKUPS if each.statement == "payments.list_payments"]
    for tree in trees(grown, lookup):
        sorts = [node for node in nodes(tree) if "Sort" in node["Node Type"]]
        assert len(sorts) == 1
        assert "Limit" in {node["Node Type"] for node in nodes(sorts[0])}
        (found,) = [node for node in nodes(tree) if node.get("Index Name") == lookup.index]
        assert all(name in found["Index Cond"] for name in ("status", "kind", "transaction_id"))


SEARCH = Lookup(
    "memory.nearest_by_text",
    "note_vectors_of_customer",
    {"customer_id": CUSTOMER, "embedder": "test", "words": "a note", "vector": str([0.1] * 400), "limit": 10},
)


def test_a_search_reads_vectors_and_words_of_a_customer_side_by_side(grown: Database) -> None:
    """Each note from its own page of the table would be ten times as many pages, and not for long in memory."""
    for tree in trees(grown, SEARCH):
        found = scans(tree)
        assert {("Index Only Scan", "note_vectors_of_customer"), ("Index Only Scan", "notes_by_customer")} <= set(found)
        assert not {kind for kind, _ in found} & {"Seq Scan", "Bitmap Heap Scan"}, found
        assert "notes_of_many_words" in {index for _, index in found}
        compared = [each for node in nodes(tree) for each in node.get("Output", []) if "sketch <=>" in each]
        assert compared
        assert not [each for each in compared if "::halfvec" in each], "the searched vector is halved for each note"


def test_what_is_not_due_yet_is_not_looked_at(grown: Database) -> None:
    """However much waits for later. A volatile clock bounds no index scan; asked in a query of its own it does."""
    queues = [lookup for lookup in LOOKUPS if lookup.role == "paywarden_system"]
    assert len(queues) == 6
    assert [lookup.statement for lookup in queues if walked(grown, lookup)] == []


def test_a_queue_that_is_walked_to_its_end_is_noticed(grown: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    due = all_statements()["payments.due_payments"]
    twin = replace(due, sql=due.sql.replace("(select paywarden.clock())", "paywarden.clock()"))
    monkeypatch.setattr("tests.database.test_query_plans.all_statements", lambda: {"payments.due_payments": twin})
    assert walked(grown, Lookup("payments.due_payments", "payments_due", {"limit": 16}, "paywarden_system"))


def _drop(database: Database, index: str) -> None:
    database.server.administer(f"drop index paywarden.{index}", database=database.name)
