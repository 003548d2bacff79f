-- Nothing failed because nobody answered: a failure is a fact of the provider, or of two people.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment
from paywarden.payments as payment
where payment.status = 'failed' and not exists (
    select from paywarden.payment_transitions as transition
    where transition.tenant_id = payment.tenant_id and transition.payment_id = payment.id
      and transition.to_status = 'failed' and transition.cause = 'fact')
