"""R20: the tenant wall in the database, read from the catalogue, so that a new table cannot forget it."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids

pytestmark = pytest.mark.both_versions

# Exempt from the wall, each with its reason.
EXEMPT = {
    "tenants": "names the tenants themselves and is read before a tenant is known; it holds no tenant's data",
    "schema_version": "which migrations ran; written by the owner only",
    "alembic_version": "which migrations ran; written by the owner only",
}
# What work without a tenant may read, and why.
SYSTEM_READS = {
    "checks": "invariants, whose they are alone",
    "events": "invariants, whose they are alone",
    "payments": "due work, invariants",
    "payment_transitions": "invariants",
    "operations": "invariants",
    "discrepancies": "invariants",
    "reviews": "overdue reviews",
    "verdicts": "invariants",
    "attestations": "invariants",
    "webhook_endpoints": "whose event this is",
    "webhook_inbox": "due events",
    "accounts": "invariants",
    "holds": "invariants, holds whose time is over",
    "hold_lines": "invariants",
    "transfers": "invariants",
    "authority_grants": "invariants",
    "credit_top_ups": "invariants",
    "credit_reversals": "invariants",
    "principals": "invariants, their ids alone",
}
OUR_ROLES = ["paywarden_owner", "paywarden_ledger", "paywarden_app", "paywarden_system", "quickstart"]


@pytest.fixture
def catalogue(database: Any) -> psycopg.Connection[dict[str, Any]]:
    with psycopg.connect(database.superuser_url, row_factory=dict_row, autocommit=True) as connection:
        yield connection


def tables(catalogue: psycopg.Connection[dict[str, Any]]) -> list[dict[str, Any]]:
    return catalogue.execute(
        "select oid, relname as name, relrowsecurity as walled, relforcerowsecurity as forced,"
        " pg_get_userbyid(relowner) as owner from pg_class"
        " where relnamespace = 'paywarden'::regnamespace and relkind in ('r', 'p') order by relname"
    ).fetchall()


def tenant_tables(catalogue: psycopg.Connection[dict[str, Any]]) -> list[str]:
    return [table["name"] for table in tables(catalogue) if table["name"] not in EXEMPT]


def faults_of_tables(catalogue: psycopg.Connection[dict[str, Any]]) -> list[str]:
    """Tables that are not behind a forced wall, not the owner's, or without the tenant first in their keys."""
    faults = []
    for table in tables(catalogue):
        if table["owner"] != "paywarden_owner":
            faults.append(f"{table['name']}: owned by {table['owner']}")
        if table["name"] in EXEMPT:
            continue
        if not (table["walled"] and table["forced"]):
            faults.append(f"{table['name']}: no forced row level security")
        keys = catalogue.execute(
            "select conname as name, contype, (select attname from pg_attribute"
            "  where attrelid = conrelid and attnum = conkey[1]) as first, cardinality(conkey) as columns"
            " from pg_constraint where conrelid = %s and contype in ('p', 'u', 'f')",
            [table["oid"]],
        ).fetchall()
        faults += [
            f"{table['name']}: {key['name']} does not begin with tenant_id"
            for key in keys
            if key["first"] != "tenant_id"
        ]
    return faults


def test_every_table_is_behind_the_wall_with_the_tenant_first(catalogue: Any) -> None:
    assert len(tenant_tables(catalogue)) > 20
    assert faults_of_tables(catalogue) == []


@pytest.mark.parametrize(
    ("wrong_line", "fault"),
    [
        ("create table paywarden.forgotten (tenant_id uuid, id uuid primary key)", "forgotten"),
        ("alter table paywarden.payments no force row level security", "payments: no forced"),
        ("alter table paywarden.notes disable row level security", "notes: no forced"),
        ("alter table paywarden.payments add unique (provider_payment_id)", "does not begin with tenant_id"),
    ],
)
def test_broken_twin_the_catalogue_check_sees_a_hole(catalogue: Any, wrong_line: str, fault: str) -> None:
    catalogue.execute(wrong_line)
    assert any(fault in found for found in faults_of_tables(catalogue))


def test_no_role_of_ours_is_above_the_wall(catalogue: Any) -> None:
    rows = catalogue.execute(
        "select rolname as name, rolsuper or rolbypassrls or rolcreaterole or rolreplication as above, rolcanlogin"
        " from pg_roles where rolname = any(%s)",
        [OUR_ROLES],
    ).fetchall()
    assert {row["name"] for row in rows} == set(OUR_ROLES)
    assert [row["name"] for row in rows if row["above"]] == []
    assert [row["name"] for row in rows if row["rolcanlogin"]] == ["quickstart"]


def test_work_without_a_tenant_reads_just_what_is_listed_and_writes_nothing(catalogue: Any) -> None:
    granted = catalogue.execute(
        "select table_name, column_name, privilege_type from information_schema.role_column_grants"
        " where grantee = 'paywarden_system' and table_schema = 'paywarden'"
    ).fetchall()
    assert {row["privilege_type"] for row in granted} == {"SELECT"}
    assert {row["table_name"] for row in granted} == {*SYSTEM_READS, "tenants"}
    named = {"principals": set(), "events": {"principal_id"}, "checks": {"payment_id"}}
    for table, columns in named.items():
        seen = {row["column_name"] for row in granted if row["table_name"] == table}
        assert seen == {"tenant_id", "id"} | columns


def test_views_run_with_the_rights_of_who_reads_them(catalogue: Any) -> None:
    views = catalogue.execute(
        "select relname, reloptions from pg_class join pg_namespace as space on space.oid = relnamespace"
        " where nspname in ('paywarden', 'quickstart') and relkind in ('v', 'm')"
    ).fetchall()
    assert len(views) == 3
    assert all("security_invoker=true" in (view["reloptions"] or []) for view in views)


def test_functions_with_the_rights_of_their_owner_are_the_ledgers_door_alone(catalogue: Any) -> None:
    rows = catalogue.execute(
        "select proname, pg_get_userbyid(proowner) as owner, proconfig from pg_proc"
        " where pronamespace = 'paywarden'::regnamespace and prosecdef"
    ).fetchall()
    doors = ["ledger_write", "ledger_write_tenants"]
    assert sorted((row["proname"], row["owner"]) for row in rows) == [(door, "paywarden_ledger") for door in doors]
    assert all(any(each.startswith("search_path=") for each in row["proconfig"]) for row in rows)


@pytest.fixture
def two_tenants(catalogue: Any) -> tuple[UUID, UUID]:
    """The quick-start tenant and a second one, each with a customer, a principal and a payment."""
    other = ids.new_uuid()
    catalogue.execute("insert into paywarden.tenants (id, name, environment) values (%s, 'other', 'test')", [other])
    for tenant in (QUICKSTART_TENANT_ID, other):
        principal = ids.new_uuid()
        catalogue.execute("insert into paywarden.customers (tenant_id, id) values (%s, 'cust')", [tenant])
        catalogue.execute(
            "insert into paywarden.principals (tenant_id, id, kind, name, roles) values (%s, %s, 'agent', 'a', '{}')",
            [tenant, principal],
        )
        catalogue.execute(
            "insert into paywarden.payments (tenant_id, id, kind, origin, amount_minor, currency, principal_id,"
            " agent_id, customer_id, keyed, action_digest)"
            " values (%s, %s, 'charge', 'payments', 5, 'usd', %s, 'a', 'cust', true, %s)",
            [tenant, ids.new_uuid(), principal, bytes(32)],
        )
    return QUICKSTART_TENANT_ID, other


def foreign_rows(url: str, tenant: UUID, names: list[str]) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        connection.execute(
            "select set_config('role', 'paywarden_app', true), set_config('app.tenant', %s, true)", [str(tenant)]
        )
        return {
            name: connection.execute(
                f"select count(*) from paywarden.{name} where tenant_id <> %s", [tenant]
            ).fetchone()[0]
            for name in names
        }


def test_the_app_sees_no_row_of_another_tenant_in_any_table(catalogue: Any, database: Any, two_tenants: Any) -> None:
    for tenant in two_tenants:
        seen = foreign_rows(database.service_url, tenant, tenant_tables(catalogue))
        assert seen == dict.fromkeys(seen, 0)


def test_broken_twin_a_policy_that_lets_everything_through_is_seen(
    catalogue: Any, database: Any, two_tenants: Any
) -> None:
    catalogue.execute("alter policy tenant_wall on paywarden.payments using (true)")
    assert foreign_rows(database.service_url, two_tenants[0], ["payments"]) == {"payments": 1}


def test_without_a_tenant_every_read_raises_instead_of_finding_nothing(catalogue: Any, database: Any) -> None:
    for name in tenant_tables(catalogue):
        with psycopg.connect(database.service_url) as connection:
            connection.execute("set local role paywarden_app")
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant"):
                connection.execute(f"select 1 from paywarden.{name}")


def test_a_row_cannot_point_into_another_tenant_nor_probe_for_its_keys(database: Any, two_tenants: Any) -> None:
    mine, theirs = two_tenants
    with psycopg.connect(database.service_url) as connection:
        connection.execute(
            "select set_config('role', 'paywarden_app', true), set_config('app.tenant', %s, true)", [str(mine)]
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("insert into paywarden.customers (tenant_id, id) values (%s, 'cust')", [theirs])
        inserted = connection.execute(
            "insert into paywarden.customers (tenant_id, id) values (%s, 'only-theirs') on conflict do nothing", [mine]
        )
        assert inserted.rowcount == 1


def test_the_quickstart_role_reads_its_views_and_nothing_else(catalogue: Any, database: Any, two_tenants: Any) -> None:
    with psycopg.connect(database.quickstart_url, autocommit=True) as connection:
        assert connection.execute("select user_id, amount_cents, status from payments").fetchall() == [
            ("cust", 5, "pending")
        ]
        assert connection.execute("select count(*) from payment_jobs").fetchone() == (0,)
        assert connection.execute("select count(*) from knowledge_base").fetchone() == (0,)
        connection.execute("select set_config('app.tenant', %s, false)", [str(two_tenants[1])])
        assert connection.execute("select count(*) from paywarden.payments").fetchone() == (1,)
        for statement in (
            "select * from paywarden.payments",
            "select 1 from paywarden.api_keys",
            "select 1 from paywarden.transfers",
            "insert into payments (id) values ('x')",
            "update paywarden.payments set status = 'succeeded'",
            "set role paywarden_app",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
