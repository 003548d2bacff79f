-- What is or was at a provider has its operation, written before it was sent, for exactly one object there.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment, payment.status
from paywarden.payments as payment
where payment.provider is not null
  and payment.status in ('submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized', 'failed')
  and not exists (
    select from paywarden.operations as operation
    where operation.tenant_id = payment.tenant_id and operation.payment_id = payment.id)
