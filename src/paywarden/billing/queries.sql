-- name: insert_top_up
-- A top-up of a customer's credit.
insert into paywarden.credit_top_ups (
    tenant_id, id, principal_id, customer_id, funding, amount_minor, currency, reference, reason)
values ((select paywarden.tenant()), %(id)s, %(principal_id)s, %(customer_id)s, %(funding)s, %(amount_minor)s,
        %(currency)s, %(reference)s, %(reason)s)
returning *;

-- name: top_up_by_id
-- One top-up, with its reversal if there is one.
select given.*, undone.principal_id as reversed_by, undone.reason as reversal_reason, undone.created_at as reversed_at
from paywarden.credit_top_ups as given
left join paywarden.credit_reversals as undone
    on undone.tenant_id = given.tenant_id and undone.top_up_id = given.id
where given.tenant_id = (select paywarden.tenant()) and given.id = %(id)s;

-- name: insert_reversal
-- Take a top-up back, once; waits for another reversal of it that is about to commit.
insert into paywarden.credit_reversals (tenant_id, top_up_id, principal_id, reason)
values ((select paywarden.tenant()), %(top_up_id)s, %(principal_id)s, %(reason)s)
on conflict do nothing;

-- name: list_top_ups
-- Top-ups, newest first, after a cursor. One that commits while somebody pages is missed like one made later.
select given.*, undone.principal_id as reversed_by, undone.reason as reversal_reason, undone.created_at as reversed_at
from paywarden.credit_top_ups as given
left join paywarden.credit_reversals as undone
    on undone.tenant_id = given.tenant_id and undone.top_up_id = given.id
where given.tenant_id = (select paywarden.tenant()) and given.id < %(after_id)s::uuid
order by given.id desc
limit %(limit)s;

-- name: list_top_ups_of_customer
-- Those of one customer. A filter that may be absent would have no index in a plan that serves every call.
select given.*, undone.principal_id as reversed_by, undone.reason as reversal_reason, undone.created_at as reversed_at
from paywarden.credit_top_ups as given
left join paywarden.credit_reversals as undone
    on undone.tenant_id = given.tenant_id and undone.top_up_id = given.id
where given.tenant_id = (select paywarden.tenant()) and given.customer_id = %(customer_id)s
  and given.id < %(after_id)s::uuid
order by given.id desc
limit %(limit)s;
