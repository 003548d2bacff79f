"""The schema as sorted lines of text, read from PostgreSQL's catalogue: equal text means an equal schema.

Only what both supported versions say alike: 18 lists NOT NULL as constraints and knows the privilege MAINTAIN.
"""

import psycopg

_OURS = "nspname !~ '^pg_' and nspname not in ('information_schema', 'public')"

_QUERIES = (
    f"""
    select format('schema %I owner %I', nspname, nspowner::regrole) from pg_namespace where {_OURS}
    """,
    f"""
    select format('%s %s owner %I rls %s options %s', relkind, class.oid::regclass, relowner::regrole,
        case when relforcerowsecurity and relrowsecurity then 'forced' when relrowsecurity then 'on' else 'off' end,
        coalesce(reloptions::text, '{{}}'))
    from pg_class as class join pg_namespace as space on space.oid = relnamespace
    where {_OURS} and relkind in ('r', 'v', 'm', 'S', 'p')
    """,
    f"""
    select format('column %s.%I %s%s%s%s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
        case when attnotnull then ' not null' end,
        case when attidentity <> '' then ' identity ' || attidentity::text end,
        case attgenerated when '' then ' default ' else ' generated ' end || pg_get_expr(adbin, adrelid))
    from pg_attribute join pg_class as class on class.oid = attrelid
    join pg_namespace as space on space.oid = relnamespace
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where {_OURS} and relkind in ('r', 'v', 'm', 'p') and attnum > 0 and not attisdropped
    """,
    f"""
    select format('constraint %s %I %s', conrelid::regclass, conname, pg_get_constraintdef(con.oid))
    from pg_constraint as con join pg_namespace as space on space.oid = connamespace
    where {_OURS} and conrelid <> 0 and contype <> 'n'
    """,
    f"""
    select 'index ' || pg_get_indexdef(indexrelid)
    from pg_index join pg_class as class on class.oid = indexrelid
    join pg_namespace as space on space.oid = relnamespace
    where {_OURS}
    """,
    f"""
    select format('view %s %s', class.oid::regclass, md5(pg_get_viewdef(class.oid)))
    from pg_class as class join pg_namespace as space on space.oid = relnamespace
    where {_OURS} and relkind in ('v', 'm')
    """,
    """
    select format('policy %s %I for %s to %s using %s check %s', polrelid::regclass, polname, polcmd,
        (select string_agg(case role when 0 then 'public' else role::regrole::text end, ','
                           order by role::regrole::text) from unnest(polroles) as role),
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    from pg_policy
    """,
    f"""
    select 'trigger ' || pg_get_triggerdef(trigger.oid)
    from pg_trigger as trigger join pg_class as class on class.oid = tgrelid
    join pg_namespace as space on space.oid = relnamespace
    where {_OURS} and not tgisinternal
    """,
    f"""
    select format('function %s owner %I %s', function.oid::regprocedure, proowner::regrole,
        md5(pg_get_functiondef(function.oid)))
    from pg_proc as function join pg_namespace as space on space.oid = pronamespace
    where {_OURS} and prokind in ('f', 'p')
    """,
    f"""
    select format('type %s %s', type.oid::regtype, (select string_agg(enumlabel, ',' order by enumsortorder)
        from pg_enum where enumtypid = type.oid))
    from pg_type as type join pg_namespace as space on space.oid = typnamespace
    where {_OURS} and typtype in ('e', 'd')
    """,
    f"""
    with given as (
        select 'schema ' || oid::regnamespace as thing, nspacl as acl from pg_namespace where {_OURS}
        union all
        select class.oid::regclass::text, coalesce(relacl, acldefault('r', relowner))
        from pg_class as class join pg_namespace as space on space.oid = relnamespace
        where {_OURS} and relkind in ('r', 'v', 'm', 'S', 'p')
        union all
        select format('%s.%I', attrelid::regclass, attname), attacl
        from pg_attribute join pg_class as class on class.oid = attrelid
        join pg_namespace as space on space.oid = relnamespace
        where {_OURS} and not attisdropped
        union all
        select function.oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
        from pg_proc as function join pg_namespace as space on space.oid = pronamespace
        where {_OURS}
    )
    select format('grant %s on %s to %s', privilege_type, thing,
        case grantee when 0 then 'public' else grantee::regrole::text end)
    from given, aclexplode(acl)
    where privilege_type <> 'MAINTAIN'
    """,
)


def describe(url: str) -> str:
    """Every schema, table, column, constraint, index, view, policy, trigger, function, type and grant of ours."""
    with psycopg.connect(url) as connection:
        connection.execute("set search_path = ''")
        lines = {line for query in _QUERIES for (line,) in connection.execute(query).fetchall()}
    return "\n".join(sorted(lines)) + "\n"
