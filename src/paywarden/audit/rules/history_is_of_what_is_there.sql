-- What is told is told of payments that are there, and done by principals that are there.
select told.tenant_id, told.what, told.id
from (
    select tenant_id, 'transition' as what, payment_id as id, principal_id, payment_id from paywarden.payment_transitions
    union all
    select tenant_id, 'event', id, principal_id, null from paywarden.events
    union all
    select tenant_id, 'check', id, null, payment_id from paywarden.checks) as told
left join paywarden.payments as payment on payment.tenant_id = told.tenant_id and payment.id = told.payment_id
left join paywarden.principals as principal
    on principal.tenant_id = told.tenant_id and principal.id = told.principal_id
left join paywarden.tenants as tenant on tenant.id = told.tenant_id
where tenant.id is null or (told.payment_id is not null and payment.id is null)
   or (told.principal_id is not null and principal.id is null)
