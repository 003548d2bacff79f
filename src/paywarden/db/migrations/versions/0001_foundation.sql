-- The ground: schema, clock, tenant wall, public ids, tenants. Objects belong to paywarden_owner.
create schema if not exists paywarden;
create extension if not exists vector with schema public;

-- The one clock of leases, windows and expiries. Tests replace it to freeze time.
create function paywarden.clock() returns timestamptz
    language sql volatile
    return clock_timestamp();

-- The tenant of this transaction. Raises when unset: a query that finds nothing must not look like success.
create function paywarden.tenant() returns uuid
    language plpgsql stable parallel safe
as $$
declare
    v_tenant uuid := nullif(current_setting('app.tenant', true), '')::uuid;
begin
    if v_tenant is null then
        raise exception 'no tenant is set in this transaction' using errcode = '42501';
    end if;
    return v_tenant;
end
$$;

-- The public text of an id (TypeID: prefix, then the UUID in Crockford base 32).
create function paywarden.public_id(p_prefix text, p_id uuid) returns text
    language sql immutable strict parallel safe
as $$
    select p_prefix || '_' || string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits from place * 5 + 1 for 5)::bit(5)::int + 1, 1),
        '' order by place)
    from (select B'00' || ('x' || replace(p_id::text, '-', ''))::bit(128) as bits) as spelled,
         generate_series(0, 25) as place
$$;

-- Refuses a change of rows that an auditor may ask for.
create function paywarden.refuse_change() returns trigger
    language plpgsql
as $$
begin
    raise exception '% is insert-only', tg_table_name using errcode = '42501';
end
$$;

-- Put a tenant table behind the wall: FORCE RLS, one policy for the working roles, and read access for the app.
create procedure paywarden.wall(p_table regclass)
    language plpgsql
as $$
begin
    execute format('alter table %s enable row level security', p_table);
    execute format('alter table %s force row level security', p_table);
    execute format(
        'create policy tenant_wall on %s for all to paywarden_owner, paywarden_ledger, paywarden_app
             using (tenant_id = (select paywarden.tenant())) with check (tenant_id = (select paywarden.tenant()))',
        p_table);
    execute format('grant select on %s to paywarden_app', p_table);
end
$$;

-- Let work that has no tenant (due rows, invariants) read a tenant table.
create procedure paywarden.open_to_system(p_table regclass)
    language plpgsql
as $$
begin
    execute format('create policy system_read on %s for select to paywarden_system using (true)', p_table);
    execute format('grant select on %s to paywarden_system', p_table);
end
$$;

-- Rows stay as they were written, for every role that is not the database's superuser.
create procedure paywarden.make_insert_only(p_table regclass)
    language plpgsql
as $$
begin
    execute format(
        'create trigger insert_only before update or delete on %s for each row execute function paywarden.refuse_change()',
        p_table);
    execute format(
        'create trigger never_truncated before truncate on %s execute function paywarden.refuse_change()', p_table);
    execute format('grant insert on %s to paywarden_app', p_table);
end
$$;

create table paywarden.tenants (
    id uuid primary key,
    name text not null unique check (length(name) between 1 and 255),
    environment text not null check (environment in ('test', 'live')),
    -- Kill switch: a suspended tenant moves no money.
    status text not null default 'active' check (status in ('active', 'suspended')),
    -- Counts every change of who may do what; a reservation made on an older count is stale.
    authority_version bigint not null default 1,
    created_at timestamptz not null default paywarden.clock()
);

grant usage on schema paywarden to paywarden_app, paywarden_ledger, paywarden_system;
grant execute on function paywarden.clock(), paywarden.tenant(), paywarden.public_id(text, uuid)
    to paywarden_app, paywarden_ledger, paywarden_system;
grant select, insert, update on paywarden.tenants to paywarden_app;
grant select on paywarden.tenants to paywarden_ledger, paywarden_system;
