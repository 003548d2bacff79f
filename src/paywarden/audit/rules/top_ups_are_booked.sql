-- Every top-up of credit stands in the ledger once, for its own amount, and nothing else tops up.
select coalesce(given.tenant_id, booked.tenant_id) as tenant_id, given.id as top_up, booked.operation,
    given.amount_minor, booked.amount_minor as booked_minor
from paywarden.credit_top_ups as given
full join (
    select transfer.tenant_id, transfer.operation, transfer.amount_minor, account.code
    from paywarden.transfers as transfer
    join paywarden.accounts as account
        on account.tenant_id = transfer.tenant_id and account.id = transfer.credit_account_id
    where transfer.fact_kind = 'top_up') as booked
    on booked.tenant_id = given.tenant_id and booked.operation = 'top_up:' || paywarden.public_id('top', given.id)
where given.id is null or booked.operation is null or given.amount_minor <> booked.amount_minor
   or booked.code <> case given.funding when 'prepaid' then 'customer_credit/' else 'credit/' end || given.customer_id
