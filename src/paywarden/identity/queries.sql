-- name: insert_tenant
-- A new tenant, unless the name is taken.
insert into paywarden.tenants (id, name, environment) values (%(id)s, %(name)s, %(environment)s)
on conflict (name) do nothing
returning id, name, environment, status, authority_version, created_at;

-- name: tenant_by_id
-- One tenant, and what time it is by the database's clock.
select id, name, environment, status, authority_version, created_at, paywarden.clock() as now
from paywarden.tenants where id = %(id)s;

-- name: tenant_present
-- The same of the transaction's own tenant.
select id, name, environment, status, authority_version, created_at, paywarden.clock() as now
from paywarden.tenants where id = (select paywarden.tenant());

-- name: clock_now
-- What time it is by the database's clock.
select paywarden.clock() as now;

-- name: tenant_by_name
-- One tenant by the name that no other has.
select id, name, environment, status from paywarden.tenants where name = %(name)s;

-- name: all_tenants
-- Every tenant, for work that goes from one to the next.
select id from paywarden.tenants order by id;

-- name: count_authority_change
-- Whatever was guarded under the old count is stale from now on.
update paywarden.tenants set authority_version = authority_version + 1 where id = (select paywarden.tenant());

-- name: set_tenant_status
-- The kill switch of a whole tenant.
update paywarden.tenants set status = %(status)s, authority_version = authority_version + 1
where id = (select paywarden.tenant());

-- name: insert_principal
-- A new principal, unless one of this kind and name is there.
insert into paywarden.principals (tenant_id, id, kind, name, roles)
values ((select paywarden.tenant()), %(id)s, %(kind)s, %(name)s, %(roles)s)
on conflict (tenant_id, kind, name) do nothing;

-- name: principal_by_name
-- One principal by kind and name.
select principal.*, tenant.environment
from paywarden.principals as principal join paywarden.tenants as tenant on tenant.id = principal.tenant_id
where principal.tenant_id = (select paywarden.tenant()) and principal.kind = %(kind)s and principal.name = %(name)s;

-- name: principal_by_id
-- One principal by id.
select principal.*, tenant.environment
from paywarden.principals as principal join paywarden.tenants as tenant on tenant.id = principal.tenant_id
where principal.tenant_id = (select paywarden.tenant()) and principal.id = %(id)s;

-- name: list_principals
-- All principals, oldest first.
select principal.*, tenant.environment
from paywarden.principals as principal join paywarden.tenants as tenant on tenant.id = principal.tenant_id
where principal.tenant_id = (select paywarden.tenant())
order by principal.id;

-- name: set_principal_status
-- Suspend or reactivate a principal.
update paywarden.principals set status = %(status)s
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: insert_customer
-- A customer at first use.
insert into paywarden.customers (tenant_id, id) values ((select paywarden.tenant()), %(id)s)
on conflict do nothing;

-- name: customer_by_id
-- Whether a customer is known.
select from paywarden.customers where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: insert_customers
-- Customers at first use, in order.
insert into paywarden.customers (tenant_id, id)
select (select paywarden.tenant()), id from unnest(%(ids)s::text[]) as id
order by id
on conflict do nothing;

-- name: insert_key
-- A new key; only its hash is stored.
insert into paywarden.api_keys (tenant_id, id, principal_id, secret_sha256, hint, expires_at)
values ((select paywarden.tenant()), %(id)s, %(principal_id)s, %(secret_sha256)s, %(hint)s,
        paywarden.clock() + make_interval(secs => %(expires_in_seconds)s))
returning id, principal_id, hint, expires_at, revoked_at, created_at;

-- name: holder_of_key
-- Whose valid key this hash is, and how the tenant stands.
select principal.*, tenant.environment, tenant.status as tenant_status, tenant.authority_version,
    key.expires_at as key_expires_at, paywarden.clock() as now
from paywarden.api_keys as key
join paywarden.principals as principal on principal.tenant_id = key.tenant_id and principal.id = key.principal_id
join paywarden.tenants as tenant on tenant.id = key.tenant_id
where key.tenant_id = (select paywarden.tenant()) and key.secret_sha256 = %(secret_sha256)s
  and key.revoked_at is null and (key.expires_at is null or key.expires_at > paywarden.clock())
  and principal.status = 'active';

-- name: list_keys
-- All keys without their secrets, newest first.
select id, principal_id, hint, expires_at, revoked_at, created_at
from paywarden.api_keys
where tenant_id = (select paywarden.tenant())
order by id desc;

-- name: revoke_key
-- End a key at once.
update paywarden.api_keys set revoked_at = coalesce(revoked_at, paywarden.clock())
where tenant_id = (select paywarden.tenant()) and id = %(id)s
returning id, principal_id, hint, expires_at, revoked_at, created_at;

-- name: administrator_remains
-- Whether anybody could still administer the tenant.
select from paywarden.principals as principal
join paywarden.api_keys as key on key.tenant_id = principal.tenant_id and key.principal_id = principal.id
where principal.tenant_id = (select paywarden.tenant()) and principal.status = 'active'
  and 'administer' = any(principal.roles)
  and key.revoked_at is null and (key.expires_at is null or key.expires_at > paywarden.clock())
limit 1;
