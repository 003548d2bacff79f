-- name: insert_events
-- Store verified events once each, in the order of their keys, so that two that store the same ones do not wait in a circle.
insert into paywarden.webhook_inbox (
    tenant_id, id, provider, provider_account, event_key, event_type, body, next_step_at)
select (select paywarden.tenant()), event.id, event.provider, event.account, event.event_key, event.event_type,
    event.body, paywarden.clock()
from unnest(%(ids)b::uuid[], %(providers)b::text[], %(accounts)b::text[], %(event_keys)b::text[],
            %(event_types)b::text[], %(bodies)b::bytea[])
    as event(id, provider, account, event_key, event_type, body)
order by event.provider, event.account, event.event_key, event.id
on conflict (tenant_id, provider, provider_account, event_key) do nothing
returning id;

-- name: event_by_id
-- One stored event.
select id, provider, provider_account, event_key, event_type, body, status, payment_id, attempts, received_at
from paywarden.webhook_inbox
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: lock_event
-- One event that still waits, locked.
select id, provider, provider_account, event_key, event_type, body, status, attempts, received_at
from paywarden.webhook_inbox
where tenant_id = (select paywarden.tenant()) and id = %(id)s and next_step_at is not null
for no key update skip locked;

-- name: claim_events
-- Of these events those that still wait and that nobody else works on, locked, in the order in which they came.
select id, provider, provider_account, event_key, body, status
from paywarden.webhook_inbox
where tenant_id = (select paywarden.tenant()) and id = any(%(ids)b::uuid[]) and status in ('received', 'unmatched')
order by id
for no key update skip locked;

-- name: close_events
-- These events are dealt with.
update paywarden.webhook_inbox as stored
set status = closed.status, payment_id = closed.payment_id, next_step_at = null, attempts = stored.attempts + 1,
    applied_at = paywarden.clock()
from unnest(%(ids)b::uuid[], %(statuses)b::text[], %(payment_ids)b::uuid[]) as closed(id, status, payment_id)
where stored.tenant_id = (select paywarden.tenant()) and stored.id = closed.id;

-- name: close_event
-- The event is dealt with.
update paywarden.webhook_inbox
set status = %(status)s, payment_id = %(payment_id)s, next_step_at = null, attempts = attempts + 1,
    applied_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: postpone_event
-- No payment matches yet.
update paywarden.webhook_inbox
set status = 'unmatched', attempts = attempts + 1,
    next_step_at = paywarden.clock() + make_interval(secs => least(30, power(2, least(attempts, 5))))
where tenant_id = (select paywarden.tenant()) and id = %(id)s
returning attempts, extract(epoch from paywarden.clock() - received_at)::float8 as age_seconds;

-- name: events_of_payment
-- The events that were matched to a payment.
select id, provider, event_key, event_type, status, received_at, applied_at
from paywarden.webhook_inbox
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;

-- name: due_events
-- Events that wait to be applied, oldest first.
select tenant_id, id from paywarden.webhook_inbox
where next_step_at <= (select paywarden.clock())
order by next_step_at
limit %(limit)s;

-- name: lock_provider_id
-- One at a time for everything that is about this id of the provider.
select pg_advisory_xact_lock(hashtextextended(%(name)s, 0));

-- name: lock_provider_ids
-- The same for several ids, sorted, so that nobody waits in a circle.
select pg_advisory_xact_lock(name.hash)
from (select distinct hashtextextended(name, 0) as hash from unnest(%(names)b::text[]) as name order by hash) as name;

-- name: endpoint_by_id
-- Where an endpoint's events belong.
select tenant_id, id, provider, provider_account, secret_variable from paywarden.webhook_endpoints where id = %(id)s;

-- name: insert_endpoint
-- A new address for a provider's events.
insert into paywarden.webhook_endpoints (tenant_id, id, provider, provider_account, secret_variable)
values ((select paywarden.tenant()), %(id)s, %(provider)s, %(account)s, %(secret_variable)s);
