-- name: insert_review
-- Ask other principals for a verdict on one action.
insert into paywarden.reviews (
    tenant_id, id, payment_id, initiator_id, required_role, reviewer_kind, action_digest, reason, expires_at)
values ((select paywarden.tenant()), %(id)s, %(payment_id)s, %(initiator_id)s, %(required_role)s, %(reviewer_kind)s,
        %(action_digest)s, %(reason)s, paywarden.clock() + make_interval(secs => %(expires_in_seconds)s));

-- name: review_by_id
-- One review.
select review.*, expires_at <= paywarden.clock() as overdue from paywarden.reviews as review
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: lock_review
-- One review, locked until the transaction ends.
select review.*, expires_at <= paywarden.clock() as overdue from paywarden.reviews as review
where tenant_id = (select paywarden.tenant()) and id = %(id)s
for no key update;

-- name: list_reviews
-- Reviews in one status, oldest first, after a cursor; of one customer or one payment if named.
select review.*, review.expires_at <= paywarden.clock() as overdue from paywarden.reviews as review
join paywarden.payments as payment on payment.tenant_id = review.tenant_id and payment.id = review.payment_id
where review.tenant_id = (select paywarden.tenant()) and review.status = %(status)s
  and (%(after_id)s::uuid is null or review.id > %(after_id)s::uuid)
  and (%(payment_id)s::uuid is null or review.payment_id = %(payment_id)s::uuid)
  and (%(customer_id)s::text is null or payment.customer_id = %(customer_id)s)
order by review.id
limit %(limit)s;

-- name: reviews_of_payment
-- The reviews of one payment, oldest first.
select review.*, expires_at <= paywarden.clock() as overdue from paywarden.reviews as review
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;

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
select verdict.reviewer_id, reviewer.kind as reviewer_kind, reviewer.roles
from paywarden.verdicts as verdict
join paywarden.reviews as review on review.tenant_id = verdict.tenant_id and review.id = verdict.review_id
join paywarden.principals as reviewer on reviewer.tenant_id = verdict.tenant_id and reviewer.id = verdict.reviewer_id
where verdict.tenant_id = (select paywarden.tenant()) and verdict.payment_id = %(payment_id)s
  and verdict.action_digest = %(action_digest)s and verdict.verdict = 'approve'
  and verdict.reviewer_id <> verdict.initiator_id and reviewer.status = 'active'
  and review.required_role = any(reviewer.roles) and review.expires_at > paywarden.clock();

-- name: overdue_reviews
-- Open reviews that nobody answered in time, by their payment.
select tenant_id, payment_id as id from paywarden.reviews
where status = 'open' and expires_at <= paywarden.clock()
order by expires_at
limit %(limit)s;
