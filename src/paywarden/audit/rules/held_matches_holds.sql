-- What an account has promised away is what its pending holds still hold.
select account.tenant_id, account.code, account.held, coalesce(promised.amount_minor, 0) as holds_minor
from paywarden.accounts as account
left join (
    select hold.tenant_id, line.held_account_id, sum(hold.amount_minor - hold.captured_minor) as amount_minor
    from paywarden.holds as hold
    join paywarden.hold_lines as line on line.tenant_id = hold.tenant_id and line.hold_id = hold.id
    where hold.status = 'pending'
    group by hold.tenant_id, line.held_account_id) as promised
    on promised.tenant_id = account.tenant_id and promised.held_account_id = account.id
where account.held <> coalesce(promised.amount_minor, 0)
