-- No customer's credit is below its floor, counting what is held of it, unless a late fact took it there.
select account.tenant_id, account.code, account.balance, account.held
from paywarden.accounts as account
where (account.code like 'customer\_credit/%' or account.code like 'credit/%') and account.book <> 'authority'
  and account.balance - account.held < account.floor
  and not exists (
    select from paywarden.transfers as transfer
    where transfer.tenant_id = account.tenant_id and transfer.debit_account_id = account.id and transfer.late)
