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
-- Discrepancies in one status with the amount of the payment, newest first.
select discrepancy.id, discrepancy.kind, discrepancy.payment_id, discrepancy.subject, discrepancy.detail,
    discrepancy.status, discrepancy.created_at, discrepancy.resolved_at, payment.amount_minor, payment.currency
from paywarden.discrepancies as discrepancy
left join paywarden.payments as payment
    on payment.tenant_id = discrepancy.tenant_id and payment.id = discrepancy.payment_id
where discrepancy.tenant_id = (select paywarden.tenant()) and discrepancy.status = %(status)s
order by discrepancy.id desc
limit %(limit)s;

-- name: discrepancies_of_payment
-- The discrepancies of one payment.
select id, kind, subject, detail, status, created_at, resolved_at
from paywarden.discrepancies
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;

-- name: insert_attestation
-- What a person says became of a payment.
insert into paywarden.attestations (tenant_id, id, payment_id, principal_id, outcome, reference,
    provider_payment_id, reason)
values ((select paywarden.tenant()), %(id)s, %(payment_id)s, %(principal_id)s, %(outcome)s, %(reference)s,
        %(provider_payment_id)s, %(reason)s);

-- name: standing_attestations
-- The newest word of each person who may still say it, oldest first.
select * from (
    select distinct on (attestation.principal_id) attestation.id, attestation.principal_id, attestation.outcome,
        attestation.reference, attestation.provider_payment_id, attestation.reason, attestation.created_at
    from paywarden.attestations as attestation
    join paywarden.principals as witness
        on witness.tenant_id = attestation.tenant_id and witness.id = attestation.principal_id
    where attestation.tenant_id = (select paywarden.tenant()) and attestation.payment_id = %(payment_id)s
      and witness.status = 'active' and 'settle' = any(witness.roles)
    order by attestation.principal_id, attestation.id desc) as newest
order by id;

-- name: attestations_of_payment
-- Everything that people said became of a payment, oldest first.
select attestation.id, attestation.principal_id, witness.name as principal_name, attestation.outcome,
    attestation.reference, attestation.provider_payment_id, attestation.reason, attestation.created_at
from paywarden.attestations as attestation
join paywarden.principals as witness
    on witness.tenant_id = attestation.tenant_id and witness.id = attestation.principal_id
where attestation.tenant_id = (select paywarden.tenant()) and attestation.payment_id = %(payment_id)s
order by attestation.id;
