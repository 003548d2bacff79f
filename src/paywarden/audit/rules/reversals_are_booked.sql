-- Every reversal stands in the ledger once, as its top-up the other way round, and nothing else takes a top-up back.
select coalesce(undone.tenant_id, booked.tenant_id) as tenant_id, undone.top_up_id as top_up, booked.operation,
    given.amount_minor, booked.amount_minor as booked_minor
from (
    select undone.tenant_id, undone.top_up_id, 'top_up:' || paywarden.public_id('top', undone.top_up_id) as operation
    from paywarden.credit_reversals as undone) as undone
full join (
    select tenant_id, operation, amount_minor, debit_account_id, credit_account_id from paywarden.transfers
    where fact_kind = 'reversal') as booked
    on booked.tenant_id = undone.tenant_id and booked.operation = undone.operation
left join paywarden.transfers as given
    on given.tenant_id = booked.tenant_id and given.operation = booked.operation and given.fact_kind = 'top_up'
where undone.top_up_id is null or booked.operation is null or given.amount_minor is distinct from booked.amount_minor
   or given.debit_account_id is distinct from booked.credit_account_id
   or given.credit_account_id is distinct from booked.debit_account_id
