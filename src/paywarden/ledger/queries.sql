-- name: write
-- Hand a sheet of intents to the one write door and take a list of outcomes.
select paywarden.ledger_write(%(sheet)s::jsonb) as outcomes;

-- name: write_all
-- Hand a sheet of intents to the one write door, which writes all of them or fails.
select paywarden.ledger_write_all(%(sheet)s::jsonb);

-- name: write_group
-- Hand the write door a sheet of several tenants.
select paywarden.ledger_write_tenants(%(sheet)s::jsonb) as outcomes;

-- name: list_accounts
-- Every account of the tenant, by book and code.
select id, book, asset, code, normal, balance, held, floor, blocked, created_at
from paywarden.accounts
where tenant_id = (select paywarden.tenant())
order by book, asset, code;

-- name: transfers_of_payment
-- The transfers of one payment with their account codes, oldest first.
select transfer.id, transfer.operation, transfer.fact_kind, transfer.book, transfer.asset, transfer.amount_minor,
    transfer.late, transfer.event_at, transfer.created_at, debit.code as debit, credit.code as credit
from paywarden.transfers as transfer
join paywarden.accounts as debit on debit.tenant_id = transfer.tenant_id and debit.id = transfer.debit_account_id
join paywarden.accounts as credit on credit.tenant_id = transfer.tenant_id and credit.id = transfer.credit_account_id
where transfer.tenant_id = (select paywarden.tenant()) and transfer.payment_id = %(payment_id)s
order by transfer.id;

-- name: list_transfers
-- Committed transfers, newest first, after a cursor.
select transfer.id, transfer.operation, transfer.fact_kind, transfer.book, transfer.asset, transfer.amount_minor,
    transfer.late, transfer.event_at, transfer.created_at, transfer.payment_id, transfer.hold_id,
    transfer.transaction_id::text,
    debit.code as debit, credit.code as credit
from paywarden.transfers as transfer
join paywarden.accounts as debit on debit.tenant_id = transfer.tenant_id and debit.id = transfer.debit_account_id
join paywarden.accounts as credit on credit.tenant_id = transfer.tenant_id and credit.id = transfer.credit_account_id
where transfer.tenant_id = (select paywarden.tenant())
  and transfer.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
  and (transfer.transaction_id, transfer.id) < (%(after_transaction)s::text::xid8, %(after_id)s::uuid)
order by transfer.transaction_id desc, transfer.id desc
limit %(limit)s;

-- name: list_transfers_of_payment
-- Those of one payment. A filter that may be absent would have no index in a plan that serves every call.
select transfer.id, transfer.operation, transfer.fact_kind, transfer.book, transfer.asset, transfer.amount_minor,
    transfer.late, transfer.event_at, transfer.created_at, transfer.payment_id, transfer.hold_id,
    transfer.transaction_id::text,
    debit.code as debit, credit.code as credit
from paywarden.transfers as transfer
join paywarden.accounts as debit on debit.tenant_id = transfer.tenant_id and debit.id = transfer.debit_account_id
join paywarden.accounts as credit on credit.tenant_id = transfer.tenant_id and credit.id = transfer.credit_account_id
where transfer.tenant_id = (select paywarden.tenant())
  and transfer.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
  and transfer.payment_id = %(payment_id)s
  and (transfer.transaction_id, transfer.id) < (%(after_transaction)s::text::xid8, %(after_id)s::uuid)
order by transfer.transaction_id desc, transfer.id desc
limit %(limit)s;

-- name: list_transfers_of_accounts
-- Those of some accounts that move nothing among themselves: each one's newest from either side, in the order of these
-- indexes, by id. One that commits while somebody pages is missed like one made later.
select transfer.id, transfer.operation, transfer.fact_kind, transfer.book, transfer.asset, transfer.amount_minor,
    transfer.late, transfer.event_at, transfer.created_at, transfer.payment_id, transfer.hold_id,
    transfer.transaction_id::text,
    debit.code as debit, credit.code as credit
from (
    select moved.*
    from unnest(%(books)s::text[], %(codes)s::text[]) as wanted(book, code)
    join paywarden.accounts as account on account.tenant_id = (select paywarden.tenant())
        and account.code = wanted.code and account.book = wanted.book
    cross join lateral (
        (select * from paywarden.transfers as taken
         where taken.tenant_id = (select paywarden.tenant()) and taken.debit_account_id = account.id
           and taken.id < %(after_id)s::uuid
           and taken.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         order by taken.id desc limit %(limit)s)
        union all
        (select * from paywarden.transfers as given
         where given.tenant_id = (select paywarden.tenant()) and given.credit_account_id = account.id
           and given.id < %(after_id)s::uuid
           and given.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         order by given.id desc limit %(limit)s)) as moved) as transfer
join paywarden.accounts as debit on debit.tenant_id = transfer.tenant_id and debit.id = transfer.debit_account_id
join paywarden.accounts as credit on credit.tenant_id = transfer.tenant_id and credit.id = transfer.credit_account_id
order by transfer.id desc
limit %(limit)s;

-- name: holds_of_payment
-- The holds of one payment with the accounts they promise from.
select hold.id, hold.status, hold.amount_minor, hold.captured_minor, hold.expires_at, hold.created_at, hold.closed_at,
    (select array_agg(account.code order by line.line)
     from paywarden.hold_lines as line
     join paywarden.accounts as account on account.tenant_id = line.tenant_id and account.id = line.held_account_id
     where line.tenant_id = hold.tenant_id and line.hold_id = hold.id) as accounts
from paywarden.holds as hold
where hold.tenant_id = (select paywarden.tenant()) and hold.payment_id = %(payment_id)s
order by hold.id;

-- name: trial_balance
-- Per book and asset: what stands on debit-normal and credit-normal accounts, and the difference.
select book, asset, count(*) as accounts,
    coalesce(sum(balance) filter (where normal = 'debit'), 0) as debit_minor,
    coalesce(sum(balance) filter (where normal = 'credit'), 0) as credit_minor,
    (coalesce(sum(balance) filter (where normal = 'debit'), 0)
        - coalesce(sum(balance) filter (where normal = 'credit'), 0)) as difference_minor
from paywarden.accounts
where tenant_id = (select paywarden.tenant())
group by book, asset
order by book, asset;

-- name: clearing_movements
-- Per payment, what the ledger booked on one clearing account; money the provider owes us is positive.
select transfer.payment_id, transfer.asset,
    sum(case when transfer.debit_account_id = account.id then transfer.amount_minor
             else -transfer.amount_minor end)::bigint as amount_minor
from paywarden.transfers as transfer
join paywarden.accounts as account
    on account.tenant_id = transfer.tenant_id and account.id in (transfer.debit_account_id, transfer.credit_account_id)
where transfer.tenant_id = (select paywarden.tenant()) and account.book = 'money' and account.code = %(code)s
group by transfer.payment_id, transfer.asset
order by transfer.payment_id;

-- name: accounts_of_codes
-- The accounts of these codes that were opened, in every asset.
select id, book, asset, code, normal, balance, held, floor, blocked, created_at
from paywarden.accounts
where tenant_id = (select paywarden.tenant()) and (book, code) in (select * from unnest(%(books)s::text[], %(codes)s::text[]))
order by book, asset, code;

-- name: gate_hold_by_id
-- One hold at the gate, as the write door shows it.
select to_jsonb(hold) - 'tenant_id' as hold from paywarden.holds as hold
where hold.tenant_id = (select paywarden.tenant()) and hold.id = %(id)s and hold.principal_id is not null;

-- name: list_gate_holds
-- Holds at the gate, newest first, after a cursor. One that commits while somebody pages is missed like one made later.
select to_jsonb(hold) - 'tenant_id' as hold from paywarden.holds as hold
where hold.tenant_id = (select paywarden.tenant()) and hold.principal_id is not null
  and (%(status)s::text is null or hold.status = %(status)s)
  and (%(customer_id)s::text is null or hold.customer_id = %(customer_id)s)
  and (%(after_id)s::uuid is null or hold.id < %(after_id)s::uuid)
order by hold.id desc
limit %(limit)s;

-- name: tenants_with_lapsed_holds
-- Tenants with holds at the gate whose time is over, those first whose holds wait longest.
select tenant_id, tenant_id as id
from (
    select tenant_id, expires_at from paywarden.holds
    where status = 'pending' and principal_id is not null and expires_at <= paywarden.clock()
    order by expires_at
    limit 1000) as lapsed
group by tenant_id
order by min(expires_at)
limit %(limit)s;

-- name: lapsed_holds
-- Holds of the tenant whose time is over, the longest first.
select id from paywarden.holds
where tenant_id = (select paywarden.tenant()) and status = 'pending' and principal_id is not null
  and expires_at <= paywarden.clock()
order by expires_at
limit %(limit)s;
