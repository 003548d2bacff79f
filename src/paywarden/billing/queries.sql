-- name: insert_top_up
-- A top-up of a customer's credit.
insert into paywarden.credit_top_ups (
    tenant_id, id, principal_id, customer_id, funding, amount_minor, currency, reference, reason)
values ((select paywarden.tenant()), %(id)s, %(principal_id)s, %(customer_id)s, %(funding)s, %(amount_minor)s,
        %(currency)s, %(reference)s, %(reason)s)
returning *;

-- name: top_up_by_id
-- One top-up.
select * from paywarden.credit_top_ups where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: list_top_ups
-- Top-ups, newest first, after a cursor. One that commits while somebody pages is missed like one made later.
select * from paywarden.credit_top_ups
where tenant_id = (select paywarden.tenant())
  and (%(customer_id)s::text is null or customer_id = %(customer_id)s)
  and (%(after_id)s::uuid is null or id < %(after_id)s::uuid)
order by id desc
limit %(limit)s;
