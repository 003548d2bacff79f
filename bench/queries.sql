-- name: seed_rows
-- What is to be seeded: so many payments of one agent, older by a second each, their states in turn.
create temporary table seeded on commit drop as
select n, uuidv7((n - %(count)s::bigint) * interval '1 second') as payment_id, uuidv7() as hold_id,
    uuidv7() as operation_id,
    (%(statuses)s::text[])[1 + (n + n / 10000 * 37) %% cardinality(%(statuses)s::text[])]
        as status,
    100 + n * 7919 %% 4900 as amount_minor, 'cust-' || n %% 10000 as customer_id,
    %(run)s || '-' || n as name,
    paywarden.clock() + (n - %(count)s::bigint) * interval '1 second' as at,
    -- Spread over the transactions that there were, as if each had been committed by itself.
    (3 + n * (%(transaction)s::bigint - 3) / %(count)s::bigint)::text::xid8 as transaction_id
from generate_series(1, %(count)s::bigint) as n;

-- name: seed_moves
-- How each state is reached.
create temporary table moves (status text, sort_key integer, from_status text, to_status text, cause text, source text)
on commit drop;

-- name: seed_the_moves
-- The moves of every state that is seeded.
insert into moves
select status, place - 1, path[place - 1], path[place],
    case when path[place] in ('processing', 'succeeded', 'failed') then 'fact' else 'request' end,
    case when path[place] in ('processing', 'succeeded', 'failed') then 'webhook' else 'ask' end
from (values
    ('succeeded', array['pending', 'reserved', 'submitting', 'processing', 'succeeded']),
    ('processing', array['pending', 'reserved', 'submitting', 'processing']),
    ('failed', array['pending', 'reserved', 'submitting', 'failed']),
    ('canceled', array['pending', 'reserved', 'canceled']),
    ('denied', array['pending', 'denied']),
    ('in_review', array['pending', 'in_review'])) as reached (status, path),
    generate_subscripts(path, 1) as place;

-- name: seed_customers
-- The customers of the payments.
insert into paywarden.customers (tenant_id, id)
select distinct %(tenant)s::uuid, customer_id from seeded
on conflict do nothing;

-- name: seed_payments
-- The payments.
insert into paywarden.payments (
    tenant_id, id, kind, origin, status, amount_minor, currency, principal_id, agent_id, customer_id, purpose, reference,
    mandate_id, keyed, provider, provider_account, provider_payment_id, hold_id, oversight, decided_by, reason,
    policy_version, action_digest, captured_minor, next_step_at, last_sort_key, created_at, updated_at, transaction_id)
select %(tenant)s, payment_id, 'charge', 'v1', status, amount_minor, 'usd', %(principal)s, %(agent)s, customer_id, 'order',
    name, %(mandate)s, true, 'rest', 'default',
    case when status in ('processing', 'succeeded', 'failed') then name end,
    case when status not in ('denied', 'in_review') then hold_id end,
    case when status not in ('denied', 'in_review') then 'autonomous' end,
    case when status in ('denied', 'in_review') then '{}' else array['charge_autonomous'] end,
    case when status = 'denied' then 'mandate_amount' when status = 'failed' then 'declined: no funds' end,
    'default@seed', sha256(name::bytea), case when status = 'succeeded' then amount_minor else 0 end,
    case when status = 'processing' then paywarden.clock() + interval '1 day' end,
    (select max(sort_key) from moves where moves.status = seeded.status), at, at, transaction_id
from seeded;

-- name: seed_transitions
-- How each payment came to where it is.
insert into paywarden.payment_transitions (
    tenant_id, payment_id, sort_key, from_status, to_status, cause, source, principal_id, event_at, created_at)
select %(tenant)s, payment_id, sort_key, from_status, to_status, cause, source,
    case when cause = 'request' then %(principal)s::uuid end, at, at
from seeded join moves using (status);

-- name: seed_keys
-- The idempotency keys under which they were asked for.
insert into paywarden.idempotency_keys (
    tenant_id, principal_id, key, fingerprint, payment_id, lease_until, created_at, expires_at)
select %(tenant)s, %(principal)s, name, sha256(name::bytea), payment_id, at, at, paywarden.clock() + interval '30 days'
from seeded;

-- name: seed_holds
-- What each payment holds or held.
insert into paywarden.holds (tenant_id, id, payment_id, status, amount_minor, captured_minor, created_at, closed_at)
select %(tenant)s, hold_id, payment_id,
    case status when 'processing' then 'pending' when 'succeeded' then 'posted' else 'voided' end, amount_minor,
    case when status = 'succeeded' then amount_minor else 0 end, at, case when status <> 'processing' then at end
from seeded where status not in ('denied', 'in_review');

-- name: seed_hold_lines
-- On the mandate's window of today.
insert into paywarden.hold_lines (
    tenant_id, hold_id, line, held_account_id, debit_account_id, credit_account_id, book, asset)
select %(tenant)s, hold_id, 0, %(window)s, %(window)s, %(spent)s, 'authority', 'USD/2'
from seeded where status not in ('denied', 'in_review');

-- name: seed_transfers
-- What each success moved: authority, and money.
insert into paywarden.transfers (
    tenant_id, id, operation, fact_kind, line, debit_account_id, credit_account_id, book, asset, amount_minor,
    payment_id, hold_id, event_at, created_at, transaction_id)
select %(tenant)s, uuidv7(), paywarden.public_id('pay', payment_id), 'succeeded', line, debit_id, credit_id, book, 'USD/2',
    amount_minor, payment_id, hold_id, at, at, transaction_id
from seeded,
    (values (0, %(window)s::uuid, %(spent)s::uuid, 'authority'), (1, %(clearing)s::uuid, %(revenue)s::uuid, 'money'))
        as posted (line, debit_id, credit_id, book)
where status = 'succeeded';

-- name: seed_operations
-- What was sent to the provider.
insert into paywarden.operations (
    tenant_id, id, payment_id, kind, provider, provider_account, our_reference, idempotency_key, path, body, status,
    attempts, first_sent_at, provider_id, fence, lease_until, created_at, updated_at)
select %(tenant)s, operation_id, payment_id, 'submit', 'rest', 'default', name, name, '/v1/payments', '{}',
    case when status = 'failed' then 'declined' else 'accepted' end, 1, at, name, 1, at, at, at
from seeded where status in ('processing', 'succeeded', 'failed');

-- name: seed_events
-- That it was asked for.
insert into paywarden.events (
    tenant_id, id, type, subject_kind, subject_id, principal_id, event_at, created_at, transaction_id)
select %(tenant)s, uuidv7(), 'payment.asked', 'payment', payment_id, %(principal)s, at, at, transaction_id from seeded;

-- name: seed_balances
-- The accounts, as all of that left them.
update paywarden.accounts as account
set balance = balance + case account.id
        when %(window)s then -done.moved when %(spent)s then done.moved
        when %(clearing)s then done.moved when %(revenue)s then done.moved else 0 end,
    held = held + case when account.id = %(window)s then done.waiting else 0 end
from (select coalesce(sum(amount_minor) filter (where status = 'succeeded'), 0) as moved,
          coalesce(sum(amount_minor) filter (where status = 'processing'), 0) as waiting
      from seeded) as done
where account.tenant_id = %(tenant)s and account.id in (%(window)s, %(spent)s, %(clearing)s, %(revenue)s);

-- name: seeded_events
-- What the events of the seeded payments must say.
select name, amount_minor, paywarden.public_id('pay', payment_id) as payment from seeded order by n;

-- name: seed_account
-- An account that nobody has used yet.
insert into paywarden.accounts (tenant_id, id, book, asset, code, normal, floor)
values (%(tenant)s, %(id)s, %(book)s, %(asset)s, %(code)s, %(normal)s, %(floor)s)
on conflict (tenant_id, book, asset, code) do nothing;

-- name: account_id
-- The id of an account.
select id from paywarden.accounts
where tenant_id = %(tenant)s and book = %(book)s and asset = %(asset)s and code = %(code)s;

-- name: latest_window
-- The window of a mandate that was opened last.
select id from paywarden.accounts
where tenant_id = %(tenant)s and book = 'authority' and code like %(code)s order by created_at desc limit 1;

-- name: seed_tenants
-- Tenants with an administrator each.
insert into paywarden.tenants (id, name, environment)
select id, name, 'test' from unnest(%(tenants)s::uuid[], %(names)s::text[]) as made (id, name);

-- name: seed_principals
-- Who holds the tenants' keys.
insert into paywarden.principals (tenant_id, id, kind, name, roles)
select tenant_id, id, 'agent', 'gate', array['initiate']
from unnest(%(tenants)s::uuid[], %(principals)s::uuid[]) as made (tenant_id, id);

-- name: seed_api_keys
-- Their keys, by hash.
insert into paywarden.api_keys (tenant_id, id, principal_id, secret_sha256, hint)
select tenant_id, uuidv7(), principal_id, secret_sha256, 'seed'
from unnest(%(tenants)s::uuid[], %(principals)s::uuid[], %(hashes)s::bytea[]) as made (tenant_id, principal_id, secret_sha256);

-- name: seed_credit_customers
-- Customers who will have credit.
insert into paywarden.customers (tenant_id, id)
select tenant_id, 'cust-' || n from unnest(%(tenants)s::uuid[]) as tenant_id, generate_series(1, %(customers)s::bigint) as n
on conflict do nothing;

-- name: seed_bank
-- Where the money of the top-ups came in.
insert into paywarden.accounts (tenant_id, id, book, asset, code, normal, balance)
select tenant_id, uuidv7(), 'money', 'USD/2', 'bank/default', 'debit', %(customers)s::bigint * %(amount_minor)s::bigint
from unnest(%(tenants)s::uuid[]) as tenant_id;

-- name: seed_credit
-- What each customer has prepaid.
insert into paywarden.accounts (tenant_id, id, book, asset, code, normal, balance, floor)
select tenant_id, uuidv7(), 'money', 'USD/2', 'customer_credit/cust-' || n, 'credit', %(amount_minor)s::bigint, 0
from unnest(%(tenants)s::uuid[]) as tenant_id, generate_series(1, %(customers)s::bigint) as n;

-- name: seed_top_ups
-- The transfers that say so.
insert into paywarden.transfers (
    tenant_id, id, operation, fact_kind, line, debit_account_id, credit_account_id, book, asset, amount_minor, event_at)
select credit.tenant_id, uuidv7(), 'top_up:seed:' || credit.code, 'topped_up', 0, bank.id, credit.id, 'money', 'USD/2',
    %(amount_minor)s::bigint, paywarden.clock()
from paywarden.accounts as credit
join paywarden.accounts as bank on bank.tenant_id = credit.tenant_id and bank.code = 'bank/default'
where credit.code like 'customer_credit/cust-%%' and credit.tenant_id = any(%(tenants)s::uuid[]);
