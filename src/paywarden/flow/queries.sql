-- name: unfinished_payments
-- Unfinished payments of all tenants by status, found by what makes them move, for which there are indexes: a next
-- step, missing facts, an expiry, a settlement, a review.
select status, count(*) as payments
from (
    select tenant_id, id, status
    from paywarden.payments
    where next_step_at is not null or facts_until is not null
       or (expires_at is not null and status in ('pending', 'needs_facts', 'in_review', 'reserved'))
       or (origin in ('create', 'reserve') and status in
           ('reserved', 'submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized'))
    union
    select payment.tenant_id, payment.id, payment.status
    from paywarden.reviews as review
    join paywarden.payments as payment on payment.tenant_id = review.tenant_id and payment.id = review.payment_id
    where review.status = 'open' and payment.status = 'in_review'
) as unfinished
group by status;

-- name: open_reviews
-- How many reviews of all tenants wait for a verdict, and for how long the oldest has waited.
select count(*) as reviews,
    coalesce(extract(epoch from paywarden.clock() - min(created_at)), 0)::float8 as oldest_seconds
from paywarden.reviews
where status = 'open';

-- name: open_discrepancies
-- Open discrepancies of all tenants by kind.
select kind, count(*) as discrepancies
from paywarden.discrepancies
where status = 'open'
group by kind;

-- name: oldest_lapsed_hold
-- For how long the oldest hold at the gate whose time is over has not gone back, all tenants; 0 when there is none.
select coalesce(extract(epoch from paywarden.clock() - min(expires_at)), 0)::float8 as oldest_seconds
from paywarden.holds
where status = 'pending' and principal_id is not null and expires_at <= paywarden.clock();

-- name: present_extension
-- The version of pgvector in this database, if it is there.
select extversion as version from pg_catalog.pg_extension where extname = 'vector';

-- name: server_version
-- What the server calls itself.
select current_setting('server_version') as version;

-- name: hold_owners
-- Whose gate these holds belong to; the hold of a payment belongs to no gate.
select id, principal_id from paywarden.holds
where tenant_id = (select paywarden.tenant()) and id = any(%(ids)s) and principal_id is not null;
