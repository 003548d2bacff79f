-- An ended payment holds nothing; a running one holds its whole amount.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment, payment.status, hold.status as hold_status
from paywarden.payments as payment
join paywarden.holds as hold on hold.tenant_id = payment.tenant_id and hold.id = payment.hold_id
where (payment.status in ('failed', 'canceled', 'expired', 'denied') and hold.status not in ('voided', 'expired'))
   or (payment.status = 'succeeded' and hold.status = 'pending')
   or (payment.status in ('reserved', 'submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized')
       and (hold.status <> 'pending' or hold.amount_minor <> payment.amount_minor))
