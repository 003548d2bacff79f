-- name: insert_event
-- Append one event.
insert into paywarden.events (tenant_id, id, type, subject_kind, subject_id, principal_id, request_id, data)
values ((select paywarden.tenant()), %(id)s, %(type)s, %(subject_kind)s, %(subject_id)s, %(principal_id)s,
        %(request_id)s, %(data)s);

-- name: insert_events
-- Append several events.
insert into paywarden.events (tenant_id, id, type, subject_kind, subject_id, principal_id, request_id, data)
select (select paywarden.tenant()), told.id, told.type, told.subject_kind, told.subject_id, told.principal_id,
    told.request_id, told.data::jsonb
from unnest(%(ids)s::uuid[], %(types)s::text[], %(subject_kinds)s::text[], %(subject_ids)s::uuid[],
    %(principal_ids)s::uuid[], %(request_ids)s::text[], %(data)s::text[])
    as told(id, type, subject_kind, subject_id, principal_id, request_id, data);

-- name: events_of_subject
-- The events of one subject, in commit order, below every running transaction.
select id, type, principal_id, request_id, data, event_at, created_at
from paywarden.events
where tenant_id = (select paywarden.tenant()) and subject_id = %(subject_id)s
  and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
order by transaction_id, id;
