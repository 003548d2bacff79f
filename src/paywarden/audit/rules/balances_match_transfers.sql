-- Every account's balance is the sum of its transfers, in its normal direction.
select account.tenant_id, account.code, account.asset, account.balance, coalesce(moved.amount_minor, 0) as transfers_minor
from paywarden.accounts as account
left join (
    select tenant_id, account_id, sum(amount_minor) as amount_minor
    from (
        select transfer.tenant_id, debit.id as account_id,
            case when debit.normal = 'debit' then amount_minor else -amount_minor end as amount_minor
        from paywarden.transfers as transfer
        join paywarden.accounts as debit on debit.tenant_id = transfer.tenant_id and debit.id = transfer.debit_account_id
        union all
        select transfer.tenant_id, credit.id,
            case when credit.normal = 'credit' then amount_minor else -amount_minor end
        from paywarden.transfers as transfer
        join paywarden.accounts as credit
            on credit.tenant_id = transfer.tenant_id and credit.id = transfer.credit_account_id) as sides
    group by tenant_id, account_id) as moved
    on moved.tenant_id = account.tenant_id and moved.account_id = account.id
where account.balance <> coalesce(moved.amount_minor, 0)
