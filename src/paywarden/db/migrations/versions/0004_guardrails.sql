-- Mandates (what a principal may spend), the duplicate guard, decisions with everything they rested on, and reviews.
create table paywarden.mandates (
    tenant_id uuid not null,
    id uuid not null,
    principal_id uuid not null,
    name text not null check (length(name) between 1 and 255),
    kinds text[] not null check (kinds <@ array['charge', 'refund', 'payout', 'gate'] and cardinality(kinds) > 0),
    -- Null: any counterparty.
    payees text[],
    timezone text not null,
    valid_from timestamptz not null,
    valid_until timestamptz,
    status text not null default 'active' check (status in ('active', 'revoked')),
    version integer not null default 1,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id),
    check (valid_until > valid_from)
);
create index mandates_by_principal on paywarden.mandates (tenant_id, principal_id, id);
call paywarden.wall('paywarden.mandates');
grant insert, update on paywarden.mandates to paywarden_app;
grant select on paywarden.mandates to paywarden_ledger;

create table paywarden.mandate_limits (
    tenant_id uuid not null,
    mandate_id uuid not null,
    currency text not null check (currency ~ '^[a-z]{3}$'),
    -- payment: the most a single payment may be; day: the budget of a calendar day in the mandate's time zone.
    window_kind text not null check (window_kind in ('payment', 'day')),
    limit_minor bigint not null check (limit_minor between 1 and 1000000000000000),
    primary key (tenant_id, mandate_id, currency, window_kind),
    foreign key (tenant_id, mandate_id) references paywarden.mandates (tenant_id, id)
);
call paywarden.wall('paywarden.mandate_limits');
grant insert, update on paywarden.mandate_limits to paywarden_app;

create table paywarden.duplicate_guards (
    tenant_id uuid not null,
    fingerprint bytea not null check (length(fingerprint) = 32),
    last_at timestamptz not null,
    primary key (tenant_id, fingerprint)
);
call paywarden.wall('paywarden.duplicate_guards');
grant insert, update on paywarden.duplicate_guards to paywarden_app;

create table paywarden.notes (
    tenant_id uuid not null,
    id uuid not null,
    customer_id text not null,
    invoice_id text check (length(invoice_id) <= 255),
    case_id text check (length(case_id) <= 255),
    -- The payment that asked for it as a missing fact.
    payment_id uuid,
    source text check (length(source) <= 255),
    trust text not null check (trust in ('record', 'staff', 'customer', 'external')),
    content text not null check (length(content) between 1 and 20000),
    content_sha256 bytea not null check (length(content_sha256) = 32),
    -- Machine-readable facts of a record note (decisions/record_facts.py).
    facts jsonb,
    -- The caller's own vector, if one was brought; searched only by vectors of the same dimension.
    own_embedding vector,
    own_dimension integer generated always as (vector_dims(own_embedding)) stored,
    valid_until timestamptz,
    created_at timestamptz not null default paywarden.clock(),
    -- No stemming and no stop words, so that every language and every order number is searched alike. There is no GIN
    -- index on them: @@ is not leakproof, so behind the tenant wall none would be used. Instead the words of a
    -- customer's notes stand side by side in notes_by_customer, but for those that do not fit into a line of an index.
    words tsvector generated always as (case
        when octet_length(content) <= 2000
            and octet_length(tsvectorsend(to_tsvector('simple', content))) + octet_length(customer_id) <= 1500
        then to_tsvector('simple', content) end) stored,
    many_words tsvector generated always as (case
        when octet_length(content) <= 2000
            and octet_length(tsvectorsend(to_tsvector('simple', content))) + octet_length(customer_id) <= 1500
        then null else to_tsvector('simple', content) end) stored,
    primary key (tenant_id, id),
    constraint notes_by_customer unique (tenant_id, customer_id, id) include (valid_until, words),
    foreign key (tenant_id, customer_id) references paywarden.customers (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id)
);
create index notes_ending on paywarden.notes (tenant_id, customer_id) where valid_until is not null;
create index notes_of_many_words on paywarden.notes (tenant_id, customer_id) where words is null;
create index notes_by_payment on paywarden.notes (tenant_id, payment_id, id) where payment_id is not null;
-- A search reads its indexes only as far as the pages are known to be visible to all: vacuum keeps up with new notes.
alter table paywarden.notes set (autovacuum_vacuum_insert_scale_factor = 0.02);
call paywarden.wall('paywarden.notes');
call paywarden.make_insert_only('paywarden.notes');

-- Our vectors of notes, one by each embedder that has read the note, so that a new embedder can read them all while the
-- present one serves. A note that has not ended and has no vector of the present one is due (flow/embedding.py).
create table paywarden.note_vectors (
    tenant_id uuid not null,
    note_id uuid not null,
    -- The note's own.
    customer_id text not null,
    embedder text not null check (length(embedder) between 1 and 255),
    embedding vector not null,
    dimension integer not null generated always as (vector_dims(embedding)) stored,
    -- The same in half the bits, where that fits into a line of an index: to find among a customer's many notes those few
    -- that must be compared exactly (docs/decisions/0008-growth.md).
    sketch halfvec generated always as (case
        when 2 * vector_dims(embedding) + octet_length(customer_id) + octet_length(embedder) <= 2560
        then embedding::halfvec end) stored,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, note_id, embedder),
    foreign key (tenant_id, customer_id, note_id) references paywarden.notes (tenant_id, customer_id, id)
);
-- All that a first look at a customer's vectors needs, side by side, without the table.
create index note_vectors_of_customer on paywarden.note_vectors (tenant_id, customer_id, embedder)
    include (note_id, sketch);
alter table paywarden.note_vectors set (autovacuum_vacuum_insert_scale_factor = 0.02);
call paywarden.wall('paywarden.note_vectors');
call paywarden.make_insert_only('paywarden.note_vectors');

create table paywarden.decisions (
    tenant_id uuid not null,
    id uuid not null,
    payment_id uuid,
    customer_id text,
    principal_id uuid not null,
    adviser text not null,
    model text,
    prompt_version text,
    prompt_sha256 bytea,
    -- Exactly what the adviser saw, and exactly what it answered.
    snapshot jsonb not null,
    raw_answer text,
    advice jsonb not null,
    usage jsonb not null default '{}',
    -- How the provider of the model names the calls that it took.
    request_ids text[] not null default '{}',
    -- Millionths of a US dollar by list price; null when nobody knows.
    cost_micro_usd bigint check (cost_micro_usd >= 0),
    latency_ms integer not null,
    policy_version text,
    -- The decision whose snapshot this one was made from once more. A replay belongs to no payment.
    replay_of uuid,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id),
    foreign key (tenant_id, replay_of) references paywarden.decisions (tenant_id, id),
    check (replay_of is null or payment_id is null)
);
create index decisions_by_payment on paywarden.decisions (tenant_id, payment_id, id) where payment_id is not null;
call paywarden.wall('paywarden.decisions');
call paywarden.make_insert_only('paywarden.decisions');

create table paywarden.decision_evidence (
    tenant_id uuid not null,
    decision_id uuid not null,
    note_id uuid not null,
    content_sha256 bytea not null,
    score double precision not null,
    trust text not null,
    cited boolean not null,
    primary key (tenant_id, decision_id, note_id),
    foreign key (tenant_id, decision_id) references paywarden.decisions (tenant_id, id),
    foreign key (tenant_id, note_id) references paywarden.notes (tenant_id, id)
);
create index decision_evidence_by_note on paywarden.decision_evidence (tenant_id, note_id);
call paywarden.wall('paywarden.decision_evidence');
call paywarden.make_insert_only('paywarden.decision_evidence');

-- Every guard check of a payment or decision, with the rule and what it saw.
create table paywarden.checks (
    -- That of its payment or decision.
    tenant_id uuid not null,
    id uuid not null,
    payment_id uuid,
    decision_id uuid,
    -- What they are found by, so that one index serves.
    subject_id uuid not null generated always as (coalesce(payment_id, decision_id)) stored,
    -- What one look at the rules found, in their order: [{"rule", "result": "pass", "fail" or "note", "detail"}, ...].
    findings jsonb not null check (jsonb_typeof(findings) = 'array'),
    policy_version text,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, subject_id, id),
    -- To the payment none: docs/decisions/0009-group-writes.md.
    foreign key (tenant_id, decision_id) references paywarden.decisions (tenant_id, id)
);
create index checks_by_decision on paywarden.checks (tenant_id, decision_id, id) where decision_id is not null;
call paywarden.wall('paywarden.checks');
call paywarden.make_insert_only('paywarden.checks');
create policy system_read on paywarden.checks for select to paywarden_system using (true);
grant select (tenant_id, id, payment_id) on paywarden.checks to paywarden_system;

create table paywarden.reviews (
    tenant_id uuid not null,
    id uuid not null,
    payment_id uuid not null,
    initiator_id uuid not null,
    required_role text not null,
    reviewer_kind text not null check (reviewer_kind in ('any', 'person')),
    -- The action the verdict must be about: SHA-256 of its canonical JSON (RFC 8785).
    action_digest bytea not null check (length(action_digest) = 32),
    reason text not null,
    status text not null default 'open' check (status in ('open', 'approved', 'rejected', 'expired', 'canceled')),
    expires_at timestamptz not null,
    created_at timestamptz not null default paywarden.clock(),
    closed_at timestamptz,
    -- A review is a task: whoever claims it keeps others from it while the lease runs. `fence` grows with every claim, and
    -- a verdict that names an older one is refused.
    claimed_by uuid check (claimed_by <> initiator_id),
    fence bigint not null default 0,
    lease_until timestamptz,
    check ((claimed_by is null) = (lease_until is null)),
    primary key (tenant_id, id),
    unique (tenant_id, id, payment_id, initiator_id, action_digest),
    foreign key (tenant_id, claimed_by) references paywarden.principals (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id),
    foreign key (tenant_id, initiator_id) references paywarden.principals (tenant_id, id)
);
create unique index reviews_one_open on paywarden.reviews (tenant_id, payment_id) where status = 'open';
create index reviews_expiring on paywarden.reviews (expires_at) where status = 'open';
call paywarden.wall('paywarden.reviews');
call paywarden.open_to_system('paywarden.reviews');
-- Which action, whose, until when and who may answer are written once.
grant insert, update (status, closed_at, claimed_by, fence, lease_until) on paywarden.reviews to paywarden_app;

create table paywarden.verdicts (
    tenant_id uuid not null,
    id uuid not null,
    review_id uuid not null,
    payment_id uuid not null,
    initiator_id uuid not null,
    reviewer_id uuid not null,
    verdict text not null check (verdict in ('approve', 'reject')),
    action_digest bytea not null,
    reason text not null,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    unique (tenant_id, review_id, reviewer_id),
    -- The verdict is about the review's own payment, initiator and digest: the database compares all three.
    foreign key (tenant_id, review_id, payment_id, initiator_id, action_digest)
        references paywarden.reviews (tenant_id, id, payment_id, initiator_id, action_digest),
    foreign key (tenant_id, reviewer_id) references paywarden.principals (tenant_id, id),
    -- Separation of duties, also for whoever holds the app role.
    check (reviewer_id <> initiator_id)
);
create index verdicts_by_payment on paywarden.verdicts (tenant_id, payment_id, id);
call paywarden.wall('paywarden.verdicts');
call paywarden.open_to_system('paywarden.verdicts');
call paywarden.make_insert_only('paywarden.verdicts');

-- What people say became of a payment whose outcome nobody can know otherwise (money.md 3). Two of them who agree in
-- outcome and reference clear it; everything they said stays.
create table paywarden.attestations (
    tenant_id uuid not null,
    id uuid not null,
    payment_id uuid not null,
    principal_id uuid not null,
    outcome text not null check (outcome in ('succeeded', 'failed')),
    -- Where it can be looked up again: the provider's own id, a support case, a page of a statement.
    reference text not null check (length(reference) between 1 and 255),
    -- The provider's id, if the place says one: without it a charge can not be refunded later.
    provider_payment_id text check (length(provider_payment_id) between 1 and 255),
    reason text,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id)
);
create index attestations_by_payment on paywarden.attestations (tenant_id, payment_id, id);
call paywarden.wall('paywarden.attestations');
call paywarden.open_to_system('paywarden.attestations');
call paywarden.make_insert_only('paywarden.attestations');

-- Separation of duties, also for whoever holds the app role: an active person who may settle, and not the initiator.
create function paywarden.check_attestation() returns trigger
    language plpgsql
as $$
begin
    if not exists (
        select from paywarden.principals as witness
        join paywarden.payments as payment on payment.tenant_id = witness.tenant_id and payment.id = new.payment_id
        where witness.tenant_id = new.tenant_id and witness.id = new.principal_id and witness.kind = 'person'
          and witness.status = 'active' and 'settle' = any(witness.roles) and payment.principal_id <> witness.id)
    then
        raise check_violation using message = 'this principal cannot attest the outcome of this payment';
    end if;
    return new;
end
$$;
create trigger separation_of_duties before insert on paywarden.attestations
    for each row execute function paywarden.check_attestation();
