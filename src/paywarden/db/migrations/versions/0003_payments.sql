-- Payments: the row is the product and the queue. The moves between states are in docs/decisions/0001-states.md.
create table paywarden.payments (
    -- That of its principal, who is of a tenant.
    tenant_id uuid not null,
    id uuid not null,
    kind text not null check (kind in ('charge', 'refund', 'payout')),
    -- Which door asked: it decides the words of the quick-start answers and views.
    origin text not null check (origin in ('v1', 'payments', 'create', 'reserve')),
    status text not null default 'pending' check (status in (
        'pending', 'needs_facts', 'in_review', 'reserved', 'submitting', 'outcome_unknown', 'processing',
        'requires_action', 'authorized', 'succeeded', 'failed', 'canceled', 'expired', 'denied')),
    amount_minor bigint not null check (amount_minor between 1 and 1000000000000000),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    principal_id uuid not null,
    agent_id text not null,
    customer_id text,
    payee text,
    purpose text,
    reference text,
    request_text text,
    original_payment_id uuid,
    mandate_id uuid,
    -- False: the provider shall wait for a confirm call (quick-start create).
    confirm boolean not null default true,
    -- True: authority only; nobody sends it anywhere, somebody settles it by hand.
    bare boolean not null default false,
    keyed boolean not null,
    duplicate_suspected boolean not null default false,
    -- True from the first review on; nobody takes it back (0010).
    review_opened boolean not null default false,
    provider text,
    provider_account text,
    provider_payment_id text,
    hold_id uuid,
    oversight text check (oversight in ('autonomous', 'advised', 'reviewed')),
    decided_by text[] not null default '{}',
    reason text,
    policy_version text,
    action_digest bytea not null check (length(action_digest) = 32),
    decision_id uuid,
    captured_minor bigint not null default 0 check (captured_minor >= 0),
    refund_reserved_minor bigint not null default 0 check (refund_reserved_minor >= 0),
    refunded_minor bigint not null default 0 check (refunded_minor >= 0),
    disputed_minor bigint not null default 0 check (disputed_minor >= 0),
    returned_minor bigint not null default 0 check (returned_minor >= 0),
    late boolean not null default false,
    -- What the adviser misses, until when somebody may give it, and how often it was asked for.
    missing_facts text[] not null default '{}',
    facts_until timestamptz,
    facts_rounds smallint not null default 0 check (facts_rounds >= 0),
    next_step_at timestamptz,
    lease_until timestamptz,
    fence bigint not null default 0,
    last_sort_key integer not null default 0,
    expires_at timestamptz,
    created_at timestamptz not null default paywarden.clock(),
    updated_at timestamptz not null default paywarden.clock(),
    transaction_id xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, id),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id),
    foreign key (tenant_id, customer_id) references paywarden.customers (tenant_id, id),
    foreign key (tenant_id, original_payment_id) references paywarden.payments (tenant_id, id),
    check ((kind = 'refund') = (original_payment_id is not null)),
    check ((kind = 'payout') = (payee is not null)),
    check (bare or coalesce(customer_id, payee) is not null),
    check (not bare or provider is null),
    check ((status = 'needs_facts') = (facts_until is not null)),
    check ((status = 'needs_facts') = (cardinality(missing_facts) > 0)),
    check (status not in ('succeeded', 'failed', 'canceled', 'expired', 'denied') or next_step_at is null),
    check (status not in ('reserved', 'submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized')
           or hold_id is not null),
    -- A provider's success books even on a payment that nobody decided on.
    check (status in ('pending', 'needs_facts', 'in_review', 'denied', 'canceled', 'expired', 'succeeded')
           or oversight is not null)
);
create unique index payments_by_provider_id
    on paywarden.payments (tenant_id, provider, provider_account, kind, provider_payment_id)
    where provider_payment_id is not null;
create index payments_due on paywarden.payments (next_step_at) where next_step_at is not null;
create index payments_expiring on paywarden.payments (expires_at)
    where expires_at is not null and status in ('pending', 'needs_facts', 'in_review', 'reserved');
create index payments_waiting_for_facts on paywarden.payments (facts_until) where facts_until is not null;
-- Payments lie in the order in which they came: a period is found by blocks, at next to no cost for a write.
create index payments_by_time on paywarden.payments using brin (created_at) with (autosummarize = on);
-- All payments in order are those of every status and kind, merged. The tenant comes third: first, it would look to a
-- table without statistics as good as the primary key for finding one payment, and be read from end to end for it.
create index payments_in_status on paywarden.payments (status, kind, tenant_id, transaction_id desc, id desc);
create index payments_by_customer on paywarden.payments (tenant_id, customer_id, transaction_id desc, id desc)
    where customer_id is not null;
create index payments_by_original on paywarden.payments (tenant_id, original_payment_id)
    where original_payment_id is not null;
create index payments_by_payee on paywarden.payments (tenant_id, payee) where payee is not null and status = 'succeeded';
create index payments_payable_jobs on paywarden.payments (tenant_id, agent_id, id)
    where origin in ('create', 'reserve') and status in
        ('reserved', 'submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized');
call paywarden.wall('paywarden.payments');
call paywarden.open_to_system('paywarden.payments');
-- What was asked for, by whom, and the digest a verdict is bound to are written once.
grant insert, update (
    status, oversight, decided_by, reason, policy_version, mandate_id, decision_id, hold_id, provider_payment_id,
    captured_minor, refund_reserved_minor, refunded_minor, disputed_minor, returned_minor, late, missing_facts,
    facts_until, facts_rounds, next_step_at, lease_until, fence, last_sort_key, review_opened, updated_at)
    on paywarden.payments to paywarden_app;
-- The ledger locks payments and changes none; a row lock needs the right to update something.
grant select, update (updated_at) on paywarden.payments to paywarden_ledger;

-- Each is written in the statement that writes or moves its payment, for a principal who was just asked for: no foreign
-- keys (docs/decisions/0009-group-writes.md).
create table paywarden.payment_transitions (
    tenant_id uuid not null,
    payment_id uuid not null,
    sort_key integer not null,
    from_status text,
    to_status text not null,
    -- request: somebody asked; fact: a provider (or two people) proved it; lapse: time passed or nobody answered.
    cause text not null check (cause in ('request', 'fact', 'lapse')),
    source text not null,
    principal_id uuid,
    detail jsonb not null default '{}',
    event_at timestamptz not null default paywarden.clock(),
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, payment_id, sort_key)
);
call paywarden.wall('paywarden.payment_transitions');
call paywarden.open_to_system('paywarden.payment_transitions');
call paywarden.make_insert_only('paywarden.payment_transitions');

-- What we asked of a provider: written and committed before it is sent, and always sent as these exact bytes.
create table paywarden.operations (
    tenant_id uuid not null,
    id uuid not null,
    payment_id uuid not null,
    kind text not null check (kind in ('submit', 'confirm', 'refund', 'payout')),
    provider text not null,
    provider_account text not null,
    our_reference text not null,
    idempotency_key text not null,
    path text not null,
    body bytea not null,
    status text not null default 'submitting' check (status in
        ('submitting', 'outcome_unknown', 'accepted', 'declined', 'invalid')),
    -- Every attempt that may have reached the provider; attempts that provably were not sent do not count.
    attempts integer not null default 0 check (attempts >= 0),
    first_sent_at timestamptz,
    provider_id text,
    last_error text,
    fence bigint not null,
    lease_until timestamptz not null,
    created_at timestamptz not null default paywarden.clock(),
    updated_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    unique (tenant_id, payment_id, kind),
    unique (tenant_id, provider, provider_account, idempotency_key),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id)
);
call paywarden.wall('paywarden.operations');
call paywarden.open_to_system('paywarden.operations');
-- The stored key and body are the only fence that reaches the provider: nobody rewrites them.
grant insert, update (
    status, attempts, first_sent_at, provider_id, last_error, fence, lease_until, updated_at)
    on paywarden.operations to paywarden_app;

-- Where two truths do not agree, until somebody resolves it.
create table paywarden.discrepancies (
    tenant_id uuid not null references paywarden.tenants (id),
    id uuid not null,
    kind text not null,
    payment_id uuid,
    -- One open row per thing that disagrees.
    subject text not null,
    detail jsonb not null default '{}',
    status text not null default 'open' check (status in ('open', 'resolved')),
    created_at timestamptz not null default paywarden.clock(),
    resolved_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id)
);
create unique index discrepancies_open on paywarden.discrepancies (tenant_id, kind, subject) where status = 'open';
create index discrepancies_in_status on paywarden.discrepancies (tenant_id, status, id);
create index discrepancies_by_payment on paywarden.discrepancies (tenant_id, payment_id, id) where payment_id is not null;
call paywarden.wall('paywarden.discrepancies');
call paywarden.open_to_system('paywarden.discrepancies');
grant insert, update on paywarden.discrepancies to paywarden_app;
