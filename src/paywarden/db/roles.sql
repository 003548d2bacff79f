-- The roles of Paywarden, none of which sees through row level security. Safe to run again, also by a login that is no
-- superuser but may create roles. The service's login is named by the setting paywarden.service_login.
do $$
declare
    v_service constant text := current_setting('paywarden.service_login');
    v_role text;
begin
    foreach v_role in array array['paywarden_owner', 'paywarden_ledger', 'paywarden_app', 'paywarden_system'] loop
        if not exists (select from pg_roles where rolname = v_role) then
            execute format('create role %I nologin', v_role);
        end if;
    end loop;
    if not exists (select from pg_roles where rolname = 'quickstart') then
        create role quickstart login connection limit 20;
    end if;
    -- Per role, not per database: settings of a role in a database are lost when that database is cloned.
    if (select rolconfig from pg_roles where rolname = 'quickstart') is null then
        alter role quickstart set search_path = quickstart;
        alter role quickstart set default_transaction_read_only = on;
    end if;

    -- The owner creates the ledger's functions and hands them over; the migrating login works as the owner.
    if not pg_has_role('paywarden_owner', 'paywarden_ledger', 'SET') then
        grant paywarden_ledger to paywarden_owner with inherit true, set true;
    end if;
    if not pg_has_role(current_user, 'paywarden_owner', 'SET') then
        grant paywarden_owner to current_user with inherit false, set true;
    end if;
    -- What serves has no rights of its own: it takes one of these roles in every transaction.
    foreach v_role in array array['paywarden_app', 'paywarden_system'] loop
        if not pg_has_role(v_service, v_role, 'SET') then
            execute format('grant %I to %I with inherit false, set true', v_role, v_service);
        end if;
    end loop;

    if not has_database_privilege('paywarden_owner', current_database(), 'CREATE') then
        execute format('grant create on database %I to paywarden_owner', current_database());
    end if;
    if has_database_privilege('quickstart', current_database(), 'TEMPORARY') then
        execute format('revoke temporary on database %I from public', current_database());
    end if;

    select rolname into v_role from pg_roles
    where rolname in ('paywarden_owner', 'paywarden_ledger', 'paywarden_app', 'paywarden_system', 'quickstart')
      and (rolsuper or rolbypassrls);
    if found then
        raise exception 'role % must be neither superuser nor exempt from row level security', v_role;
    end if;
end
$$;
