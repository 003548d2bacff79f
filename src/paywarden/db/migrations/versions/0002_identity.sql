-- Who acts: agents, people and services of a tenant, their keys, and the customers they act for.
create table paywarden.principals (
    tenant_id uuid not null references paywarden.tenants (id),
    id uuid not null,
    kind text not null check (kind in ('agent', 'person', 'service')),
    -- The caller's own name for it, e.g. the agent_id of the quick start.
    name text not null check (length(name) between 1 and 255),
    roles text[] not null check (
        roles <@ array['initiate', 'review', 'settle', 'administer', 'risk', 'finance', 'approver']),
    status text not null default 'active' check (status in ('active', 'suspended')),
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    unique (tenant_id, kind, name)
);
call paywarden.wall('paywarden.principals');
grant insert, update on paywarden.principals to paywarden_app;
grant select on paywarden.principals to paywarden_ledger;

create table paywarden.api_keys (
    tenant_id uuid not null,
    id uuid not null,
    principal_id uuid not null,
    -- SHA-256 of the whole key; the key itself is shown once and never stored.
    secret_sha256 bytea not null check (length(secret_sha256) = 32),
    hint text not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    unique (tenant_id, secret_sha256),
    foreign key (tenant_id, principal_id) references paywarden.principals (tenant_id, id)
);
call paywarden.wall('paywarden.api_keys');
grant insert, update on paywarden.api_keys to paywarden_app;

create table paywarden.customers (
    tenant_id uuid not null references paywarden.tenants (id),
    -- The caller's own id of the customer.
    id text not null check (length(id) between 1 and 255),
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id)
);
call paywarden.wall('paywarden.customers');
grant insert on paywarden.customers to paywarden_app;

-- What happened, for audit, found by what it is about. Whoever reads all of it with a cursor (below pg_snapshot_xmin)
-- will need an index in order. No foreign keys and one index: docs/decisions/0009-group-writes.md, 0008-growth.md.
create table paywarden.events (
    tenant_id uuid not null,
    id uuid not null,
    type text not null,
    subject_kind text not null,
    subject_id uuid not null,
    principal_id uuid,
    request_id text,
    data jsonb not null default '{}',
    event_at timestamptz not null default paywarden.clock(),
    created_at timestamptz not null default paywarden.clock(),
    transaction_id xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, subject_id, id)
);
call paywarden.wall('paywarden.events');
-- For the invariant that stands in for the foreign keys; no more of them than whose they are.
create policy system_read on paywarden.events for select to paywarden_system using (true);
grant select (tenant_id, id, principal_id) on paywarden.events to paywarden_system;
call paywarden.make_insert_only('paywarden.events');
