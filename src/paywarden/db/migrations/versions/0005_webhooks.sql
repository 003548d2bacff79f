-- Webhooks in: who may knock, and every event exactly as it came.
create table paywarden.webhook_endpoints (
    tenant_id uuid not null references paywarden.tenants (id),
    id uuid not null,
    provider text not null,
    provider_account text not null,
    -- The name of the environment variable that holds the secret; the secret itself is never in the database.
    secret_variable text not null,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id)
);
create index webhook_endpoints_by_id on paywarden.webhook_endpoints (id);
call paywarden.wall('paywarden.webhook_endpoints');
call paywarden.open_to_system('paywarden.webhook_endpoints');
grant insert on paywarden.webhook_endpoints to paywarden_app;

create table paywarden.webhook_inbox (
    tenant_id uuid not null references paywarden.tenants (id),
    id uuid not null,
    provider text not null,
    provider_account text not null,
    -- The provider's event id, else the SHA-256 of the body.
    event_key text not null,
    event_type text not null,
    body bytea not null,
    status text not null default 'received' check (status in ('received', 'applied', 'ignored', 'unmatched', 'disputed')),
    payment_id uuid,
    attempts integer not null default 0,
    next_step_at timestamptz,
    received_at timestamptz not null default paywarden.clock(),
    applied_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, provider, provider_account, event_key),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id),
    check (status not in ('applied', 'ignored', 'disputed') or next_step_at is null)
);
create index webhook_inbox_due on paywarden.webhook_inbox (next_step_at) where next_step_at is not null;
create index webhook_inbox_by_payment on paywarden.webhook_inbox (tenant_id, payment_id) where payment_id is not null;
call paywarden.wall('paywarden.webhook_inbox');
call paywarden.open_to_system('paywarden.webhook_inbox');
-- Every event stays exactly as it came.
grant insert, update (status, payment_id, attempts, next_step_at, applied_at) on paywarden.webhook_inbox to paywarden_app;
