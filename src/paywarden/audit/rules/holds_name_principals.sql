-- Every hold at the gate is of a principal that is there.
select hold.tenant_id, paywarden.public_id('hold', hold.id) as hold, hold.principal_id
from paywarden.holds as hold
left join paywarden.principals as principal
    on principal.tenant_id = hold.tenant_id and principal.id = hold.principal_id
where hold.principal_id is not null and principal.id is null
