-- name: insert_payment
-- Store a new payment as pending, with its first transition.
with inserted as (
    insert into paywarden.payments (
        tenant_id, id, kind, origin, amount_minor, currency, principal_id, agent_id, customer_id, payee, purpose,
        reference, request_text, original_payment_id, mandate_id, confirm, bare, keyed, duplicate_suspected, provider,
        provider_account, action_digest, expires_at)
    values (
        (select paywarden.tenant()), %(id)s, %(kind)s, %(origin)s, %(amount_minor)s, %(currency)s, %(principal_id)s,
        %(agent_id)s, %(customer_id)s, %(payee)s, %(purpose)s, %(reference)s, %(request_text)s,
        %(original_payment_id)s, %(mandate_id)s, %(confirm)s, %(bare)s, %(keyed)s, %(duplicate_suspected)s,
        %(provider)s, %(provider_account)s, %(action_digest)s,
        paywarden.clock() + make_interval(secs => %(expires_in_seconds)s))
    returning *
), noted as (
    insert into paywarden.payment_transitions (
        tenant_id, payment_id, sort_key, to_status, cause, source, principal_id)
    select tenant_id, id, 0, status, 'request', 'ask', principal_id from inserted
)
select inserted.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status from inserted;

-- name: insert_reserved_payments
-- Store new payments that are decided and held already, each with the transitions that one after the other would leave.
with inserted as (
    insert into paywarden.payments (
        tenant_id, id, kind, origin, status, amount_minor, currency, principal_id, agent_id, customer_id, purpose,
        reference, request_text, mandate_id, confirm, keyed, provider, provider_account, hold_id, oversight,
        decided_by, policy_version, action_digest, next_step_at, last_sort_key)
    select (select paywarden.tenant()), id, kind, origin, 'reserved', amount_minor, currency, principal_id, agent_id,
        customer_id, purpose, reference, request_text, mandate_id, confirm, true, provider, provider_account, hold_id,
        oversight, decided_by::text[], policy_version, action_digest,
        paywarden.clock() + make_interval(secs => next_step_seconds), 1
    from unnest(%(ids)s::uuid[], %(kinds)s::text[], %(origins)s::text[], %(amounts)s::bigint[],
        %(currencies)s::text[], %(principal_ids)s::uuid[], %(agent_ids)s::text[], %(customer_ids)s::text[],
        %(purposes)s::text[], %(references)s::text[], %(request_texts)s::text[], %(mandate_ids)s::uuid[],
        %(confirms)s::boolean[], %(providers)s::text[], %(accounts)s::text[], %(hold_ids)s::uuid[],
        %(oversights)s::text[], %(decided_by)s::text[], %(policy_versions)s::text[], %(action_digests)s::bytea[],
        %(next_steps_seconds)s::float8[]) as new (
        id, kind, origin, amount_minor, currency, principal_id, agent_id, customer_id, purpose, reference,
        request_text, mandate_id, confirm, provider, provider_account, hold_id, oversight, decided_by, policy_version,
        action_digest, next_step_seconds)
    returning tenant_id, id, principal_id, origin, bare, status, oversight, decided_by, next_step_at, created_at,
        updated_at, transaction_id
), noted as (
    insert into paywarden.payment_transitions (
        tenant_id, payment_id, sort_key, from_status, to_status, cause, source, principal_id, detail)
    select tenant_id, id, 0, null, 'pending', 'request', 'ask', principal_id, '{}' from inserted
    union all
    select tenant_id, id, 1, 'pending', 'reserved', 'request', 'guard', null,
        jsonb_build_object('oversight', oversight, 'decided_by', decided_by)
    from inserted
)
select tenant_id, id, next_step_at, created_at, updated_at, transaction_id,
    paywarden.quickstart_status(origin, bare, status) as quickstart_status
from inserted;

-- name: payment_by_id
-- One payment.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: lock_payment
-- One payment, locked until the transaction ends.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant()) and id = %(id)s
for no key update;

-- name: payment_by_provider_id
-- The payment that carries this id of the provider.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant()) and provider = %(provider)s and provider_account = %(account)s
  and kind = %(kind)s and provider_payment_id = %(provider_payment_id)s;

-- name: payments_by_provider_ids
-- The payments that carry these ids of providers, each with the place of its id in the list.
select wanted.place::integer, payment.id, payment.original_payment_id
from unnest(%(providers)b::text[], %(accounts)b::text[], %(kinds)b::text[], %(provider_ids)b::text[])
    with ordinality as wanted(provider, account, kind, provider_id, place)
join paywarden.payments as payment
    on payment.provider = wanted.provider and payment.provider_account = wanted.account
   and payment.kind = wanted.kind and payment.provider_payment_id = wanted.provider_id
where payment.tenant_id = (select paywarden.tenant());

-- name: lock_payments
-- Several payments, locked in the order of their ids until the transaction ends.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant()) and id = any(%(ids)b::uuid[])
order by id for no key update;

-- name: end_payments
-- Facts end payments that are locked: status, what was captured and the transitions in one statement.
with moved as (
    update paywarden.payments as payment
    set status = ended.to_status, late = payment.late or ended.late,
        captured_minor = payment.captured_minor + ended.captured_minor, next_step_at = null, lease_until = null,
        last_sort_key = payment.last_sort_key + 1, updated_at = paywarden.clock()
    from unnest(%(ids)b::uuid[], %(from)b::text[], %(to)b::text[], %(sources)b::text[], %(provider_ids)b::text[],
                %(captured)b::bigint[], %(lates)b::boolean[], %(event_ats)b::timestamptz[])
        as ended(id, from_status, to_status, source, provider_id, captured_minor, late, event_at)
    where payment.tenant_id = (select paywarden.tenant()) and payment.id = ended.id
      and payment.status = ended.from_status
    returning payment.tenant_id, payment.id, payment.last_sort_key, ended.from_status, payment.status, ended.source,
        ended.provider_id, ended.event_at
)
insert into paywarden.payment_transitions (
    tenant_id, payment_id, sort_key, from_status, to_status, cause, source, detail, event_at)
select tenant_id, id, last_sort_key, from_status, status, 'fact', source,
    jsonb_build_object('provider_id', provider_id), coalesce(event_at, paywarden.clock())
from moved;

-- name: count_refunds
-- Refunds under way have ended: count those that happened on their charges and give back what was set aside.
update paywarden.payments as payment
set refunded_minor = payment.refunded_minor + ended.refunded,
    refund_reserved_minor = payment.refund_reserved_minor - ended.reserved
from (
    select original, sum(reserved)::bigint as reserved, sum(refunded)::bigint as refunded
    from unnest(%(originals)b::uuid[], %(reserved)b::bigint[], %(refunded)b::bigint[])
        as refund(original, reserved, refunded)
    group by original) as ended
where payment.tenant_id = (select paywarden.tenant()) and payment.id = ended.original;

-- name: move_payment
-- A guarded move: only from states that allow it, only with the present fence, the transition in the same statement.
with old as (
    select tenant_id, id, status from paywarden.payments
    where tenant_id = (select paywarden.tenant()) and id = %(id)s and status = any(%(from)s)
      and (%(fence)s::bigint is null or fence = %(fence)s)
    for no key update
), moved as (
    update paywarden.payments as payment
    set status = %(to)s, reason = case when %(to)s <> 'pending' then coalesce(%(reason)s, payment.reason) end,
        late = payment.late or %(late)s,
        next_step_at = paywarden.clock() + make_interval(secs => %(next_step_seconds)s),
        lease_until = case when %(keep_lease)s then payment.lease_until end,
        missing_facts = %(missing_facts)s, facts_until = paywarden.clock() + make_interval(secs => %(facts_seconds)s),
        facts_rounds = payment.facts_rounds + (%(to)s = 'needs_facts')::int,
        last_sort_key = payment.last_sort_key + 1, updated_at = paywarden.clock()
    from old
    where payment.tenant_id = old.tenant_id and payment.id = old.id
    returning payment.*, old.status as old_status
), noted as (
    insert into paywarden.payment_transitions (
        tenant_id, payment_id, sort_key, from_status, to_status, cause, source, principal_id, detail, event_at)
    select tenant_id, id, last_sort_key, old_status, status, %(cause)s, %(source)s, %(principal_id)s, %(detail)s,
        coalesce(%(event_at)s, paywarden.clock())
    from moved
)
select moved.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status from moved;

-- name: record_decision
-- What guard found, before the move that follows from it.
update paywarden.payments
set oversight = %(oversight)s, decided_by = %(decided_by)s, policy_version = %(policy_version)s,
    mandate_id = coalesce(%(mandate_id)s, mandate_id), hold_id = coalesce(%(hold_id)s, hold_id),
    decision_id = coalesce(%(decision_id)s, decision_id)
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: rewrite_reason
-- Another reason for the same status.
update paywarden.payments set reason = %(reason)s, updated_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: write_provider_id
-- The provider's id, over NULL only, and only one that no other payment of this kind has.
update paywarden.payments as payment
set provider_payment_id = %(provider_payment_id)s, updated_at = paywarden.clock()
where payment.tenant_id = (select paywarden.tenant()) and payment.id = %(id)s
  and (payment.provider_payment_id is null or payment.provider_payment_id = %(provider_payment_id)s)
  and not exists (
      select from paywarden.payments as other
      where other.tenant_id = payment.tenant_id and other.provider = payment.provider
        and other.provider_account = payment.provider_account and other.kind = payment.kind
        and other.provider_payment_id = %(provider_payment_id)s and other.id <> payment.id);

-- name: reserve_refundable
-- Set aside part of a charge for a refund, if that much is left of it.
update paywarden.payments set refund_reserved_minor = refund_reserved_minor + %(amount_minor)s
where tenant_id = (select paywarden.tenant()) and id = %(id)s and kind = 'charge'
  and captured_minor - refund_reserved_minor - refunded_minor - disputed_minor - returned_minor >= %(amount_minor)s;

-- name: release_refundable
-- Give back what a refund that did not happen had set aside.
update paywarden.payments set refund_reserved_minor = refund_reserved_minor - %(amount_minor)s
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: book_refunded
-- Count a refund that happened.
update paywarden.payments
set refunded_minor = refunded_minor + %(amount_minor)s,
    refund_reserved_minor = refund_reserved_minor - case when %(was_reserved)s then %(amount_minor)s else 0 end
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: book_captured
-- Count what the provider proved to have taken.
update paywarden.payments set captured_minor = captured_minor + %(amount_minor)s
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: transitions_of_payment
-- How the payment came to where it is.
select sort_key, from_status, to_status, cause, source, principal_id, detail, event_at, created_at
from paywarden.payment_transitions
where tenant_id = (select paywarden.tenant()) and payment_id = %(id)s
order by sort_key;

-- name: transition_by_source
-- Whether this source once moved the payment there.
select from paywarden.payment_transitions
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s and to_status = %(status)s
  and source = %(source)s;

-- name: list_payments
-- Committed payments of some kinds in some statuses, newest first, after a cursor: where the newest of each pair stand
-- is read from one index, and of the newest of them all the rows. A filter that may be absent would have no index in a
-- plan that serves every call.
select payment.*, paywarden.quickstart_status(origin, bare, payment.status) as quickstart_status
from (
    select newest.transaction_id, newest.id
    from unnest(%(statuses)s::text[]) as in_status, unnest(%(kinds)s::text[]) as of_kind
    cross join lateral (
        select transaction_id, id from paywarden.payments
        where tenant_id = (select paywarden.tenant())
          and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
          and status = in_status and kind = of_kind
          and (transaction_id, id) < (%(after_transaction)s::text::xid8, %(after_id)s::uuid)
        order by transaction_id desc, id desc
        limit %(limit)s) as newest
    order by newest.transaction_id desc, newest.id desc
    limit %(limit)s) as place
cross join lateral (
    select * from paywarden.payments as stored
    where stored.tenant_id = (select paywarden.tenant()) and stored.id = place.id
    limit 1) as payment
order by place.transaction_id desc, place.id desc;

-- name: list_payments_of_customer
-- Those of one customer, in one status and of one kind if these are named.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant())
  and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
  and customer_id = %(customer_id)s and (%(status)s::text is null or status = %(status)s)
  and (%(kind)s::text is null or kind = %(kind)s)
  and (transaction_id, id) < (%(after_transaction)s::text::xid8, %(after_id)s::uuid)
order by transaction_id desc, id desc
limit %(limit)s;

-- name: payable_jobs
-- The jobs of an agent that may still be settled.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant()) and agent_id = %(agent_id)s and origin in ('create', 'reserve')
  and status in ('reserved', 'submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized')
order by id;

-- name: payments_of_customer
-- The customer's latest payments.
select payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status
from paywarden.payments as payment
where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
order by transaction_id desc, id desc
limit %(limit)s;

-- name: payee_paid_before
-- Whether this payee ever got money from us, on the provider's evidence.
select from paywarden.payments
where tenant_id = (select paywarden.tenant()) and payee = %(payee)s and status = 'succeeded'
limit 1;

-- name: sent_to_provider
-- What was ever sent to a provider, of a period or by name.
select payment.id, payment.kind, payment.status, payment.amount_minor, payment.currency, payment.provider_payment_id,
    payment.created_at
from paywarden.payments as payment
where payment.tenant_id = (select paywarden.tenant()) and payment.provider = %(provider)s
  and payment.provider_account = %(account)s
  and ((payment.created_at >= %(since)s and payment.created_at < %(until)s) or payment.id = any(%(named)s::uuid[]))
  and exists (select from paywarden.operations as operation
              where operation.tenant_id = payment.tenant_id and operation.payment_id = payment.id)
order by payment.id;

-- name: claim_payment
-- Take the lease of a payment that has a next step; advice may take longer than a provider. What waits to be sent again
-- (a refused connection, 429) waits its time; everything else its caller may do at once.
update paywarden.payments as payment
set fence = fence + 1, lease_until = paywarden.clock()
    + make_interval(secs => case when status = 'pending' then %(advice_lease_seconds)s::float8
                                  else %(lease_seconds)s::float8 end)
where tenant_id = (select paywarden.tenant()) and id = %(id)s and next_step_at is not null
  and (status <> 'submitting' or next_step_at <= paywarden.clock())
  and (lease_until is null or lease_until < paywarden.clock())
returning payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status;

-- name: plan_step
-- End the lease and say when the next step is due; a payment that a fact has ended meanwhile has none.
update paywarden.payments
set lease_until = null, next_step_at = paywarden.clock() + make_interval(secs => %(next_step_seconds)s)
where tenant_id = (select paywarden.tenant()) and id = %(id)s and fence = %(fence)s
  and status not in ('succeeded', 'failed', 'canceled', 'expired', 'denied');

-- name: due_payments
-- Payments whose next step is due and that nobody works on, oldest first.
select tenant_id, id from paywarden.payments
where next_step_at <= (select paywarden.clock()) and (lease_until is null or lease_until < paywarden.clock())
order by next_step_at
limit %(limit)s;

-- name: expiring_payments
-- Payments that ran out of time before anything was sent.
select tenant_id, id from paywarden.payments
where expires_at <= (select paywarden.clock()) and status in ('pending', 'needs_facts', 'in_review', 'reserved')
  and (lease_until is null or lease_until < paywarden.clock())
order by expires_at
limit %(limit)s;

-- name: facts_overdue
-- Payments that nobody gave the missing facts in time.
select tenant_id, id from paywarden.payments
where facts_until <= (select paywarden.clock())
order by facts_until
limit %(limit)s;

-- name: takes_facts
-- Whether the payment still waits for facts.
select from paywarden.payments
where tenant_id = (select paywarden.tenant()) and id = %(id)s and facts_until > paywarden.clock();

-- name: backlog
-- How much is due, and how old the oldest due step is.
select count(*) as due, coalesce(extract(epoch from paywarden.clock() - min(next_step_at)), 0)::float8 as oldest_seconds
from paywarden.payments
where next_step_at <= (select paywarden.clock());

-- name: register_key
-- Store an idempotency key for a payment or a top-up; waits for a first call that is about to commit the same key.
insert into paywarden.idempotency_keys (
    tenant_id, principal_id, key, fingerprint, payment_id, top_up_id, lease_until, expires_at)
values ((select paywarden.tenant()), %(principal_id)s, %(key)s, %(fingerprint)s, %(payment_id)s, %(top_up_id)s,
        paywarden.clock() + make_interval(secs => %(lease_seconds)s), paywarden.clock() + interval '30 days')
on conflict do nothing;

-- name: register_keys
-- Store many keys in order; waits for others that are about to commit one of them.
insert into paywarden.idempotency_keys (
    tenant_id, principal_id, key, fingerprint, payment_id, lease_until, expires_at)
select (select paywarden.tenant()), new.principal_id, new.key, new.fingerprint, new.payment_id,
    paywarden.clock() + make_interval(secs => new.lease_seconds), paywarden.clock() + interval '30 days'
from unnest(%(principal_ids)s::uuid[], %(keys)s::text[], %(fingerprints)s::bytea[], %(payment_ids)s::uuid[],
    %(leases_seconds)s::float8[]) as new (principal_id, key, fingerprint, payment_id, lease_seconds)
order by new.principal_id::text, new.key
on conflict do nothing
returning payment_id;

-- name: stored_key
-- What stands under a key.
select fingerprint, payment_id, top_up_id, lease_until > paywarden.clock() as running,
    greatest(1, ceil(extract(epoch from lease_until - paywarden.clock())))::int as retry_after_seconds
from paywarden.idempotency_keys
where tenant_id = (select paywarden.tenant()) and principal_id = %(principal_id)s and key = %(key)s;

-- name: finish_key
-- The first call has answered.
update paywarden.idempotency_keys set lease_until = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and principal_id = %(principal_id)s and key = %(key)s
  and lease_until > paywarden.clock();

-- name: forget_keys
-- Keys live 30 days.
delete from paywarden.idempotency_keys
where tenant_id = (select paywarden.tenant()) and expires_at < paywarden.clock();

-- name: insert_operation
-- Store an intention, its first attempt counted, before it is sent.
insert into paywarden.operations (
    tenant_id, id, payment_id, kind, provider, provider_account, our_reference, idempotency_key, path, body, attempts,
    first_sent_at, fence, lease_until)
values ((select paywarden.tenant()), %(id)s, %(payment_id)s, %(kind)s, %(provider)s, %(provider_account)s,
        %(our_reference)s, %(idempotency_key)s, %(path)s, %(body)s, 1, paywarden.clock(), %(fence)s, %(lease_until)s);

-- name: latest_operation
-- The payment's present operation, with the age of its first sending and what is left of its lease.
select id, payment_id, kind, provider, provider_account, our_reference, idempotency_key, path, body, status, attempts,
    first_sent_at, coalesce(extract(epoch from paywarden.clock() - first_sent_at), 0)::float8 as age_seconds,
    provider_id, last_error,
    coalesce(extract(epoch from lease_until - paywarden.clock()), 0)::float8 as lease_left_seconds
from paywarden.operations
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id desc
limit 1;

-- name: operations_of_payment
-- Every operation of a payment, for its dossier.
select id, kind, provider, provider_account, our_reference, status, attempts, first_sent_at, provider_id, last_error,
    created_at, updated_at
from paywarden.operations
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;

-- name: count_attempt
-- One more attempt of the same stored request, before it is sent again.
update paywarden.operations as operation
set attempts = attempts + 1, status = 'submitting', fence = %(fence)s, updated_at = paywarden.clock(),
    first_sent_at = coalesce(first_sent_at, paywarden.clock()),
    lease_until = %(lease_until)s
where tenant_id = (select paywarden.tenant()) and id = %(id)s and fence <= %(fence)s
  and status in ('submitting', 'outcome_unknown');

-- name: lock_attempts
-- How often an operation may have reached the provider, whoever sent it.
select attempts from paywarden.operations
where tenant_id = (select paywarden.tenant()) and id = %(id)s
for no key update;

-- name: take_back_attempt
-- The attempt made under this fence provably did not reach the provider.
update paywarden.operations
set attempts = attempts - 1, first_sent_at = case when attempts > 1 then first_sent_at end, last_error = %(reason)s,
    updated_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and id = %(id)s and fence = %(fence)s and status = 'submitting'
  and attempts > 0;

-- name: record_operation
-- What came of an operation. An accepted one stays accepted; only an acceptance changes what was refused.
update paywarden.operations
set status = %(status)s, provider_id = coalesce(%(provider_id)s, provider_id),
    last_error = coalesce(%(error)s, last_error), updated_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and id = %(id)s
  and (status in ('submitting', 'outcome_unknown') or (status <> 'accepted' and %(status)s::text = 'accepted'));

-- name: claim_for_request
-- Take the lease of a payment that waits for a request.
update paywarden.payments as payment
set lease_until = paywarden.clock() + make_interval(secs => %(lease_seconds)s), fence = fence + 1
where tenant_id = (select paywarden.tenant()) and id = %(id)s
  and (lease_until is null or lease_until < paywarden.clock())
returning payment.*, paywarden.quickstart_status(origin, bare, status) as quickstart_status;
