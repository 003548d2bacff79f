-- name: insert_discrepancy
-- Open a discrepancy unless the same one is open.
insert into paywarden.discrepancies (tenant_id, id, kind, payment_id, subject, detail)
values ((select paywarden.tenant()), %(id)s, %(kind)s, %(payment_id)s, %(subject)s, %(detail)s)
on conflict (tenant_id, kind, subject) where status = 'open' do nothing;

-- name: resolve_discrepancy
-- The two truths agree now.
update paywarden.discrepancies set status = 'resolved', resolved_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and kind = %(kind)s and subject = %(subject)s and status = 'open';

-- name: resolve_gone
-- What was compared again and is no longer found.
update paywarden.discrepancies set status = 'resolved', resolved_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and status = 'open' and kind = any(%(kinds)s::text[])
  and subject = any(%(subjects)s::text[])
  and (kind, subject) not in (select * from unnest(%(found_kinds)s::text[], %(found_subjects)s::text[]));

-- name: list_discrepancies
-- Discrepancies in one status, newest first.
select id, kind, payment_id, subject, detail, status, created_at, resolved_at
from paywarden.discrepancies
where tenant_id = (select paywarden.tenant()) and status = %(status)s
order by id desc
limit %(limit)s;

-- name: discrepancies_of_payment
-- The discrepancies of one payment.
select id, kind, subject, detail, status, created_at, resolved_at
from paywarden.discrepancies
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;
