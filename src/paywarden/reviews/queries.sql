-- name: insert_review
-- Ask other principals for a verdict on one action.
insert into paywarden.reviews (
    tenant_id, id, payment_id, initiator_id, required_role, reviewer_kind, action_digest, reason, expires_at)
values ((select paywarden.tenant()), %(id)s, %(payment_id)s, %(initiator_id)s, %(required_role)s, %(reviewer_kind)s,
        %(action_digest)s, %(reason)s, paywarden.clock() + make_interval(secs => %(expires_in_seconds)s));

-- name: review_by_id
-- One review.
select review.*, expires_at <= paywarden.clock() as overdue,
    coalesce(lease_until > paywarden.clock(), false) as claimed
from paywarden.reviews as review
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: lock_review
-- One review, locked until the transaction ends.
select review.*, expires_at <= paywarden.clock() as overdue,
    coalesce(lease_until > paywarden.clock(), false) as claimed
from paywarden.reviews as review
where tenant_id = (select paywarden.tenant()) and id = %(id)s
for no key update;

-- name: list_reviews
-- Reviews in one status, oldest first, after a cursor; of one customer, payment or role if named.
select review.*, review.expires_at <= paywarden.clock() as overdue,
    coalesce(review.lease_until > paywarden.clock(), false) as claimed
from paywarden.reviews as review
join paywarden.payments as payment on payment.tenant_id = review.tenant_id and payment.id = review.payment_id
where review.tenant_id = (select paywarden.tenant()) and review.status = %(status)s
  and (%(after_id)s::uuid is null or review.id > %(after_id)s::uuid)
  and (%(payment_id)s::uuid is null or review.payment_id = %(payment_id)s::uuid)
  and (%(customer_id)s::text is null or payment.customer_id = %(customer_id)s)
  and (%(role)s::text is null or review.required_role = %(role)s)
  and (not %(unclaimed)s or review.lease_until is null or review.lease_until <= paywarden.clock())
order by review.id
limit %(limit)s;

-- name: reviews_of_payment
-- The reviews of one payment, oldest first.
select review.*, expires_at <= paywarden.clock() as overdue,
    coalesce(lease_until > paywarden.clock(), false) as claimed
from paywarden.reviews as review
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;

-- name: claim_review
-- Take an open review while no lease of another runs.
update paywarden.reviews as review
set claimed_by = %(principal_id)s, fence = fence + 1,
    lease_until = paywarden.clock() + make_interval(secs => %(lease_seconds)s)
where tenant_id = (select paywarden.tenant()) and id = %(id)s and status = 'open' and expires_at > paywarden.clock()
  and (claimed_by is null or claimed_by = %(principal_id)s or lease_until <= paywarden.clock())
returning review.*, false as overdue, true as claimed;

-- name: extend_claim
-- A heartbeat of the newest claim.
update paywarden.reviews as review
set lease_until = paywarden.clock() + make_interval(secs => %(lease_seconds)s)
where tenant_id = (select paywarden.tenant()) and id = %(id)s and status = 'open' and expires_at > paywarden.clock()
  and claimed_by = %(principal_id)s and fence = %(fence)s and lease_until > paywarden.clock()
returning review.*, false as overdue, true as claimed;

-- name: release_claim
-- Give up the newest claim.
update paywarden.reviews as review set claimed_by = null, lease_until = null
where tenant_id = (select paywarden.tenant()) and id = %(id)s and status = 'open'
  and claimed_by = %(principal_id)s and fence = %(fence)s and lease_until > paywarden.clock()
returning review.*, expires_at <= paywarden.clock() as overdue, false as claimed;

-- name: insert_verdict
-- A verdict about the review's own action.
insert into paywarden.verdicts (
    tenant_id, id, review_id, payment_id, initiator_id, reviewer_id, verdict, action_digest, reason)
values ((select paywarden.tenant()), %(id)s, %(review_id)s, %(payment_id)s, %(initiator_id)s, %(reviewer_id)s,
        %(verdict)s, %(action_digest)s, %(reason)s);

-- name: close_review
-- Close the payment's open review.
update paywarden.reviews set status = %(status)s, closed_at = paywarden.clock()
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s and status = 'open';

-- name: verdicts_of_payment
-- Every verdict on a payment, with who gave it.
select verdict.id, verdict.review_id, verdict.reviewer_id, verdict.verdict, verdict.action_digest, verdict.reason,
    verdict.created_at, reviewer.kind as reviewer_kind, reviewer.name as reviewer_name
from paywarden.verdicts as verdict
join paywarden.principals as reviewer on reviewer.tenant_id = verdict.tenant_id and reviewer.id = verdict.reviewer_id
where verdict.tenant_id = (select paywarden.tenant()) and verdict.payment_id = %(payment_id)s
order by verdict.id;

-- name: verdicts_of_reviews
-- Every verdict on some reviews, with who gave it.
select verdict.id, verdict.review_id, verdict.reviewer_id, verdict.verdict, verdict.action_digest, verdict.reason,
    verdict.created_at, reviewer.kind as reviewer_kind, reviewer.name as reviewer_name
from paywarden.verdicts as verdict
join paywarden.principals as reviewer on reviewer.tenant_id = verdict.tenant_id and reviewer.id = verdict.reviewer_id
where verdict.tenant_id = (select paywarden.tenant()) and verdict.payment_id = any(%(payment_ids)s)
  and verdict.review_id = any(%(review_ids)s)
order by verdict.id;

-- name: standing_approvals
-- Approvals of this very digest, in time, by active principals other than the initiator.
select verdict.reviewer_id, reviewer.kind as reviewer_kind, review.required_role as role
from paywarden.verdicts as verdict
join paywarden.reviews as review on review.tenant_id = verdict.tenant_id and review.id = verdict.review_id
join paywarden.principals as reviewer on reviewer.tenant_id = verdict.tenant_id and reviewer.id = verdict.reviewer_id
where verdict.tenant_id = (select paywarden.tenant()) and verdict.payment_id = %(payment_id)s
  and verdict.action_digest = %(action_digest)s and verdict.verdict = 'approve'
  and verdict.reviewer_id <> verdict.initiator_id and reviewer.status = 'active'
  and review.required_role = any(reviewer.roles) and review.expires_at > paywarden.clock();

-- name: has_approved
-- Whether this principal has approved this very action already.
select from paywarden.verdicts
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s and reviewer_id = %(reviewer_id)s
  and action_digest = %(action_digest)s and verdict = 'approve';

-- name: review_overdue
-- An open review of one payment that nobody answered in time.
select from paywarden.reviews
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s and status = 'open'
  and expires_at <= paywarden.clock();

-- name: overdue_reviews
-- Open reviews that nobody answered in time, by their payment.
select tenant_id, payment_id as id from paywarden.reviews
where status = 'open' and expires_at <= (select paywarden.clock())
order by expires_at
limit %(limit)s;
