-- The one write door of the ledger. Statement by statement, so that each sees what was committed while it waited.
-- docs/decisions/0003-lock-order.md has the order of the locks; src/paywarden/ledger/intents.py the shape of intents.

-- The account an intent names; opened on first use.
create function paywarden.ledger_account(p_spec jsonb) returns uuid
    language plpgsql
as $$
declare
    v_id uuid;
begin
    select id into v_id from paywarden.accounts
    where tenant_id = (select paywarden.tenant()) and book = p_spec ->> 'book'
      and asset = p_spec ->> 'asset' and code = p_spec ->> 'code';
    return v_id;
end
$$;

-- Open what is missing and lock everything these intents touch: payments, then holds, then accounts, each in order.
create function paywarden.ledger_lock(p_intents jsonb) returns void
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
begin
    perform 1 from paywarden.payments
    where tenant_id = v_tenant
      and id in (select (intent ->> 'payment_id')::uuid from jsonb_array_elements(p_intents) as intent)
    order by id for no key update;
    perform 1 from paywarden.holds
    where tenant_id = v_tenant
      and id in (select (intent ->> 'hold_id')::uuid from jsonb_array_elements(p_intents) as intent)
    order by id for no key update;
    insert into paywarden.accounts (tenant_id, id, book, asset, code, normal, floor)
    select distinct on (spec ->> 'book', spec ->> 'asset', spec ->> 'code')
        v_tenant, (spec ->> 'id')::uuid, spec ->> 'book', spec ->> 'asset', spec ->> 'code', spec ->> 'normal',
        (spec ->> 'floor')::bigint
    from jsonb_array_elements(p_intents) as intent,
         jsonb_path_query(intent, '$.**.accounts[*]') as spec
    order by spec ->> 'book', spec ->> 'asset', spec ->> 'code'
    on conflict (tenant_id, book, asset, code) do nothing;
    perform 1 from paywarden.accounts
    where tenant_id = v_tenant
      and (id in (
            select unnest(array[held_account_id, debit_account_id, credit_account_id]) from paywarden.hold_lines
            where tenant_id = v_tenant
              and hold_id in (select (intent ->> 'hold_id')::uuid from jsonb_array_elements(p_intents) as intent))
        or (book, asset, code) in (
            select spec ->> 'book', spec ->> 'asset', spec ->> 'code'
            from jsonb_array_elements(p_intents) as intent, jsonb_path_query(intent, '$.**.accounts[*]') as spec))
    order by book, asset, code for no key update;
end
$$;

-- Write one transfer and move both balances, in each account's normal direction.
create function paywarden.ledger_transfer(
    p_intent jsonb, p_line integer, p_debit uuid, p_credit uuid, p_amount bigint, p_late boolean) returns void
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_account record;
begin
    select book, asset into v_account from paywarden.accounts where tenant_id = v_tenant and id = p_debit;
    insert into paywarden.transfers (
        tenant_id, id, operation, fact_kind, line, debit_account_id, credit_account_id, book, asset, amount_minor,
        payment_id, hold_id, late, event_at)
    values (
        v_tenant, (p_intent -> 'transfer_ids' ->> p_line)::uuid, p_intent ->> 'operation', p_intent ->> 'fact_kind',
        p_line, p_debit, p_credit, v_account.book, v_account.asset, p_amount, (p_intent ->> 'payment_id')::uuid,
        (p_intent ->> 'hold_id')::uuid, p_late,
        coalesce((p_intent ->> 'event_at')::timestamptz, paywarden.clock()));
    update paywarden.accounts
    set balance = balance + case when (normal = 'debit') = (id = p_debit) then p_amount else -p_amount end,
        -- A budget below zero blocks by itself and recovers with its limit; cash below its floor waits for a person.
        blocked = blocked or (floor is not null and book <> 'authority'
            and balance + case when (normal = 'debit') = (id = p_debit) then p_amount else -p_amount end < floor)
    where tenant_id = v_tenant and id in (p_debit, p_credit);
end
$$;

-- Whether what a request rests on no longer holds: tenant, principal, key, mandates, or anything changed since guard.
create function paywarden.ledger_is_stale(p_authority jsonb) returns boolean
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
begin
    return not exists (
        select from paywarden.tenants
        where id = v_tenant and status = 'active' and authority_version = (p_authority ->> 'version')::bigint)
    or (p_authority ->> 'valid_until')::timestamptz <= paywarden.clock()
    or not exists (
        select from paywarden.principals
        where tenant_id = v_tenant and id = (p_authority ->> 'principal_id')::uuid and status = 'active')
    or exists (
        select from jsonb_array_elements_text(p_authority -> 'mandate_ids') as named(mandate_id)
        left join paywarden.mandates as mandate
            on mandate.tenant_id = v_tenant and mandate.id = named.mandate_id::uuid and mandate.status = 'active'
           and mandate.valid_from <= paywarden.clock()
           and (mandate.valid_until is null or mandate.valid_until > paywarden.clock())
        where mandate.id is null);
end
$$;

-- A hold as answers show it.
create function paywarden.ledger_hold(p_hold uuid) returns jsonb
    language sql stable
as $$
    select to_jsonb(hold) - 'tenant_id' from paywarden.holds as hold
    where hold.tenant_id = (select paywarden.tenant()) and hold.id = p_hold
$$;

-- Store the idempotency keys that intents carry, in the order of keys; true for each intent whose key is new.
create function paywarden.ledger_keys(p_intents jsonb) returns boolean[]
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_new boolean[] := array_fill(false, array[jsonb_array_length(p_intents)]);
    v_keyed record;
begin
    for v_keyed in
        select place, intent, intent -> 'key' as key
        from jsonb_array_elements(p_intents) with ordinality as given(intent, place)
        where intent ? 'key'
        order by intent -> 'key' ->> 'principal_id', intent -> 'key' ->> 'key', place
    loop
        insert into paywarden.idempotency_keys (
            tenant_id, principal_id, key, fingerprint, hold_id, lease_until, expires_at)
        values (
            v_tenant, (v_keyed.key ->> 'principal_id')::uuid, v_keyed.key ->> 'key',
            decode(v_keyed.key ->> 'fingerprint', 'hex'), (v_keyed.intent ->> 'hold_id')::uuid,
            paywarden.clock(), paywarden.clock() + interval '30 days')
        on conflict do nothing;
        v_new[v_keyed.place] := found;
    end loop;
    return v_new;
end
$$;

-- What stands under an intent's key: the hold as it is now for the same request, a conflict for another one.
create function paywarden.ledger_replay(p_key jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_stored record;
begin
    select fingerprint, hold_id into v_stored from paywarden.idempotency_keys
    where tenant_id = (select paywarden.tenant()) and principal_id = (p_key ->> 'principal_id')::uuid
      and key = p_key ->> 'key';
    if v_stored.fingerprint is distinct from decode(p_key ->> 'fingerprint', 'hex') then
        return jsonb_build_object('result', 'conflict', 'reason', 'key');
    end if;
    return jsonb_build_object('result', 'replayed', 'hold', paywarden.ledger_hold(v_stored.hold_id));
end
$$;

-- Whether a gate's hold is the caller's to change: its own, or anybody's for whoever may settle.
create function paywarden.ledger_is_foreign(p_intent jsonb) returns boolean
    language sql stable
as $$
    select p_intent ->> 'of_principal_id' is not null and not exists (
        select from paywarden.holds
        where tenant_id = (select paywarden.tenant()) and id = (p_intent ->> 'hold_id')::uuid
          and principal_id = (p_intent ->> 'of_principal_id')::uuid)
$$;

-- Open the budget windows an intent names, or bring them to the mandate's present limit by an adjusting transfer.
create function paywarden.ledger_grant(p_grant jsonb) returns void
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_window uuid := paywarden.ledger_account(p_grant -> 'accounts' -> 0);
    v_source uuid := paywarden.ledger_account(p_grant -> 'accounts' -> 1);
    v_limit bigint := (p_grant ->> 'limit_minor')::bigint;
    v_grant record;
    v_transfer jsonb;
begin
    insert into paywarden.authority_grants (tenant_id, mandate_id, window_key, currency, account_id, limit_minor)
    values (v_tenant, (p_grant ->> 'mandate_id')::uuid, p_grant ->> 'window_key', p_grant ->> 'currency', v_window, 0)
    on conflict do nothing;
    select limit_minor, adjustments into v_grant from paywarden.authority_grants
    where tenant_id = v_tenant and mandate_id = (p_grant ->> 'mandate_id')::uuid
      and window_key = p_grant ->> 'window_key' and currency = p_grant ->> 'currency'
    for no key update;
    if v_grant.limit_minor = v_limit then
        return;
    end if;
    v_transfer := jsonb_build_object(
        'operation', format('grant:%s:%s:%s:%s', p_grant ->> 'mandate_id', p_grant ->> 'window_key',
                            p_grant ->> 'currency', v_grant.adjustments),
        'fact_kind', 'grant', 'transfer_ids', p_grant -> 'transfer_ids');
    if v_limit > v_grant.limit_minor then
        perform paywarden.ledger_transfer(v_transfer, 0, v_source, v_window, v_limit - v_grant.limit_minor, false);
    else
        perform paywarden.ledger_transfer(v_transfer, 0, v_window, v_source, v_grant.limit_minor - v_limit, false);
    end if;
    update paywarden.authority_grants
    set limit_minor = v_limit, adjustments = adjustments + 1
    where tenant_id = v_tenant and mandate_id = (p_grant ->> 'mandate_id')::uuid
      and window_key = p_grant ->> 'window_key' and currency = p_grant ->> 'currency';
end
$$;

-- Hold authority and funds, all lines or none.
create function paywarden.ledger_reserve(p_intent jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_hold uuid := (p_intent ->> 'hold_id')::uuid;
    v_amount bigint := (p_intent ->> 'amount_minor')::bigint;
    v_existing bigint;
    v_short text;
begin
    select amount_minor into v_existing from paywarden.holds where tenant_id = v_tenant and id = v_hold;
    if found then
        return jsonb_build_object('result', case when v_existing = v_amount then 'replayed' else 'conflict' end);
    end if;
    perform paywarden.ledger_grant(wanted) from jsonb_array_elements(p_intent -> 'grants') as wanted;
    select string_agg(code, ', ' order by code) into v_short
    from (
        select account.code
        from jsonb_array_elements(p_intent -> 'lines') as line,
             lateral (select paywarden.ledger_account(line -> 'accounts' -> (line ->> 'held')::int) as id) as held
        join paywarden.accounts as account on account.tenant_id = v_tenant and account.id = held.id
        group by account.code, account.balance, account.held, account.floor, account.blocked
        having account.blocked
            or (account.floor is not null
                and account.balance - account.held - account.floor < v_amount * count(*))) as short;
    if v_short is not null then
        return jsonb_build_object('result', 'insufficient', 'accounts', v_short);
    end if;
    insert into paywarden.holds (
        tenant_id, id, payment_id, amount_minor, principal_id, currency, customer_id, mandate_id, feature, expires_at)
    values (
        v_tenant, v_hold, (p_intent ->> 'payment_id')::uuid, v_amount, (p_intent -> 'gate' ->> 'principal_id')::uuid,
        p_intent -> 'gate' ->> 'currency', p_intent -> 'gate' ->> 'customer_id',
        (p_intent -> 'gate' ->> 'mandate_id')::uuid, p_intent -> 'gate' ->> 'feature',
        paywarden.clock() + make_interval(secs => (p_intent ->> 'expires_in_seconds')::int));
    insert into paywarden.hold_lines (
        tenant_id, hold_id, line, held_account_id, debit_account_id, credit_account_id, book, asset)
    select v_tenant, v_hold, place - 1,
        paywarden.ledger_account(line -> 'accounts' -> (line ->> 'held')::int),
        paywarden.ledger_account(line -> 'accounts' -> 0), paywarden.ledger_account(line -> 'accounts' -> 1),
        line -> 'accounts' -> 0 ->> 'book', line -> 'accounts' -> 0 ->> 'asset'
    from jsonb_array_elements(p_intent -> 'lines') with ordinality as given(line, place);
    update paywarden.accounts as account set held = account.held + v_amount * promised.times
    from (select held_account_id, count(*) as times from paywarden.hold_lines
          where tenant_id = v_tenant and hold_id = v_hold group by held_account_id) as promised
    where account.tenant_id = v_tenant and account.id = promised.held_account_id;
    return jsonb_build_object('result', 'ok', 'hold', paywarden.ledger_hold(v_hold));
end
$$;

-- Give back what a pending hold still holds and close it as voided, expired or posted.
create function paywarden.ledger_release(p_hold uuid, p_remaining bigint, p_status text) returns void
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
begin
    update paywarden.accounts as account set held = account.held - p_remaining * promised.times
    from (select held_account_id, count(*) as times from paywarden.hold_lines
          where tenant_id = v_tenant and hold_id = p_hold group by held_account_id) as promised
    where account.tenant_id = v_tenant and account.id = promised.held_account_id;
    update paywarden.holds set status = p_status, closed_at = paywarden.clock()
    where tenant_id = v_tenant and id = p_hold;
end
$$;

-- Void or expire a hold. A closed hold is never reopened, nor closed twice.
create function paywarden.ledger_void(p_intent jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_hold record;
    v_wanted text := p_intent ->> 'status';
begin
    select id, status, amount_minor - captured_minor as remaining into v_hold from paywarden.holds
    where tenant_id = (select paywarden.tenant()) and id = (p_intent ->> 'hold_id')::uuid;
    if not found then
        return jsonb_build_object('result', 'invalid', 'reason', 'no such hold');
    elsif v_hold.status <> 'pending' then
        return jsonb_build_object('result', case when v_hold.status = v_wanted then 'replayed' else 'conflict' end,
            'hold', paywarden.ledger_hold(v_hold.id));
    end if;
    perform paywarden.ledger_release(v_hold.id, v_hold.remaining, v_wanted);
    return jsonb_build_object('result', 'ok', 'hold', paywarden.ledger_hold(v_hold.id));
end
$$;

-- Give a pending hold more time (or less), counted from now.
create function paywarden.ledger_extend(p_intent jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_hold uuid := (p_intent ->> 'hold_id')::uuid;
begin
    update paywarden.holds
    set expires_at = paywarden.clock() + make_interval(secs => (p_intent ->> 'expires_in_seconds')::int)
    where tenant_id = (select paywarden.tenant()) and id = v_hold and status = 'pending' and principal_id is not null;
    return jsonb_build_object('result', case when found then 'ok' else 'conflict' end,
        'hold', paywarden.ledger_hold(v_hold));
end
$$;

-- Whether every account that an expired hold had promised could still give this much now.
create function paywarden.ledger_covers(p_hold uuid, p_amount bigint) returns boolean
    language sql stable
as $$
    select not exists (
        select from paywarden.hold_lines as line
        join paywarden.accounts as account on account.tenant_id = line.tenant_id and account.id = line.held_account_id
        where line.tenant_id = (select paywarden.tenant()) and line.hold_id = p_hold
        group by account.id, account.balance, account.held, account.floor, account.blocked
        having account.blocked or account.balance - account.held - account.floor < p_amount * count(*))
$$;

-- Post (part of) a hold and write the transfers that go with it. As a fact it always books: against the hold while
-- that is pending and covers it, else afresh and marked late. As a request (a capture) it needs a pending hold.
create function paywarden.ledger_post(p_intent jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_fact boolean := (p_intent ->> 'fact')::boolean;
    v_amount bigint := (p_intent ->> 'amount_minor')::bigint;
    v_hold record;
    v_line record;
    v_late boolean;
    v_place integer := 0;
    v_below text;
begin
    if exists (select from paywarden.transfers
               where tenant_id = v_tenant and operation = p_intent ->> 'operation'
                 and fact_kind = p_intent ->> 'fact_kind') then
        return jsonb_build_object('result', 'replayed');
    end if;
    select id, status, amount_minor - captured_minor as remaining into v_hold from paywarden.holds
    where tenant_id = v_tenant and id = (p_intent ->> 'hold_id')::uuid;
    v_late := v_hold.id is null or v_hold.status <> 'pending' or v_hold.remaining < v_amount;
    -- A gate may be captured after it expired, as far as its accounts can still give what it had promised.
    if v_late and not v_fact and not (v_hold.status is not distinct from 'expired' and v_hold.remaining >= v_amount
        and paywarden.ledger_covers(v_hold.id, v_amount))
    then
        return jsonb_build_object('result', case when v_hold.id is null then 'invalid'
            when v_hold.status not in ('pending', 'expired') then 'conflict' else 'insufficient' end,
            'hold', paywarden.ledger_hold(v_hold.id));
    end if;
    if v_hold.id is null then
        -- A provider may prove what we never held anything for.
        p_intent := p_intent - 'hold_id';
    end if;
    for v_line in
        select debit_account_id, credit_account_id, held_account_id from paywarden.hold_lines
        where tenant_id = v_tenant and hold_id = v_hold.id order by line
    loop
        perform paywarden.ledger_transfer(
            p_intent, v_place, v_line.debit_account_id, v_line.credit_account_id, v_amount, v_late);
        v_place := v_place + 1;
    end loop;
    perform paywarden.ledger_transfer(
        p_intent, v_place + given.place::int - 1, paywarden.ledger_account(given.line -> 'accounts' -> 0),
        paywarden.ledger_account(given.line -> 'accounts' -> 1), (given.line ->> 'amount_minor')::bigint, v_late)
    from jsonb_array_elements(p_intent -> 'transfers') with ordinality as given(line, place);
    if not v_late then
        update paywarden.accounts as account set held = account.held - v_amount * promised.times
        from (select held_account_id, count(*) as times from paywarden.hold_lines
              where tenant_id = v_tenant and hold_id = v_hold.id group by held_account_id) as promised
        where account.tenant_id = v_tenant and account.id = promised.held_account_id;
    end if;
    -- What a fact proves beyond the hold is in its transfers; a request takes from the hold, also after it expired.
    if not v_late or not v_fact then
        update paywarden.holds
        set captured_minor = captured_minor + v_amount,
            status = case when v_late and (p_intent ->> 'final')::boolean then 'posted' else status end
        where tenant_id = v_tenant and id = v_hold.id;
    end if;
    if v_hold.status = 'pending' and ((p_intent ->> 'final')::boolean or v_hold.remaining = v_amount) then
        perform paywarden.ledger_release(
            v_hold.id, v_hold.remaining - case when v_late then 0 else v_amount end, 'posted');
    end if;
    select string_agg(distinct account.code, ', ' order by account.code) into v_below
    from paywarden.transfers as transfer
    join paywarden.accounts as account on account.tenant_id = v_tenant
        and account.id = case when account.normal = 'debit' then credit_account_id else debit_account_id end
    where transfer.tenant_id = v_tenant and transfer.operation = p_intent ->> 'operation'
      and transfer.fact_kind = p_intent ->> 'fact_kind'
      and account.balance - account.held < account.floor and (v_late or account.book <> 'authority');
    return jsonb_build_object('result', 'ok', 'late', v_late, 'below_floor', v_below,
        'hold', paywarden.ledger_hold(v_hold.id));
end
$$;

-- Linked transfers without a hold. As a fact they always book; as a request they respect floors and blocks.
create function paywarden.ledger_book(p_intent jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_short text;
begin
    if exists (select from paywarden.transfers
               where tenant_id = v_tenant and operation = p_intent ->> 'operation'
                 and fact_kind = p_intent ->> 'fact_kind') then
        return jsonb_build_object('result', 'replayed');
    end if;
    if not (p_intent ->> 'fact')::boolean then
        select string_agg(code, ', ' order by code) into v_short
        from (
            select account.code
            from jsonb_array_elements(p_intent -> 'transfers') as line
            cross join generate_series(0, 1) as side
            join paywarden.accounts as account
                on account.tenant_id = v_tenant
               and account.id = paywarden.ledger_account(line -> 'accounts' -> side)
            group by account.id, account.code, account.balance, account.held, account.floor, account.blocked,
                account.normal
            having account.blocked or (account.floor is not null and account.balance - account.held - account.floor
                + sum(case when (account.normal = 'debit') = (side = 0) then 1 else -1 end
                      * (line ->> 'amount_minor')::bigint) < 0)) as short;
        if v_short is not null then
            return jsonb_build_object('result', 'insufficient', 'accounts', v_short);
        end if;
    end if;
    perform paywarden.ledger_transfer(
        p_intent, given.place::int - 1, paywarden.ledger_account(given.line -> 'accounts' -> 0),
        paywarden.ledger_account(given.line -> 'accounts' -> 1), (given.line ->> 'amount_minor')::bigint, false)
    from jsonb_array_elements(p_intent -> 'transfers') with ordinality as given(line, place);
    return jsonb_build_object('result', 'ok');
end
$$;

-- One intent, once everything it touches is locked. A request whose authority has changed leaves nothing.
create function paywarden.ledger_one(p_intent jsonb, p_key_is_new boolean) returns jsonb
    language plpgsql
as $$
declare
    v_outcome jsonb;
begin
    if p_intent ? 'authority' and paywarden.ledger_is_stale(p_intent -> 'authority') then
        v_outcome := jsonb_build_object('result', 'stale');
    elsif p_intent ? 'key' and not p_key_is_new then
        return paywarden.ledger_replay(p_intent -> 'key');
    elsif paywarden.ledger_is_foreign(p_intent) then
        v_outcome := jsonb_build_object('result', 'invalid', 'reason', 'no such hold');
    else
        v_outcome := case p_intent ->> 'op'
            when 'reserve' then paywarden.ledger_reserve(p_intent)
            when 'post' then paywarden.ledger_post(p_intent)
            when 'void' then paywarden.ledger_void(p_intent)
            when 'extend' then paywarden.ledger_extend(p_intent)
            when 'book' then paywarden.ledger_book(p_intent)
            else jsonb_build_object('result', 'invalid', 'reason', 'unknown op') end;
    end if;
    -- What was refused stores no key: the same request may come again when it can be met.
    if p_key_is_new and v_outcome ->> 'result' <> 'ok' then
        delete from paywarden.idempotency_keys
        where tenant_id = (select paywarden.tenant()) and principal_id = (p_intent -> 'key' ->> 'principal_id')::uuid
          and key = p_intent -> 'key' ->> 'key';
    end if;
    return v_outcome;
end
$$;

-- The intents of one tenant in arrival order, one outcome for each.
create function paywarden.ledger_in_order(p_intents jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_new boolean[];
    v_given record;
    v_outcomes jsonb := '[]';
begin
    v_new := paywarden.ledger_keys(p_intents);
    perform paywarden.ledger_lock(p_intents);
    for v_given in select intent, place from jsonb_array_elements(p_intents) with ordinality as given(intent, place) loop
        v_outcomes := v_outcomes || jsonb_build_array(paywarden.ledger_one(v_given.intent, v_new[v_given.place]));
    end loop;
    return v_outcomes;
end
$$;

-- The door: a list of intents in, one outcome for each, in the caller's transaction.
create function paywarden.ledger_write(p_intents jsonb) returns jsonb
    language plpgsql security definer
    set search_path = paywarden, public, pg_temp
as $$
begin
    return paywarden.ledger_in_order(p_intents);
end
$$;

-- The door for a group: slices of several tenants, [{tenant_id, intents}, ...], in the order of tenants; for each the
-- list of its outcomes. What goes wrong in a slice is rolled back with it alone; its intents are then tried one by one,
-- and the outcome of one that fails is {result: error}.
create function paywarden.ledger_write_tenants(p_slices jsonb) returns jsonb
    language plpgsql security definer
    set search_path = paywarden, public, pg_temp
as $$
declare
    v_slice jsonb;
    v_intent jsonb;
    v_outcomes jsonb;
    v_answers jsonb := '[]';
begin
    for v_slice in select value from jsonb_array_elements(p_slices) loop
        perform set_config('app.tenant', v_slice ->> 'tenant_id', true);
        begin
            v_outcomes := paywarden.ledger_in_order(v_slice -> 'intents');
        exception
            when deadlock_detected or serialization_failure or lock_not_available then
                raise;
            when others then
                v_outcomes := '[]';
                for v_intent in select value from jsonb_array_elements(v_slice -> 'intents') loop
                    begin
                        v_outcomes := v_outcomes || paywarden.ledger_in_order(jsonb_build_array(v_intent));
                    exception
                        when deadlock_detected or serialization_failure or lock_not_available then
                            raise;
                        when others then
                            v_outcomes := v_outcomes || jsonb_build_array(
                                jsonb_build_object('result', 'error', 'sqlstate', sqlstate, 'reason', sqlerrm));
                    end;
                end loop;
        end;
        v_answers := v_answers || jsonb_build_array(v_outcomes);
    end loop;
    perform set_config('app.tenant', '', true);
    return v_answers;
end
$$;

-- Only the ledger role owns the door and its parts; the app may knock, nobody may reach behind it.
do $$
declare
    v_function regprocedure;
begin
    for v_function in
        select oid::regprocedure from pg_proc
        where pronamespace = 'paywarden'::regnamespace and proname like 'ledger\_%'
    loop
        execute format('revoke all on function %s from public', v_function);
        execute format('grant execute on function %s to paywarden_ledger', v_function);
    end loop;
end
$$;
grant execute on function paywarden.ledger_write(jsonb), paywarden.ledger_write_tenants(jsonb) to paywarden_app;
grant create on schema paywarden to paywarden_ledger;
alter function paywarden.ledger_write(jsonb) owner to paywarden_ledger;
alter function paywarden.ledger_write_tenants(jsonb) owner to paywarden_ledger;
revoke create on schema paywarden from paywarden_ledger;
