-- What people attested was said by two of them, alike, and neither had asked for the payment.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment, transition.to_status
from paywarden.payment_transitions as transition
join paywarden.payments as payment
    on payment.tenant_id = transition.tenant_id and payment.id = transition.payment_id
where transition.source = 'attested' and not exists (
    select from paywarden.attestations as one
    join paywarden.attestations as other
        on other.tenant_id = one.tenant_id and other.payment_id = one.payment_id
       and other.principal_id <> one.principal_id and other.outcome = one.outcome and other.reference = one.reference
       and other.provider_payment_id is not distinct from one.provider_payment_id
    where one.tenant_id = payment.tenant_id and one.payment_id = payment.id and one.outcome = transition.to_status
      and payment.principal_id not in (one.principal_id, other.principal_id))
