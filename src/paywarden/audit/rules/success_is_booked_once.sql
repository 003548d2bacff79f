-- A payment has succeeded exactly when its success stands in the ledger, for its own amount.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment, payment.status, payment.captured_minor
from paywarden.payments as payment
where (payment.status = 'succeeded') <> exists (
    select from paywarden.transfers as transfer
    where transfer.tenant_id = payment.tenant_id and transfer.payment_id = payment.id
      and transfer.fact_kind = 'succeeded' and transfer.amount_minor = payment.amount_minor)
  and payment.status <> 'denied'
   or payment.status = 'succeeded' and payment.captured_minor <> payment.amount_minor
