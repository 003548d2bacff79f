-- name: now
-- From when a mandate is valid that does not say.
select paywarden.clock() as now;

-- name: insert_mandate
-- A new mandate, without its limits; no row when the tenant has no such principal.
insert into paywarden.mandates (tenant_id, id, principal_id, name, kinds, payees, timezone, valid_from, valid_until)
select principal.tenant_id, %(id)s::uuid, principal.id, %(name)s::text, %(kinds)s::text[], %(payees)s::text[],
    %(timezone)s::text, %(valid_from)s::timestamptz, %(valid_until)s::timestamptz
from paywarden.principals as principal
where principal.tenant_id = (select paywarden.tenant()) and principal.id = %(principal_id)s
returning id;

-- name: insert_mandate_limits
-- The limits of a new mandate, one line for each currency and window.
insert into paywarden.mandate_limits (tenant_id, mandate_id, currency, window_kind, limit_minor)
select (select paywarden.tenant()), %(mandate_id)s, line.currency, line.window_kind, line.limit_minor
from unnest(%(currencies)s::text[], %(window_kinds)s::text[], %(limits_minor)s::bigint[])
    as line (currency, window_kind, limit_minor);

-- name: mandates
-- Mandates with their limits, oldest first: one, a principal's, or all.
select mandate.id, mandate.principal_id, mandate.name, mandate.kinds, mandate.payees, mandate.timezone,
    mandate.valid_from, mandate.valid_until, mandate.status, mandate.version,
    array_agg(line.currency order by line.currency, line.window_kind) as currencies,
    array_agg(line.window_kind order by line.currency, line.window_kind) as window_kinds,
    array_agg(line.limit_minor order by line.currency, line.window_kind) as limits_minor
from paywarden.mandates as mandate
join paywarden.mandate_limits as line on line.tenant_id = mandate.tenant_id and line.mandate_id = mandate.id
where mandate.tenant_id = (select paywarden.tenant())
  and (%(id)s::uuid is null or mandate.id = %(id)s::uuid)
  and (%(principal_id)s::uuid is null or mandate.principal_id = %(principal_id)s::uuid)
group by mandate.tenant_id, mandate.id
order by mandate.id;

-- name: revoke_mandate
-- Revoked for good; a second time changes nothing.
update paywarden.mandates set status = 'revoked', version = version + 1
where tenant_id = (select paywarden.tenant()) and id = %(id)s and status = 'active'
returning id;

-- name: change_limit
-- Another amount on a limit that an active mandate has.
with changed as (
    update paywarden.mandates set version = version + 1
    where tenant_id = (select paywarden.tenant()) and id = %(mandate_id)s and status = 'active'
      and exists (
          select from paywarden.mandate_limits as line
          where line.tenant_id = (select paywarden.tenant()) and line.mandate_id = %(mandate_id)s
            and line.currency = %(currency)s and line.window_kind = %(window_kind)s)
    returning tenant_id, id)
update paywarden.mandate_limits as line set limit_minor = %(limit_minor)s
from changed
where line.tenant_id = changed.tenant_id and line.mandate_id = changed.id
  and line.currency = %(currency)s and line.window_kind = %(window_kind)s
returning line.mandate_id;

-- name: first_in_window
-- Write the duplicate guard of a keyless request; no row means it repeats one of the last minutes.
insert into paywarden.duplicate_guards (tenant_id, fingerprint, last_at)
values ((select paywarden.tenant()), %(fingerprint)s, paywarden.clock())
on conflict (tenant_id, fingerprint) do update set last_at = paywarden.clock()
    where duplicate_guards.last_at < paywarden.clock() - make_interval(mins => %(window_minutes)s)
returning true as first;

-- name: write_guard
-- Write the duplicate guard of a request with a key, which consults nothing.
insert into paywarden.duplicate_guards (tenant_id, fingerprint, last_at)
values ((select paywarden.tenant()), %(fingerprint)s, paywarden.clock())
on conflict (tenant_id, fingerprint) do update set last_at = paywarden.clock();

-- name: write_guards
-- The same of many requests, in the order of their fingerprints.
insert into paywarden.duplicate_guards (tenant_id, fingerprint, last_at)
select (select paywarden.tenant()), fingerprint, paywarden.clock()
from unnest(%(fingerprints)s::bytea[]) as fingerprint
order by fingerprint
on conflict (tenant_id, fingerprint) do update set last_at = paywarden.clock();
