-- A charge counts exactly its refunds: those booked as refunded, those under way as set aside; more than it took only by late facts.
select original.tenant_id, paywarden.public_id('pay', original.id) as payment, original.captured_minor,
    original.refunded_minor, original.refund_reserved_minor, refunds.done_minor, refunds.open_minor
from paywarden.payments as original
left join lateral (
    select coalesce(sum(captured_minor), 0) as done_minor,
        coalesce(sum(amount_minor) filter (
            where status not in ('succeeded', 'failed', 'canceled', 'expired', 'denied')), 0) as open_minor,
        coalesce(sum(captured_minor) filter (where late or status = 'denied'), 0) as late_minor
    from paywarden.payments as refund
    where refund.tenant_id = original.tenant_id and refund.original_payment_id = original.id) as refunds on true
where original.kind = 'charge'
  and (original.refunded_minor <> refunds.done_minor or original.refund_reserved_minor <> refunds.open_minor
       or original.refunded_minor + original.refund_reserved_minor - refunds.late_minor > original.captured_minor)
