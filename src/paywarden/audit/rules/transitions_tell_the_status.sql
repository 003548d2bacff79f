-- Every move has its row: the keys have no gap, each starts where the last ended, and the last is the present status.
select payment.tenant_id, paywarden.public_id('pay', payment.id) as payment, payment.status
from paywarden.payments as payment
join lateral (
    select count(*) as moves, max(sort_key) as last_key,
        bool_and(from_status is not distinct from previous) as chained,
        (array_agg(to_status order by sort_key desc))[1] as last_status
    from (
        select sort_key, from_status, to_status, lag(to_status) over (order by sort_key) as previous
        from paywarden.payment_transitions as transition
        where transition.tenant_id = payment.tenant_id and transition.payment_id = payment.id) as chain) as told on true
where not coalesce(told.chained, false) or told.last_status <> payment.status
   or told.last_key <> payment.last_sort_key or told.moves <> payment.last_sort_key + 1
