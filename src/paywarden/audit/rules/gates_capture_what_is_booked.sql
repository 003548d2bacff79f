-- What was captured of a hold at the gate is what its transfers moved from each account it had promised.
select hold.tenant_id, paywarden.public_id('hold', hold.id) as hold, hold.captured_minor,
    coalesce(booked.amount_minor, 0) as booked_minor, promised.accounts
from paywarden.holds as hold
join (
    select tenant_id, hold_id, count(*) as accounts from paywarden.hold_lines group by tenant_id, hold_id) as promised
    on promised.tenant_id = hold.tenant_id and promised.hold_id = hold.id
left join (
    select tenant_id, hold_id, sum(amount_minor) as amount_minor from paywarden.transfers
    where hold_id is not null and payment_id is null
    group by tenant_id, hold_id) as booked
    on booked.tenant_id = hold.tenant_id and booked.hold_id = hold.id
where hold.principal_id is not null and hold.captured_minor * promised.accounts <> coalesce(booked.amount_minor, 0)
