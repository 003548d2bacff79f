-- What went out under review was approved by somebody else, on exactly this action.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment, payment.status
from paywarden.payments as payment
where payment.oversight = 'reviewed'
  and payment.status in ('submitting', 'outcome_unknown', 'processing', 'requires_action', 'authorized', 'succeeded')
  and not payment.late
  and not exists (
    select from paywarden.verdicts as verdict
    where verdict.tenant_id = payment.tenant_id and verdict.payment_id = payment.id and verdict.verdict = 'approve'
      and verdict.reviewer_id <> payment.principal_id and verdict.action_digest = payment.action_digest)
