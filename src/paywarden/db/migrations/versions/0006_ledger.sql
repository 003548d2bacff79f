-- The ledger: accounts in three books, transfers, two-phase holds. Written only by paywarden.ledger_write.
create table paywarden.accounts (
    tenant_id uuid not null references paywarden.tenants (id),
    id uuid not null,
    book text not null check (book in ('money', 'credit', 'authority')),
    asset text not null check (asset ~ '^[A-Z]{3}/[023]$'),
    code text not null check (length(code) between 1 and 600),
    normal text not null check (normal in ('debit', 'credit')),
    -- In the normal direction: balance is what is there, held is what pending holds have promised away.
    balance bigint not null default 0,
    held bigint not null default 0 check (held >= 0),
    -- Requests may not take balance - held below this; facts may (money must never refuse the truth). Null: no floor.
    floor bigint,
    -- A fact went below the floor: no new request until somebody has looked.
    blocked boolean not null default false,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    -- The code comes before what repeats, so that nobody looks an account up through the other key.
    unique (tenant_id, code, book, asset),
    unique (tenant_id, id, book, asset)
)
-- Rows change all the time and keep their keys: with room on the page no index is touched.
with (fillfactor = 50);
call paywarden.wall('paywarden.accounts');
call paywarden.open_to_system('paywarden.accounts');

create table paywarden.holds (
    -- The tenant is that of its payment or principal (docs/decisions/0009-group-writes.md).
    tenant_id uuid not null,
    id uuid not null,
    payment_id uuid,
    status text not null default 'pending' check (status in ('pending', 'posted', 'voided', 'expired')),
    amount_minor bigint not null check (amount_minor between 1 and 1000000000000000),
    captured_minor bigint not null default 0 check (captured_minor between 0 and amount_minor),
    -- A gate's hold belongs to no payment: who made it, for which customer's credit or on which mandate, and what for.
    principal_id uuid,
    currency text,
    customer_id text,
    mandate_id uuid,
    feature text check (length(feature) between 1 and 255),
    expires_at timestamptz,
    created_at timestamptz not null default paywarden.clock(),
    closed_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id) deferrable initially deferred,
    check ((status = 'pending') = (closed_at is null)),
    check ((principal_id is null) = (currency is null))
);
create index holds_by_payment on paywarden.holds (tenant_id, payment_id) where payment_id is not null;
create index holds_of_customer on paywarden.holds (tenant_id, customer_id, id) where customer_id is not null;
create index holds_expiring on paywarden.holds (expires_at) where status = 'pending' and principal_id is not null;
call paywarden.wall('paywarden.holds');
call paywarden.open_to_system('paywarden.holds');
-- For the invariant that stands in for a foreign key; no more of them than their ids.
create policy system_read on paywarden.principals for select to paywarden_system using (true);
grant select (tenant_id, id) on paywarden.principals to paywarden_system;

-- Credit that a customer was given: cash that came outside a provider, or a grant. Who gave it, and where it came from.
create table paywarden.credit_top_ups (
    tenant_id uuid not null,
    id uuid not null,
    principal_id uuid not null,
    customer_id text not null,
    funding text not null check (funding in ('prepaid', 'granted')),
    amount_minor bigint not null check (amount_minor between 1 and 1000000000000000),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    reference text check (length(reference) between 1 and 255),
    reason text check (length(reason) between 1 and 20000),
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id),
    foreign key (tenant_id, customer_id) references paywarden.customers (tenant_id, id),
    -- Cash can be looked up where it arrived.
    check (funding = 'granted' or reference is not null)
);
create index credit_top_ups_by_customer on paywarden.credit_top_ups (tenant_id, customer_id, id);
call paywarden.wall('paywarden.credit_top_ups');
call paywarden.open_to_system('paywarden.credit_top_ups');
call paywarden.make_insert_only('paywarden.credit_top_ups');

-- A top-up that was taken back, whole; the key allows it once. Who did it, and why.
create table paywarden.credit_reversals (
    tenant_id uuid not null,
    top_up_id uuid not null,
    principal_id uuid not null,
    reason text not null check (length(reason) between 1 and 20000),
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, top_up_id),
    foreign key (tenant_id, top_up_id) references paywarden.credit_top_ups (tenant_id, id),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id)
);
call paywarden.wall('paywarden.credit_reversals');
call paywarden.open_to_system('paywarden.credit_reversals');
call paywarden.make_insert_only('paywarden.credit_reversals');

-- One effect for one key of a principal.
create table paywarden.idempotency_keys (
    tenant_id uuid not null,
    principal_id uuid not null,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null check (length(fingerprint) = 32),
    -- What the request made or changed: a payment, a gate's hold, or a top-up of credit (also one that it takes back).
    payment_id uuid,
    hold_id uuid,
    top_up_id uuid,
    lease_until timestamptz not null,
    created_at timestamptz not null default paywarden.clock(),
    expires_at timestamptz not null,
    primary key (tenant_id, principal_id, key),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id) deferrable initially deferred,
    -- principal_id is that of the payment, top-up or hold; hold_id is written by the door alone
    -- (docs/decisions/0009-group-writes.md).
    foreign key (tenant_id, top_up_id) references paywarden.credit_top_ups (tenant_id, id) deferrable initially deferred,
    check (num_nonnulls(payment_id, hold_id, top_up_id) = 1)
);
create index idempotency_keys_expiring on paywarden.idempotency_keys (tenant_id, expires_at);
call paywarden.wall('paywarden.idempotency_keys');
grant insert (
    tenant_id, principal_id, key, fingerprint, payment_id, top_up_id, lease_until, created_at, expires_at),
    update (lease_until), delete on paywarden.idempotency_keys to paywarden_app;

-- Where a hold will post to, whatever the date: the accounts are named when the hold is made. The door writes them with
-- their hold, from accounts that it has just read, and nobody may delete either: no foreign keys, which cost up to a quarter
-- of a hold. Transfers have theirs, so no posting can follow a line to nowhere (docs/decisions/0009-group-writes.md).
create table paywarden.hold_lines (
    tenant_id uuid not null,
    hold_id uuid not null,
    line smallint not null,
    held_account_id uuid not null,
    debit_account_id uuid not null,
    credit_account_id uuid not null,
    book text not null,
    asset text not null,
    primary key (tenant_id, hold_id, line),
    check (debit_account_id <> credit_account_id),
    check (held_account_id in (debit_account_id, credit_account_id))
);
call paywarden.wall('paywarden.hold_lines');
call paywarden.open_to_system('paywarden.hold_lines');

-- One row moves one amount between two accounts of one book and asset: the sum over all accounts is always zero.
create table paywarden.transfers (
    tenant_id uuid not null,
    id uuid not null,
    operation text not null check (length(operation) between 1 and 600),
    fact_kind text not null check (length(fact_kind) between 1 and 100),
    line smallint not null,
    debit_account_id uuid not null,
    credit_account_id uuid not null,
    book text not null,
    asset text not null,
    amount_minor bigint not null check (amount_minor > 0),
    payment_id uuid,
    hold_id uuid,
    late boolean not null default false,
    event_at timestamptz not null,
    created_at timestamptz not null default paywarden.clock(),
    transaction_id xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, id),
    unique (tenant_id, operation, fact_kind, line),
    foreign key (tenant_id, debit_account_id, book, asset) references paywarden.accounts (tenant_id, id, book, asset),
    foreign key (tenant_id, credit_account_id, book, asset) references paywarden.accounts (tenant_id, id, book, asset),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id) deferrable initially deferred,
    foreign key (tenant_id, hold_id) references paywarden.holds (tenant_id, id),
    check (debit_account_id <> credit_account_id)
);
create index transfers_by_payment on paywarden.transfers (tenant_id, payment_id, id) where payment_id is not null;
create index transfers_by_debit on paywarden.transfers (tenant_id, debit_account_id, id);
create index transfers_by_credit on paywarden.transfers (tenant_id, credit_account_id, id);
create index transfers_in_order on paywarden.transfers (tenant_id, transaction_id, id);
call paywarden.wall('paywarden.transfers');
call paywarden.open_to_system('paywarden.transfers');
call paywarden.make_insert_only('paywarden.transfers');
revoke insert on paywarden.transfers from paywarden_app;

-- A budget window opened for a mandate: one grant per mandate, window and currency.
create table paywarden.authority_grants (
    tenant_id uuid not null,
    mandate_id uuid not null,
    window_key text not null,
    currency text not null,
    account_id uuid not null,
    limit_minor bigint not null,
    adjustments integer not null default 0,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, mandate_id, window_key, currency),
    foreign key (tenant_id, mandate_id) references paywarden.mandates (tenant_id, id),
    foreign key (tenant_id, account_id) references paywarden.accounts (tenant_id, id)
);
call paywarden.wall('paywarden.authority_grants');
call paywarden.open_to_system('paywarden.authority_grants');

grant usage on schema paywarden to paywarden_ledger;
grant select, insert, update on paywarden.accounts, paywarden.holds, paywarden.authority_grants to paywarden_ledger;
grant select, insert on paywarden.hold_lines, paywarden.transfers to paywarden_ledger;
grant select, insert, delete on paywarden.idempotency_keys to paywarden_ledger;
