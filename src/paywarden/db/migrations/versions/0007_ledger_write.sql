-- The one write door of the ledger. Statement by statement, so that each sees what was committed while it waited.
-- docs/decisions/0003-lock-order.md has the order of the locks; src/paywarden/ledger/sheet.py the shape of a sheet.
-- First every rule for one intent alone, then the same rules for many (docs/decisions/0009-group-writes.md).

-- The account an intent names, if there is one.
create function paywarden.ledger_account(p_spec jsonb) returns uuid
    language sql stable
as $$
    select id from paywarden.accounts
    where tenant_id = (select paywarden.tenant()) and code = p_spec ->> 'code'
      and book is not distinct from p_spec ->> 'book' and asset is not distinct from p_spec ->> 'asset'
    order by book, asset limit 1
$$;

-- The account an intent names, opened on its first use and locked.
create function paywarden.ledger_open(p_spec jsonb) returns uuid
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_id uuid;
begin
    insert into paywarden.accounts (tenant_id, id, book, asset, code, normal, floor)
    select v_tenant, (p_spec ->> 'id')::uuid, p_spec ->> 'book', p_spec ->> 'asset', p_spec ->> 'code',
        p_spec ->> 'normal', (p_spec ->> 'floor')::bigint
    where paywarden.ledger_account(p_spec) is null
    on conflict (tenant_id, code, book, asset) do nothing;
    select id into v_id from paywarden.accounts
    where tenant_id = v_tenant and id = paywarden.ledger_account(p_spec)
    for no key update;
    return v_id;
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

-- A hold as answers show it.
create function paywarden.ledger_hold(p_hold uuid) returns jsonb
    language sql stable
as $$
    select to_jsonb(hold) - 'tenant_id' from paywarden.holds as hold
    where hold.tenant_id = (select paywarden.tenant()) and hold.id = p_hold
$$;

-- Store the key of an intent; whether it is new.
create function paywarden.ledger_key(p_intent jsonb) returns boolean
    language plpgsql
as $$
begin
    insert into paywarden.idempotency_keys (
        tenant_id, principal_id, key, fingerprint, hold_id, lease_until, expires_at)
    values (
        paywarden.tenant(), (p_intent -> 'key' ->> 'principal_id')::uuid, p_intent -> 'key' ->> 'key',
        decode(p_intent -> 'key' ->> 'fingerprint', 'hex'), (p_intent ->> 'hold_id')::uuid,
        paywarden.clock(), paywarden.clock() + interval '30 days')
    on conflict do nothing;
    return found;
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

-- Whether a request names a hold that is not its to touch: another payment's, or at the gate another principal's.
create function paywarden.ledger_is_foreign(p_intent jsonb) returns boolean
    language sql stable
as $$
    select not coalesce((p_intent ->> 'fact')::boolean, false) and (
        p_intent ->> 'of_principal_id' is not null and not exists (
            select from paywarden.holds
            where tenant_id = (select paywarden.tenant()) and id = (p_intent ->> 'hold_id')::uuid
              and principal_id = (p_intent ->> 'of_principal_id')::uuid)
        or exists (
            select from paywarden.holds
            where tenant_id = (select paywarden.tenant()) and id = (p_intent ->> 'hold_id')::uuid
              and payment_id is distinct from (p_intent ->> 'payment_id')::uuid))
$$;

-- Open the budget windows an intent names, or bring them to the mandate's present limit by an adjusting transfer.
create function paywarden.ledger_grant(p_grant jsonb) returns void
    language plpgsql
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_window uuid := paywarden.ledger_open(p_grant -> 'accounts' -> 0);
    v_source uuid := paywarden.ledger_open(p_grant -> 'accounts' -> 1);
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
    -- An account that does not exist has nothing to give, and a hold that is refused opens none.
    select string_agg(code, ', ' order by code) into v_short
    from (
        select spec ->> 'code' as code
        from (select line -> 'accounts' -> (line ->> 'held')::int as spec
              from jsonb_array_elements(p_intent -> 'lines') as line) as named
        left join paywarden.accounts as account
            on account.tenant_id = v_tenant and account.id = paywarden.ledger_account(spec)
        group by spec ->> 'code', account.id, account.balance, account.held, account.floor, account.blocked,
            spec ->> 'floor'
        having account.blocked
            or case when account.id is null then -(spec ->> 'floor')::bigint
                    else account.balance - account.held - account.floor end < v_amount * count(*)) as short;
    if v_short is not null then
        return jsonb_build_object('result', 'insufficient', 'accounts', v_short);
    end if;
    insert into paywarden.holds (
        tenant_id, id, payment_id, amount_minor, principal_id, currency, customer_id, mandate_id, feature, expires_at)
    values (
        v_tenant, v_hold, (p_intent ->> 'payment_id')::uuid, v_amount, (p_intent -> 'gate' ->> 'principal_id')::uuid,
        p_intent -> 'gate' ->> 'currency', p_intent -> 'gate' ->> 'customer_id',
        (p_intent -> 'gate' ->> 'mandate_id')::uuid, p_intent -> 'gate' ->> 'feature',
        paywarden.clock() + make_interval(secs => (p_intent ->> 'expires_in_seconds')::int))
    on conflict (tenant_id, id) do nothing;
    if not found then
        raise exception 'a hold of this id was made meanwhile' using errcode = 'serialization_failure';
    end if;
    insert into paywarden.hold_lines (
        tenant_id, hold_id, line, held_account_id, debit_account_id, credit_account_id, book, asset)
    select v_tenant, v_hold, place - 1,
        paywarden.ledger_open(line -> 'accounts' -> (line ->> 'held')::int),
        paywarden.ledger_open(line -> 'accounts' -> 0), paywarden.ledger_open(line -> 'accounts' -> 1),
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
    if (select line from paywarden.transfers
        where tenant_id = v_tenant and operation = p_intent ->> 'operation' and fact_kind = p_intent ->> 'fact_kind'
        order by line limit 1) is not null then
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
        p_intent, v_place + given.place::int - 1, paywarden.ledger_open(given.line -> 'accounts' -> 0),
        paywarden.ledger_open(given.line -> 'accounts' -> 1), (given.line ->> 'amount_minor')::bigint, v_late)
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
    if (select line from paywarden.transfers
        where tenant_id = v_tenant and operation = p_intent ->> 'operation' and fact_kind = p_intent ->> 'fact_kind'
        order by line limit 1) is not null then
        return jsonb_build_object('result', 'replayed');
    end if;
    if not (p_intent ->> 'fact')::boolean then
        select string_agg(code, ', ' order by code) into v_short
        from (
            select spec ->> 'code' as code
            from jsonb_array_elements(p_intent -> 'transfers') as line
            cross join generate_series(0, 1) as side
            cross join lateral (select line -> 'accounts' -> side as spec) as named
            left join paywarden.accounts as account
                on account.tenant_id = v_tenant and account.id = paywarden.ledger_account(spec)
            group by spec - 'id', spec ->> 'code', spec ->> 'normal', spec ->> 'floor', account.id, account.balance,
                account.held, account.floor, account.blocked
            having account.blocked
                or case when account.id is null then -(spec ->> 'floor')::bigint
                        else account.balance - account.held - account.floor end
                    + sum(case when (spec ->> 'normal' = 'debit') = (side = 0) then 1 else -1 end
                          * (line ->> 'amount_minor')::bigint) < 0) as short;
        if v_short is not null then
            return jsonb_build_object('result', 'insufficient', 'accounts', v_short);
        end if;
    end if;
    perform paywarden.ledger_transfer(
        p_intent, given.place::int - 1, paywarden.ledger_open(given.line -> 'accounts' -> 0),
        paywarden.ledger_open(given.line -> 'accounts' -> 1), (given.line ->> 'amount_minor')::bigint, false)
    from jsonb_array_elements(p_intent -> 'transfers') with ordinality as given(line, place);
    return jsonb_build_object('result', 'ok');
end
$$;

-- One intent, once everything it touches is locked. What was refused stores no key: the same request may come again
-- when it can be met, also later in the same group.
create function paywarden.ledger_one(p_intent jsonb, p_stale boolean, p_key_is_new boolean) returns jsonb
    language plpgsql
as $$
declare
    v_outcome jsonb;
    v_key_is_new boolean := p_key_is_new or (p_intent ? 'key' and not p_stale and paywarden.ledger_key(p_intent));
begin
    if p_stale then
        v_outcome := jsonb_build_object('result', 'stale');
    elsif p_intent ? 'key' and not v_key_is_new then
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
    if v_key_is_new and v_outcome ->> 'result' <> 'ok' then
        delete from paywarden.idempotency_keys
        where tenant_id = (select paywarden.tenant()) and principal_id = (p_intent -> 'key' ->> 'principal_id')::uuid
          and key = p_intent -> 'key' ->> 'key';
    end if;
    return v_outcome;
end
$$;

-- The tenants whose rows a group may touch. Nobody but the ledger's functions works in the role that this lets through.
create function paywarden.ledger_tenants() returns uuid[]
    language sql stable parallel safe
as $$
    select nullif(current_setting('app.tenants', true), '')::uuid[]
$$;

do $$
declare
    v_table text;
begin
    foreach v_table in array array['accounts', 'holds', 'hold_lines', 'idempotency_keys', 'transfers',
                                   'authority_grants', 'payments', 'principals', 'mandates'] loop
        -- ``is true`` keeps the planner from looking rows up by the whole group instead of by their key.
        execute format(
            'create policy group_wall on paywarden.%I for all to paywarden_ledger
                 using ((tenant_id = any ((select paywarden.ledger_tenants())::uuid[])) is true)', v_table);
        -- One wall is enough to ask at each row: the doors let no tenant in who is not in the group.
        execute format('alter policy tenant_wall on paywarden.%I to paywarden_owner, paywarden_app', v_table);
    end loop;
end
$$;

-- A sheet of intents: columns instead of rows. Intents, accounts and authorities are named by number, from 1 on; the
-- columns ``_of`` name the intent that a line, movement or budget window belongs to.
create type paywarden.ledger_sheet as (
    tenant uuid[], op text[], hold uuid[], payment uuid[], amount bigint[], authority integer[], of_principal uuid[],
    key_principal uuid[], key text[], fingerprint text[],
    gate_principal uuid[], currency text[], customer text[], mandate uuid[], feature text[],
    operation text[], fact_kind text[], event_at timestamptz[], transfer text[], fact boolean[],
    seconds integer[], final boolean[], status text[],
    account_tenant uuid[], account_id uuid[], book text[], asset text[], code text[], normal text[], floor bigint[],
    authority_tenant uuid[], authority_principal uuid[], authority_version bigint[], authority_until timestamptz[],
    mandate_of integer[], mandate_id uuid[],
    line_of integer[], line_no integer[], line_held integer[], line_debit integer[], line_credit integer[],
    move_of integer[], move_debit integer[], move_credit integer[], move_amount bigint[],
    grant_of integer[], grant_mandate uuid[], grant_window text[], grant_currency text[], grant_limit bigint[],
    grant_account integer[], grant_source integer[], grant_transfer uuid[]
);

-- A sheet as it arrives, read once; ``p_tenant``: everything in it is this tenant's.
create function paywarden.ledger_read(p_sheet jsonb, p_tenant uuid) returns paywarden.ledger_sheet
    language plpgsql
as $$
declare
    v_sheet paywarden.ledger_sheet := jsonb_populate_record(null::paywarden.ledger_sheet, p_sheet);
begin
    if p_tenant is not null then
        v_sheet.tenant := array_fill(p_tenant, array[cardinality(v_sheet.op)]);
        v_sheet.account_tenant := array_fill(p_tenant, array[coalesce(cardinality(v_sheet.code), 0)]);
        v_sheet.authority_tenant := array_fill(p_tenant, array[coalesce(cardinality(v_sheet.authority_version), 0)]);
    end if;
    return v_sheet;
end
$$;

-- What a stretch of a sheet stands on, read under the locks. Accounts have numbers: first those that the sheet names,
-- then those that only stored holds do. ``free`` is what a request may still take; null where there is no floor. A debit
-- adds amount * sign to the balance. Budgets are not ``watched``: below zero they block by themselves.
create type paywarden.ledger_state as (
    tenant uuid[], account uuid[], free bigint[], blocked boolean[], sign integer[], watched boolean[],
    book text[], asset text[],
    -- By place in the sheet. Who is not ``plain`` goes through ledger_one.
    hold_status text[], hold_left bigint[], hold_principal uuid[], hold_payment uuid[], plain boolean[],
    -- By place and line: the lines of a hold, new or stored, and then the movements that are booked with it.
    entry_of integer[], entry_no integer[], entry_held integer[], entry_debit integer[], entry_credit integer[],
    entry_amount bigint[]
);

-- What a sheet finds under the locks of its accounts: what its new holds take all in all from which, and whether it
-- makes nothing but new holds and all that they take is there.
create type paywarden.ledger_locked as (
    number integer[], taken bigint[], fits boolean
);

-- What was decided: results by place, what was short, and by account what changes. ``stop`` is the first place that
-- is not decided.
create type paywarden.ledger_decision as (
    results text[], short text[], moved bigint[], promised bigint[], stop integer
);

-- Store the keys of a stretch, in the order of keys; by place, whether the key is new.
create function paywarden.ledger_keys(p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer) returns boolean[]
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.tenant;
    v_principals uuid[] := p_sheet.key_principal;
    v_keys text[] := p_sheet.key;
    v_fingerprints text[] := p_sheet.fingerprint;
    v_holds uuid[] := p_sheet.hold;
    v_now timestamptz := paywarden.clock();
    v_new_tenants uuid[];
    v_new_principals uuid[];
    v_new_keys text[];
    v_new boolean[];
begin
    if v_keys is null then
        return array_fill(true, array[p_upto]);
    end if;
    with stored as (
        insert into paywarden.idempotency_keys (
            tenant_id, principal_id, key, fingerprint, hold_id, lease_until, created_at, expires_at)
        select v_tenants[place], v_principals[place], v_keys[place], decode(v_fingerprints[place], 'hex'),
            v_holds[place], v_now, v_now, v_now + interval '30 days'
        from generate_series(p_from, p_upto) as place
        where v_keys[place] is not null
        order by v_tenants[place], v_principals[place], v_keys[place], place
        on conflict do nothing
        returning tenant_id, principal_id, key)
    select array_agg(tenant_id), array_agg(principal_id), array_agg(key)
    into v_new_tenants, v_new_principals, v_new_keys from stored;
    if cardinality(v_new_keys) = cardinality(array_remove(v_keys[p_from:p_upto], null)) then
        return array_fill(true, array[p_upto]);
    end if;
    select array_agg(is_new order by place) into v_new
    from (
        select place, key is not null and row_number() over (partition by tenant_id, principal_id, key order by place) = 1
            and (tenant_id, principal_id, key) in (
                select * from unnest(v_new_tenants, v_new_principals, v_new_keys)) as is_new
        from unnest(v_tenants, v_principals, v_keys) with ordinality as given(tenant_id, principal_id, key, place)
        where place between 1 and p_upto) as each;
    return v_new;
end
$$;

-- The ids of the accounts that a sheet names, by number; null where there is none.
create function paywarden.ledger_named(p_sheet paywarden.ledger_sheet) returns uuid[]
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.account_tenant;
    v_books text[] := p_sheet.book;
    v_assets text[] := p_sheet.asset;
    v_codes text[] := p_sheet.code;
begin
    return array(
        -- The order makes the planner take the index by code, also while the table is too small to be worth one.
        select (select account.id from paywarden.accounts as account
                where account.tenant_id = v_tenants[number] and account.code = v_codes[number]
                  and account.book is not distinct from v_books[number]
                  and account.asset is not distinct from v_assets[number]
                order by account.book, account.asset limit 1)
        from generate_series(1, cardinality(v_tenants)) as number
        order by number);
end
$$;

-- Lock the payments and then the stored holds of a stretch, each in order; the ids of the accounts that it names.
create function paywarden.ledger_lock(p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer) returns uuid[]
    language plpgsql
as $$
declare
    v_named uuid[];
begin
    if p_sheet.payment is not null then
        perform 1 from paywarden.payments as payment
        where (payment.tenant_id, payment.id) in (
            select tenant_id, payment_id
            from unnest(p_sheet.tenant, p_sheet.payment) with ordinality as given(tenant_id, payment_id, place)
            where payment_id is not null and place between p_from and p_upto)
        order by payment.tenant_id, payment.id for no key update of payment;
    end if;
    if p_sheet.op && '{post,void,extend}' then
        perform 1 from paywarden.holds as hold
        where (hold.tenant_id, hold.id) in (
            select tenant_id, hold_id
            from unnest(p_sheet.tenant, p_sheet.op, p_sheet.hold)
                with ordinality as given(tenant_id, op, hold_id, place)
            where op <> 'reserve' and hold_id is not null and place between p_from and p_upto)
        order by hold.tenant_id, hold.id for no key update of hold;
    end if;
    v_named := paywarden.ledger_named(p_sheet);
    if array_position(v_named, null) is not null then
        -- Who may open accounts waits for whoever else does: rows that do not exist cannot be locked in order.
        perform pg_advisory_xact_lock(hashtextextended('paywarden.accounts:' || tenant_id, 0))
        from (select distinct tenant_id from unnest(p_sheet.account_tenant, v_named) as named(tenant_id, id)
              where id is null and tenant_id = any (paywarden.ledger_tenants()) order by tenant_id) as opening;
        v_named := paywarden.ledger_named(p_sheet);
    end if;
    return v_named;
end
$$;

-- Lock the accounts that a stretch touches, in order. A new hold only promises away: the other side of its lines stays
-- free.
create function paywarden.ledger_lock_accounts(
    p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer, p_named uuid[]) returns paywarden.ledger_locked
    language plpgsql
as $$
declare
    v_ops text[] := p_sheet.op;
    v_amounts bigint[] := p_sheet.amount;
    v_owners uuid[] := p_sheet.account_tenant;
    v_accounts uuid[] := p_named;
    v_takers integer[] := p_sheet.line_of;
    v_numbers integer[] := p_sheet.line_held || p_sheet.move_debit || p_sheet.move_credit || p_sheet.grant_account
        || p_sheet.grant_source;
    v_taken bigint[];
    v_fits boolean;
begin
    if v_ops && '{post,void}' then
        select v_owners || array_agg(tenant_id), v_accounts || array_agg(account_id),
            v_numbers || array_agg((cardinality(p_named) + turn)::integer)
        into v_owners, v_accounts, v_numbers
        from (
            select line.tenant_id, account_id, row_number() over () as turn
            from unnest(p_sheet.tenant, v_ops, p_sheet.hold) with ordinality as given(tenant_id, op, hold_id, place)
            join paywarden.hold_lines as line using (tenant_id, hold_id)
            cross join unnest(case when op = 'post' then array[held_account_id, debit_account_id, credit_account_id]
                                   else array[held_account_id] end) as account_id
            where op in ('post', 'void') and place between p_from and p_upto
            group by line.tenant_id, account_id) as stored;
    end if;
    select array_agg(number), array_agg(taken), bool_and(not blocked and taken <= free)
    into v_numbers, v_taken, v_fits
    from (
        select number, taken, blocked, balance - held - floor as free
        from (select number, sum(v_amounts[taker])::bigint as taken
              from unnest(v_numbers, v_takers) as line(number, taker) group by number) as wanted
        join paywarden.accounts as account on account.tenant_id = v_owners[number] and account.id = v_accounts[number]
        order by account.tenant_id, account.book, account.asset, account.code for no key update of account) as locked;
    return row(v_numbers, v_taken, coalesce(v_fits, true) and 'reserve' = all (v_ops)
        and array_position(p_named, null) is null);
end
$$;

-- By number, whether the authority no longer holds: tenant, principal, key, mandates, or anything changed since guard.
create function paywarden.ledger_stale(p_sheet paywarden.ledger_sheet) returns boolean[]
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.authority_tenant;
    v_now timestamptz := paywarden.clock();
    v_stale boolean[];
    v_number integer;
begin
    v_stale := array(
        select tenant.id is null or principal.id is null or coalesce(valid_until <= v_now, false)
        from unnest(v_tenants, p_sheet.authority_principal, p_sheet.authority_version, p_sheet.authority_until)
            with ordinality as given(tenant_id, principal_id, version, valid_until, number)
        left join paywarden.tenants as tenant
            on tenant.id = given.tenant_id and tenant.status = 'active' and tenant.authority_version = given.version
        left join paywarden.principals as principal
            on principal.tenant_id = given.tenant_id and principal.id = given.principal_id
           and principal.status = 'active'
        order by number);
    if p_sheet.mandate_of is not null then
        for v_number in
            select authority
            from unnest(p_sheet.mandate_of, p_sheet.mandate_id) as given(authority, mandate_id)
            left join paywarden.mandates as mandate
                on mandate.tenant_id = v_tenants[authority] and mandate.id = given.mandate_id
               and mandate.status = 'active' and mandate.valid_from <= v_now
               and (mandate.valid_until is null or mandate.valid_until > v_now)
            where mandate.id is null
        loop
            v_stale[v_number] := true;
        end loop;
    end if;
    return v_stale;
end
$$;

-- Where each id stands among others.
create function paywarden.ledger_numbers(p_ids uuid[], p_among uuid[]) returns integer[]
    language plpgsql
    set enable_nestloop = off
    set enable_hashjoin = on
as $$
begin
    return (
        select array_agg(number order by place)
        from unnest(p_ids) with ordinality as wanted(id, place)
        join (select id, min(number) as number
              from unnest(p_among) with ordinality as known(id, number) group by id) as known using (id));
end
$$;

-- The accounts of a stretch under their numbers, as they are under its locks.
create function paywarden.ledger_load_accounts(p_sheet paywarden.ledger_sheet, p_state paywarden.ledger_state)
    returns paywarden.ledger_state
    language plpgsql
as $$
declare
    v_floors bigint[] := p_sheet.floor;
    v_normals text[] := p_sheet.normal;
    v_books text[] := p_sheet.book;
    v_assets text[] := p_sheet.asset;
begin
    select array_agg(free), array_agg(blocked), array_agg(sign), array_agg(book <> 'authority'), array_agg(book),
        array_agg(asset)
    into p_state.free, p_state.blocked, p_state.sign, p_state.watched, p_state.book, p_state.asset
    from (
        -- An account that does not exist has nothing to give.
        select case when account.id is null then -v_floors[number] else balance - held - floor end as free,
            coalesce(blocked, false) as blocked,
            case coalesce(normal, v_normals[number]) when 'debit' then 1 else -1 end as sign,
            coalesce(account.book, v_books[number]) as book, coalesce(account.asset, v_assets[number]) as asset
        from unnest(p_state.tenant, p_state.account) with ordinality as known(tenant_id, id, number)
        left join paywarden.accounts as account on account.tenant_id = known.tenant_id and account.id = known.id
        order by number) as found;
    return p_state;
end
$$;

-- The lines of stored holds and the movements of a stretch, beside the lines of its new holds.
create function paywarden.ledger_load_entries(
    p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer, p_state paywarden.ledger_state)
    returns paywarden.ledger_state
    language plpgsql
as $$
declare
    v_places integer[];
    v_owners uuid[];
    v_held uuid[];
    v_debit uuid[];
    v_credit uuid[];
begin
    select array_agg(place), array_agg(line.tenant_id), array_agg(held_account_id), array_agg(debit_account_id),
        array_agg(credit_account_id)
    into v_places, v_owners, v_held, v_debit, v_credit
    from unnest(p_sheet.tenant, p_sheet.op, p_sheet.hold) with ordinality as given(tenant_id, op, hold_id, place)
    join paywarden.hold_lines as line using (tenant_id, hold_id)
    where op in ('post', 'void') and place between p_from and p_upto;
    p_state.tenant := p_state.tenant || v_owners || v_owners || v_owners;
    p_state.account := p_state.account || v_held || v_debit || v_credit;
    select array_agg(place), array_agg(no), array_agg(held), array_agg(debit), array_agg(credit), array_agg(amount)
    into p_state.entry_of, p_state.entry_no, p_state.entry_held, p_state.entry_debit, p_state.entry_credit,
        p_state.entry_amount
    from (
        select place, row_number() over (partition by place order by kind, seq) - 1 as no, held, debit, credit, amount
        from (
            select 0 as kind, seq, place, held, debit, credit, null::bigint as amount
            from unnest(v_places, paywarden.ledger_numbers(v_held, p_state.account),
                        paywarden.ledger_numbers(v_debit, p_state.account),
                        paywarden.ledger_numbers(v_credit, p_state.account))
                with ordinality as stored(place, held, debit, credit, seq)
            union all
            select 0, seq, place, held, debit, credit, null
            from unnest(p_state.entry_of, p_state.entry_held, p_state.entry_debit, p_state.entry_credit)
                with ordinality as new(place, held, debit, credit, seq)
            union all
            select 1, seq, place, null, debit, credit, amount
            from unnest(p_sheet.move_of, p_sheet.move_debit, p_sheet.move_credit, p_sheet.move_amount)
                with ordinality as moved(place, debit, credit, amount, seq)) as entry
        order by place, no) as numbered;
    return p_state;
end
$$;

-- What the decisions about a stretch stand on.
create function paywarden.ledger_load(p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer, p_named uuid[])
    returns paywarden.ledger_state
    language plpgsql
as $$
declare
    v_state paywarden.ledger_state;
    v_tenants uuid[] := p_sheet.tenant;
    v_ops text[] := p_sheet.op;
    v_place integer;
begin
    v_state.tenant := p_sheet.account_tenant;
    v_state.account := p_named;
    v_state.entry_of := p_sheet.line_of;
    v_state.entry_no := p_sheet.line_no;
    v_state.entry_held := p_sheet.line_held;
    v_state.entry_debit := p_sheet.line_debit;
    v_state.entry_credit := p_sheet.line_credit;
    if v_ops && '{post,void,book}' then
        v_state := paywarden.ledger_load_entries(p_sheet, p_from, p_upto, v_state);
    end if;
    v_state := paywarden.ledger_load_accounts(p_sheet, v_state);
    select array_agg(status order by place), array_agg(amount_minor - captured_minor order by place),
        array_agg(principal_id order by place), array_agg(payment_id order by place),
        array_agg(op = 'book' or (turn = 1 and op <> 'extend') order by place)
    into v_state.hold_status, v_state.hold_left, v_state.hold_principal, v_state.hold_payment, v_state.plain
    from (
        select *, row_number() over (partition by tenant_id, hold_id order by place) as turn
        from unnest(v_tenants, v_ops, p_sheet.hold)
            with ordinality as listed(tenant_id, op, hold_id, place)) as given
    left join paywarden.holds as hold on hold.tenant_id = given.tenant_id and hold.id = given.hold_id;
    foreach v_place in array paywarden.ledger_unusual(p_sheet) loop
        v_state.plain[v_place] := false;
    end loop;
    return v_state;
end
$$;

-- The places of operations that were booked before, also by the same sheet, and of holds whose budget window must be
-- opened or brought to the mandate's present limit first.
create function paywarden.ledger_unusual(p_sheet paywarden.ledger_sheet) returns integer[]
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.tenant;
    v_unusual integer[] := '{}';
begin
    if p_sheet.operation is not null then
        v_unusual := array(
            select place
            from (
                select *, row_number() over (partition by tenant_id, operation, fact_kind order by place) as turn
                from unnest(v_tenants, p_sheet.operation, p_sheet.fact_kind)
                    with ordinality as listed(tenant_id, operation, fact_kind, place)
                where operation is not null) as given
            where turn > 1 or (
                select transfer.line from paywarden.transfers as transfer
                where transfer.tenant_id = given.tenant_id and transfer.operation = given.operation
                  and transfer.fact_kind = given.fact_kind order by transfer.line limit 1) is not null);
    end if;
    if p_sheet.grant_of is not null then
        v_unusual := v_unusual || array(
            select place
            from unnest(p_sheet.grant_of, p_sheet.grant_mandate, p_sheet.grant_window, p_sheet.grant_currency,
                        p_sheet.grant_limit)
                as given(place, mandate_id, window_key, currency, limit_minor)
            left join paywarden.authority_grants as opened
                on opened.tenant_id = v_tenants[place] and opened.mandate_id = given.mandate_id
               and opened.window_key = given.window_key and opened.currency = given.currency
            where opened.limit_minor is distinct from given.limit_minor);
    end if;
    return v_unusual;
end
$$;

-- Decide the intents of a stretch in arrival order, as far as they are plain. Nothing is written; each decision counts
-- for the next, so that a big refused one does not starve a small one that fits.
create function paywarden.ledger_decide(
    p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer, p_state paywarden.ledger_state, p_stale boolean[],
    p_new boolean[]) returns paywarden.ledger_decision
    language plpgsql
as $$
declare
    v_ops text[] := p_sheet.op;
    v_keys text[] := p_sheet.key;
    v_amounts bigint[] := p_sheet.amount;
    v_authorities integer[] := p_sheet.authority;
    v_of_principals uuid[] := p_sheet.of_principal;
    v_finals boolean[] := p_sheet.final;
    v_codes text[] := p_sheet.code;
    v_plain boolean[] := p_state.plain;
    v_status text[] := p_state.hold_status;
    v_left bigint[] := p_state.hold_left;
    v_principals uuid[] := p_state.hold_principal;
    v_payments uuid[] := p_sheet.payment;
    v_facts boolean[] := p_sheet.fact;
    v_free bigint[] := p_state.free;
    v_blocked boolean[] := p_state.blocked;
    v_watched boolean[] := p_state.watched;
    v_sign integer[] := p_state.sign;
    v_of integer[] := p_state.entry_of;
    v_held integer[] := p_state.entry_held;
    v_debit integer[] := p_state.entry_debit;
    v_credit integer[] := p_state.entry_credit;
    v_sums bigint[] := p_state.entry_amount;
    v_results text[] := array_fill(null::text, array[p_upto]);
    v_short text[];
    v_moved bigint[] := array_fill(0::bigint, array[coalesce(cardinality(p_state.account), 0)]);
    v_promised bigint[] := v_moved;
    v_place integer := p_from;
    v_first integer := 1;
    v_entry integer;
    v_op text;
    v_amount bigint;
    v_given bigint;
    v_sum bigint;
    v_account integer;
    v_other integer;
    v_missing text[];
    v_below boolean;
begin
    while v_place <= p_upto loop
        while v_of[v_first] < v_place loop
            v_first := v_first + 1;
        end loop;
        v_op := v_ops[v_place];
        v_amount := v_amounts[v_place];
        v_missing := null;
        v_below := false;
        if p_stale[v_authorities[v_place]] then
            v_results[v_place] := 'stale';
            v_place := v_place + 1;
            continue;
        elsif not v_plain[v_place] or (v_keys[v_place] is not null and not p_new[v_place]) then
            exit;
        elsif v_of_principals[v_place] is not null and v_of_principals[v_place] is distinct from v_principals[v_place]
            or v_op = 'void' and v_status[v_place] is null
            or v_status[v_place] is not null and not coalesce(v_facts[v_place], false)
                and p_state.hold_payment[v_place] is distinct from v_payments[v_place]
        then
            v_results[v_place] := 'invalid';
            v_place := v_place + 1;
            continue;
        elsif v_op = 'reserve' then
            exit when v_status[v_place] is not null;
            v_given := -v_amount;
        elsif v_op <> 'book' then
            exit when v_status[v_place] is distinct from 'pending' or v_left[v_place] < v_amount;
            v_given := case when v_op = 'void' or v_finals[v_place] then v_left[v_place] else v_amount end;
        end if;
        v_entry := v_first;
        while v_of[v_entry] = v_place loop
            v_account := v_held[v_entry];
            if v_account is not null then
                v_free[v_account] := v_free[v_account] + v_given;
                if v_op = 'reserve' and (v_blocked[v_account] or v_free[v_account] < 0) then
                    v_missing := v_missing || v_codes[v_account];
                end if;
            end if;
            if v_op in ('post', 'book') then
                v_sum := coalesce(v_sums[v_entry], v_amount);
                v_account := v_debit[v_entry];
                v_free[v_account] := v_free[v_account] + v_sign[v_account] * v_sum;
                v_other := v_credit[v_entry];
                v_free[v_other] := v_free[v_other] - v_sign[v_other] * v_sum;
                if v_watched[v_account] and v_free[v_account] < 0 or v_watched[v_other] and v_free[v_other] < 0
                    or v_op = 'book' and (v_blocked[v_account] or v_blocked[v_other])
                    or v_op = 'book' and (v_free[v_account] < 0 or v_free[v_other] < 0)
                then
                    v_below := true;
                end if;
            end if;
            v_entry := v_entry + 1;
        end loop;
        exit when v_below;
        v_entry := v_first;
        while v_of[v_entry] = v_place loop
            v_account := v_held[v_entry];
            if v_missing is not null then
                v_free[v_account] := v_free[v_account] - v_given;
            elsif v_account is not null then
                v_promised[v_account] := v_promised[v_account] - v_given;
            end if;
            if v_op in ('post', 'book') then
                v_sum := coalesce(v_sums[v_entry], v_amount);
                v_account := v_debit[v_entry];
                v_moved[v_account] := v_moved[v_account] + v_sign[v_account] * v_sum;
                v_account := v_credit[v_entry];
                v_moved[v_account] := v_moved[v_account] - v_sign[v_account] * v_sum;
            end if;
            v_entry := v_entry + 1;
        end loop;
        if v_missing is null then
            v_results[v_place] := 'ok';
        else
            v_results[v_place] := 'insufficient';
            v_short[v_place] := (select string_agg(distinct code, ', ' order by code) from unnest(v_missing) as code);
        end if;
        v_place := v_place + 1;
    end loop;
    return row(v_results, v_short, v_moved, v_promised, v_place);
end
$$;

-- Open the accounts that the decisions of a stretch write to and that do not exist yet; the ids of all by number.
create function paywarden.ledger_open_accounts(
    p_sheet paywarden.ledger_sheet, p_state paywarden.ledger_state, p_decision paywarden.ledger_decision) returns uuid[]
    language plpgsql
as $$
declare
    v_books text[] := p_sheet.book;
    v_assets text[] := p_sheet.asset;
    v_codes text[] := p_sheet.code;
    v_normals text[] := p_sheet.normal;
    v_floors bigint[] := p_sheet.floor;
    v_ids uuid[] := p_sheet.account_id;
    v_account uuid[] := p_state.account;
    v_results text[] := p_decision.results;
    v_missing integer[];
    v_opened uuid[];
    v_number integer;
begin
    v_missing := array(
        select distinct number
        from unnest(p_state.entry_of, p_state.entry_debit, p_state.entry_credit) as entry(place, debit, credit)
        cross join unnest(array[debit, credit]) as number
        where v_results[place] = 'ok' and v_account[number] is null);
    insert into paywarden.accounts (tenant_id, id, book, asset, code, normal, floor)
    select p_state.tenant[number], v_ids[number], v_books[number], v_assets[number], v_codes[number], v_normals[number],
        v_floors[number]
    from unnest(v_missing) as number
    order by 1, 3, 4, 5
    on conflict (tenant_id, code, book, asset) do nothing;
    -- Somebody else may have opened one of them meanwhile.
    v_opened := paywarden.ledger_named(p_sheet);
    foreach v_number in array v_missing loop
        v_account[v_number] := v_opened[v_number];
    end loop;
    return v_account;
end
$$;

-- Write the new holds that were granted.
create function paywarden.ledger_write_holds(
    p_sheet paywarden.ledger_sheet, p_account uuid[], p_results text[], p_now timestamptz) returns void
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.tenant;
    v_holds uuid[] := p_sheet.hold;
    v_ops text[] := p_sheet.op;
    v_amounts bigint[] := p_sheet.amount;
    v_payments uuid[] := p_sheet.payment;
    v_principals uuid[] := p_sheet.gate_principal;
    v_currencies text[] := p_sheet.currency;
    v_customers text[] := p_sheet.customer;
    v_mandates uuid[] := p_sheet.mandate;
    v_features text[] := p_sheet.feature;
    v_seconds integer[] := p_sheet.seconds;
    v_of integer[] := p_sheet.line_of;
    v_numbers integer[] := p_sheet.line_no;
    v_held integer[] := p_sheet.line_held;
    v_debit integer[] := p_sheet.line_debit;
    v_credit integer[] := p_sheet.line_credit;
    v_books text[] := p_sheet.book;
    v_assets text[] := p_sheet.asset;
begin
    insert into paywarden.holds (
        tenant_id, id, payment_id, amount_minor, principal_id, currency, customer_id, mandate_id, feature, created_at,
        expires_at)
    select v_tenants[place], v_holds[place], v_payments[place], v_amounts[place], v_principals[place],
        v_currencies[place], v_customers[place], v_mandates[place], v_features[place], p_now,
        p_now + make_interval(secs => v_seconds[place])
    from generate_series(1, cardinality(p_results)) as place
    where p_results[place] = 'ok' and v_ops[place] = 'reserve';
    insert into paywarden.hold_lines (
        tenant_id, hold_id, line, held_account_id, debit_account_id, credit_account_id, book, asset)
    select v_tenants[place], v_holds[place], v_numbers[line], p_account[v_held[line]], p_account[v_debit[line]],
        p_account[v_credit[line]], v_books[v_debit[line]], v_assets[v_debit[line]]
    from (select line, v_of[line] as place from generate_series(1, cardinality(v_of)) as line) as new
    where p_results[place] = 'ok';
end
$$;

-- Write the sheet of a stretch that makes nothing but new holds and has everything they take; one outcome for each.
create function paywarden.ledger_write_fitting(
    p_sheet paywarden.ledger_sheet, p_named uuid[], p_locked paywarden.ledger_locked) returns jsonb
    language plpgsql
as $$
declare
    v_owners uuid[] := p_sheet.account_tenant;
    v_places integer := cardinality(p_sheet.op);
    v_now timestamptz := paywarden.clock();
begin
    perform paywarden.ledger_write_holds(p_sheet, p_named, array_fill('ok'::text, array[v_places]), v_now);
    update paywarden.accounts as account
    set held = held + taken
    from unnest(p_locked.number, p_locked.taken) as change(number, taken)
    where account.tenant_id = v_owners[number] and account.id = p_named[number] and taken > 0;
    return to_jsonb(array_fill(v_now, array[v_places]));
end
$$;

-- Write the transfers of what was posted, and what became of the stored holds; by place, the hold's row afterwards.
create function paywarden.ledger_write_posts(
    p_sheet paywarden.ledger_sheet, p_state paywarden.ledger_state, p_results text[], p_now timestamptz) returns jsonb[]
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.tenant;
    v_holds uuid[] := p_sheet.hold;
    v_ops text[] := p_sheet.op;
    v_amounts bigint[] := p_sheet.amount;
    v_payments uuid[] := p_sheet.payment;
    v_operations text[] := p_sheet.operation;
    v_kinds text[] := p_sheet.fact_kind;
    v_bases text[] := p_sheet.transfer;
    v_moments timestamptz[] := p_sheet.event_at;
    v_account uuid[] := p_state.account;
    v_books text[] := p_state.book;
    v_assets text[] := p_state.asset;
    v_found record;
    v_rows jsonb[];
begin
    insert into paywarden.transfers (
        tenant_id, id, operation, fact_kind, line, debit_account_id, credit_account_id, book, asset, amount_minor,
        payment_id, hold_id, event_at, created_at)
    select v_tenants[place], (v_bases[place] || lpad(to_hex(line), 2, '0'))::uuid, v_operations[place], v_kinds[place],
        line, v_account[debit], v_account[credit], v_books[debit], v_assets[debit], coalesce(amount, v_amounts[place]),
        v_payments[place], v_holds[place], coalesce(v_moments[place], p_now), p_now
    from unnest(p_state.entry_of, p_state.entry_no, p_state.entry_debit, p_state.entry_credit, p_state.entry_amount)
        as entry(place, line, debit, credit, amount)
    where p_results[place] = 'ok' and v_ops[place] in ('post', 'book');
    for v_found in
        update paywarden.holds as hold
        set captured_minor = captured_minor + captured, status = coalesce(ends, hold.status),
            closed_at = case when ends is not null then p_now end
        from (
            select place, tenant_id, hold_id, case when op = 'post' then amount else 0 end as captured,
                case when op = 'void' then status when final or amount = amount_left then 'posted' end as ends
            from unnest(v_tenants, v_ops, p_results, v_holds, v_amounts, p_sheet.final,
                        p_sheet.status, p_state.hold_left)
                with ordinality as listed(tenant_id, op, result, hold_id, amount, final, status, amount_left, place)
            where op in ('post', 'void') and result = 'ok') as given
        where hold.tenant_id = given.tenant_id and hold.id = given.hold_id
        returning given.place, to_jsonb(hold) - 'tenant_id' as shown
    loop
        v_rows[v_found.place] := v_found.shown;
    end loop;
    return v_rows;
end
$$;

-- Write what was decided about a stretch; one outcome for each decision.
create function paywarden.ledger_apply(
    p_sheet paywarden.ledger_sheet, p_from integer, p_state paywarden.ledger_state, p_decision paywarden.ledger_decision,
    p_new boolean[]) returns jsonb
    language plpgsql
as $$
declare
    v_ops text[] := p_sheet.op;
    v_results text[] := p_decision.results;
    v_short text[] := p_decision.short;
    v_now timestamptz := paywarden.clock();
    v_rows jsonb[];
begin
    if not 'ok' = all (v_results) then
        -- What was refused stores no key: the same request may come again when it can be met.
        delete from paywarden.idempotency_keys as stored
        using unnest(p_sheet.tenant, p_sheet.key_principal, p_sheet.key, v_results, p_new)
            as given(tenant_id, principal_id, key, result, is_new)
        where stored.tenant_id = given.tenant_id and stored.principal_id = given.principal_id
          and stored.key = given.key and result <> 'ok' and is_new;
    end if;
    if array_position(p_state.account, null) is not null then
        p_state.account := paywarden.ledger_open_accounts(p_sheet, p_state, p_decision);
    end if;
    if 'reserve' = any (v_ops) then
        perform paywarden.ledger_write_holds(p_sheet, p_state.account, v_results, v_now);
    end if;
    if v_ops && '{post,void,book}' then
        v_rows := paywarden.ledger_write_posts(p_sheet, p_state, v_results, v_now);
    end if;
    update paywarden.accounts as account
    set balance = balance + moved, held = held + promised
    from unnest(p_state.tenant, p_state.account, p_decision.moved, p_decision.promised)
        as change(tenant_id, id, moved, promised)
    where account.tenant_id = change.tenant_id and account.id = change.id and (moved <> 0 or promised <> 0);
    return (
        select jsonb_agg(
            case when result = 'ok' and op = 'reserve' then to_jsonb(v_now)
                 when result = 'ok' and op = 'book' then jsonb_build_object('result', 'ok')
                 when result = 'ok' then jsonb_build_object('result', 'ok', 'late', false, 'hold', v_rows[place])
                 when result = 'insufficient' then jsonb_build_object('result', result, 'accounts', v_short[place])
                 when result = 'invalid' then jsonb_build_object('result', result, 'reason', 'no such hold')
                 else jsonb_build_object('result', result) end
            order by place)
        from unnest(v_results, v_ops) with ordinality as decided(result, op, place)
        where place between p_from and p_decision.stop - 1);
end
$$;

-- The accounts of one intent, by number, spelled out.
create function paywarden.ledger_specs(p_sheet paywarden.ledger_sheet, p_place integer) returns jsonb[]
    language plpgsql stable
as $$
declare
    v_ids uuid[] := p_sheet.account_id;
    v_books text[] := p_sheet.book;
    v_assets text[] := p_sheet.asset;
    v_codes text[] := p_sheet.code;
    v_normals text[] := p_sheet.normal;
    v_floors bigint[] := p_sheet.floor;
    v_specs jsonb[];
    v_number integer;
begin
    for v_number in
        select unnest(array[one, other])
        from (
            select * from unnest(p_sheet.line_of, p_sheet.line_debit, p_sheet.line_credit)
            union all
            select * from unnest(p_sheet.move_of, p_sheet.move_debit, p_sheet.move_credit)
            union all
            select * from unnest(p_sheet.grant_of, p_sheet.grant_account, p_sheet.grant_source))
            as pair(place, one, other)
        where place = p_place
    loop
        v_specs[v_number] := jsonb_build_object(
            'id', v_ids[v_number], 'book', v_books[v_number], 'asset', v_assets[v_number], 'code', v_codes[v_number],
            'normal', v_normals[v_number], 'floor', v_floors[v_number]);
    end loop;
    return v_specs;
end
$$;

-- One intent of a sheet in the form in which the rules for one read it: its accounts spelled out.
create function paywarden.ledger_spelled(p_sheet paywarden.ledger_sheet, p_place integer) returns jsonb
    language plpgsql stable
as $$
declare
    v_specs jsonb[] := paywarden.ledger_specs(p_sheet, p_place);
    v_transfer text := p_sheet.transfer[p_place];
    v_key text := p_sheet.key[p_place];
    v_principal uuid := p_sheet.gate_principal[p_place];
begin
    return jsonb_build_object(
        'op', p_sheet.op[p_place],
        'hold_id', p_sheet.hold[p_place],
        'payment_id', p_sheet.payment[p_place],
        'amount_minor', p_sheet.amount[p_place],
        'expires_in_seconds', p_sheet.seconds[p_place],
        'of_principal_id', p_sheet.of_principal[p_place],
        'operation', p_sheet.operation[p_place],
        'fact_kind', p_sheet.fact_kind[p_place],
        'event_at', p_sheet.event_at[p_place],
        'fact', p_sheet.fact[p_place],
        'final', p_sheet.final[p_place],
        'status', p_sheet.status[p_place],
        'gate', case when v_principal is not null then jsonb_build_object(
            'principal_id', v_principal, 'currency', p_sheet.currency[p_place],
            'customer_id', p_sheet.customer[p_place],
            'mandate_id', p_sheet.mandate[p_place],
            'feature', p_sheet.feature[p_place]) end,
        'transfer_ids', (
            select jsonb_agg(v_transfer || lpad(to_hex(line), 2, '0') order by line)
            from generate_series(0, 63) as line where v_transfer is not null),
        'lines', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'held', (held <> debit)::integer, 'accounts', array[v_specs[debit], v_specs[credit]]) order by line), '[]')
            from unnest(p_sheet.line_of, p_sheet.line_no, p_sheet.line_held, p_sheet.line_debit, p_sheet.line_credit)
                as listed(place, line, held, debit, credit)
            where place = p_place),
        'transfers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'amount_minor', amount, 'accounts', array[v_specs[debit], v_specs[credit]]) order by seq), '[]')
            from unnest(p_sheet.move_of, p_sheet.move_debit, p_sheet.move_credit, p_sheet.move_amount)
                with ordinality as listed(place, debit, credit, amount, seq)
            where place = p_place),
        'grants', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'mandate_id', mandate_id, 'window_key', window_key, 'currency', currency, 'limit_minor', limit_minor,
                'accounts', array[v_specs[account], v_specs[source]], 'transfer_ids', array[transfer_id]) order by seq),
                '[]')
            from unnest(p_sheet.grant_of, p_sheet.grant_mandate, p_sheet.grant_window, p_sheet.grant_currency,
                        p_sheet.grant_limit, p_sheet.grant_account, p_sheet.grant_source, p_sheet.grant_transfer)
                with ordinality as listed(place, mandate_id, window_key, currency, limit_minor, account, source,
                                          transfer_id, seq)
            where place = p_place))
        || case when v_key is null then '{}' else jsonb_build_object('key', jsonb_build_object(
            'principal_id', p_sheet.key_principal[p_place], 'key', v_key,
            'fingerprint', p_sheet.fingerprint[p_place])) end;
end
$$;

-- A stretch of a sheet: places p_from to p_upto, in the order of tenants; one outcome for each. The outcome of a new
-- hold is just when it was made. Where a whole sheet makes nothing but new holds and their sums fit, each fits in its
-- turn: amounts are positive. ``p_fresh``: that may be tried; then a hold whose id is known is a unique_violation.
create function paywarden.ledger_stretch(
    p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer, p_fresh boolean) returns jsonb
    language plpgsql
as $$
declare
    v_new boolean[] := paywarden.ledger_keys(p_sheet, p_from, p_upto);
    v_named uuid[] := paywarden.ledger_lock(p_sheet, p_from, p_upto);
    v_locked paywarden.ledger_locked := paywarden.ledger_lock_accounts(p_sheet, p_from, p_upto, v_named);
    v_stale boolean[] := paywarden.ledger_stale(p_sheet);
begin
    if p_fresh and v_locked.fits and true = all (v_new) and not true = any (v_stale)
        and (p_sheet.grant_of is null or cardinality(paywarden.ledger_unusual(p_sheet)) = 0)
    then
        return paywarden.ledger_write_fitting(p_sheet, v_named, v_locked);
    end if;
    return paywarden.ledger_write_in_turn(p_sheet, p_from, p_upto, v_named, v_stale, v_new);
end
$$;

-- Write what is locked in the order of arrival, plain intents together and each unusual one by the rules for one.
create function paywarden.ledger_write_in_turn(
    p_sheet paywarden.ledger_sheet, p_from integer, p_upto integer, p_named uuid[], p_stale boolean[], p_new boolean[])
    returns jsonb
    language plpgsql
as $$
declare
    v_tenants uuid[] := p_sheet.tenant;
    v_authorities integer[] := p_sheet.authority;
    v_named uuid[] := p_named;
    v_state paywarden.ledger_state;
    v_decision paywarden.ledger_decision;
    v_place integer := p_from;
    v_outcomes jsonb := '[]';
begin
    loop
        v_state := paywarden.ledger_load(p_sheet, v_place, p_upto, v_named);
        v_decision := paywarden.ledger_decide(p_sheet, v_place, p_upto, v_state, p_stale, p_new);
        if v_decision.stop > v_place then
            v_outcomes := v_outcomes || paywarden.ledger_apply(p_sheet, v_place, v_state, v_decision, p_new);
            v_place := v_decision.stop;
        end if;
        exit when v_place > p_upto;
        loop
            perform set_config('app.tenant', v_tenants[v_place]::text, true);
            v_outcomes := v_outcomes || jsonb_build_array(paywarden.ledger_one(
                paywarden.ledger_spelled(p_sheet, v_place), coalesce(p_stale[v_authorities[v_place]], false),
                coalesce(p_new[v_place], false)));
            v_place := v_place + 1;
            exit when v_place > p_upto or v_state.plain[v_place];
        end loop;
        exit when v_place > p_upto;
        -- Alone an intent may have opened an account.
        if array_position(v_named, null) is not null then
            v_named := paywarden.ledger_lock(p_sheet, v_place, p_upto);
            perform paywarden.ledger_lock_accounts(p_sheet, v_place, p_upto, v_named);
        end if;
    end loop;
    return v_outcomes;
end
$$;

-- The door: a sheet of intents in, one outcome for each, in the caller's transaction and tenant.
create function paywarden.ledger_write(p_sheet jsonb) returns jsonb
    language plpgsql security definer
    set search_path = paywarden, public, pg_temp
    set plan_cache_mode = force_generic_plan
    set jit = off
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
as $$
declare
    v_tenant uuid := paywarden.tenant();
    v_sheet paywarden.ledger_sheet;
    v_outcomes jsonb;
begin
    if not p_sheet ? 'op' then
        return '[]';
    end if;
    v_sheet := paywarden.ledger_read(p_sheet, v_tenant);
    perform set_config('app.tenants', array[v_tenant]::text, true);
    begin
        v_outcomes := paywarden.ledger_stretch(v_sheet, 1, cardinality(v_sheet.op), true);
    exception
        when unique_violation then
            v_outcomes := paywarden.ledger_stretch(v_sheet, 1, cardinality(v_sheet.op), false);
    end;
    perform set_config('app.tenants', '', true);
    return v_outcomes;
end
$$;

-- The door for callers who want all of it or nothing, and to commit without looking: an outcome that is not ok is an
-- error of the transaction, with the outcomes as its detail.
create function paywarden.ledger_write_all(p_sheet jsonb) returns void
    language plpgsql
as $$
declare
    v_outcomes jsonb := paywarden.ledger_write(p_sheet);
begin
    if exists (
        select from jsonb_array_elements(v_outcomes) as outcome
        where jsonb_typeof(outcome) = 'object' and outcome ->> 'result' <> 'ok') then
        raise exception 'the ledger refuses' using errcode = 'PWREF', detail = v_outcomes::text;
    end if;
end
$$;

-- A stretch of one tenant that stands for itself: when it makes an SQL error, its intents are tried one by one, and the
-- outcome of one that fails is {result: error}.
create function paywarden.ledger_slice(
    p_sheet paywarden.ledger_sheet, p_tenant uuid, p_from integer, p_upto integer) returns jsonb
    language plpgsql
as $$
declare
    v_outcomes jsonb := '[]';
begin
    perform set_config('app.tenant', p_tenant::text, true), set_config('app.tenants', array[p_tenant]::text, true);
    return paywarden.ledger_stretch(p_sheet, p_from, p_upto, false);
exception
    when deadlock_detected or serialization_failure or lock_not_available then
        raise;
    when others then
        if p_from = p_upto then
            return jsonb_build_array(jsonb_build_object('result', 'error', 'sqlstate', sqlstate, 'reason', sqlerrm));
        end if;
        for v_place in p_from .. p_upto loop
            v_outcomes := v_outcomes || paywarden.ledger_slice(p_sheet, p_tenant, v_place, v_place);
        end loop;
        return v_outcomes;
end
$$;

-- The door for a group: a sheet of several tenants, in the order of tenants; one outcome for each intent. An SQL error
-- is rolled back and told for the intent alone that makes it.
create function paywarden.ledger_write_tenants(p_sheet jsonb) returns jsonb
    language plpgsql security definer
    set search_path = paywarden, public, pg_temp
    set plan_cache_mode = force_generic_plan
    set jit = off
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
as $$
declare
    v_sheet paywarden.ledger_sheet := paywarden.ledger_read(p_sheet, (p_sheet ->> 'all_of')::uuid);
    v_tenants uuid[] := v_sheet.tenant;
    v_group uuid[] := array[v_tenants[1]];
    v_slice record;
    v_outcomes jsonb := '[]';
begin
    if v_tenants[1] <> any (v_tenants) then
        v_group := array(select distinct unnest(v_tenants));
    end if;
    begin
        perform set_config('app.tenant', v_tenants[1]::text, true), set_config('app.tenants', v_group::text, true);
        v_outcomes := paywarden.ledger_stretch(v_sheet, 1, cardinality(v_tenants), true);
    exception
        when deadlock_detected or serialization_failure or lock_not_available then
            raise;
        when others then
            for v_slice in
                select tenant_id, min(place)::integer as first, max(place)::integer as last
                from unnest(v_tenants) with ordinality as given(tenant_id, place) group by tenant_id order by 2
            loop
                v_outcomes := v_outcomes
                    || paywarden.ledger_slice(v_sheet, v_slice.tenant_id, v_slice.first, v_slice.last);
            end loop;
    end;
    perform set_config('app.tenant', '', true), set_config('app.tenants', '', true);
    return v_outcomes;
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
grant execute on function
    paywarden.ledger_write(jsonb), paywarden.ledger_write_all(jsonb), paywarden.ledger_write_tenants(jsonb) to paywarden_app;
grant create on schema paywarden to paywarden_ledger;
alter function paywarden.ledger_write(jsonb) owner to paywarden_ledger;
alter function paywarden.ledger_write_tenants(jsonb) owner to paywarden_ledger;
revoke create on schema paywarden from paywarden_ledger;
