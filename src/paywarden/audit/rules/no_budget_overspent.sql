-- No budget window is below zero, unless a late fact took it there or its limit was lowered afterwards.
select account.tenant_id, account.code, account.balance, account.held
from paywarden.accounts as account
where account.book = 'authority' and account.floor is not null and account.balance - account.held < account.floor
  and not exists (
    select from paywarden.transfers as transfer
    where transfer.tenant_id = account.tenant_id and transfer.debit_account_id = account.id
      and (transfer.late or transfer.fact_kind = 'grant'))
