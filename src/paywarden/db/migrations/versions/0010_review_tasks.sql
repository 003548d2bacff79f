-- Separation of duties for whoever holds the app role, and what people decided beside the adviser, as labels.
create index reviews_in_status on paywarden.reviews (tenant_id, status, id);
create index reviews_by_payment on paywarden.reviews (tenant_id, payment_id, id);

-- A review is about a payment's own initiator and action, whoever writes the row.
create function paywarden.check_review() returns trigger
    language plpgsql
as $$
begin
    if not exists (
        select from paywarden.payments as payment
        where payment.tenant_id = new.tenant_id and payment.id = new.payment_id
          and payment.principal_id = new.initiator_id and payment.action_digest = new.action_digest)
    then
        raise check_violation using message = 'a review must name the initiator and the action of its payment';
    end if;
    return new;
end
$$;
create trigger own_action before insert on paywarden.reviews
    for each row execute function paywarden.check_review();

-- Once somebody was to look at a payment, the payment cannot forget it, whatever else is written to it.
create function paywarden.remember_review() returns trigger
    language plpgsql
as $$
begin
    update paywarden.payments set review_opened = true
    where tenant_id = new.tenant_id and id = new.payment_id and not review_opened;
    return null;
end
$$;
create trigger remembered after insert on paywarden.reviews
    for each row execute function paywarden.remember_review();
create function paywarden.refuse_forgetting() returns trigger
    language plpgsql
as $$
begin
    raise check_violation using message = 'a payment does not forget that it was in a review';
end
$$;
create trigger never_forgotten before update of review_opened on paywarden.payments
    for each row when (old.review_opened and not new.review_opened) execute function paywarden.refuse_forgetting();

-- A verdict comes from an active principal of the kind and role that the review asks for, while it is open.
create function paywarden.check_verdict() returns trigger
    language plpgsql
as $$
begin
    if not exists (
        select from paywarden.reviews as review
        join paywarden.principals as reviewer
            on reviewer.tenant_id = review.tenant_id and reviewer.id = new.reviewer_id
        where review.tenant_id = new.tenant_id and review.id = new.review_id
          and review.status = 'open' and review.expires_at > paywarden.clock()
          and reviewer.status = 'active' and review.required_role = any(reviewer.roles)
          and (review.reviewer_kind <> 'person' or reviewer.kind = 'person'))
    then
        raise check_violation using message = 'this verdict is not this principal''s to give now';
    end if;
    return new;
end
$$;
create trigger right_reviewer before insert on paywarden.verdicts
    for each row execute function paywarden.check_verdict();

-- Two approvals are two principals'.
create unique index verdicts_one_approval on paywarden.verdicts (tenant_id, payment_id, reviewer_id, action_digest)
    where verdict = 'approve';

-- What needed a review, or ever was in one, is held, sent and sent again only with an approval of exactly its action by
-- somebody else. The app role can write another oversight, but not that there was no review.
create function paywarden.check_approved() returns trigger
    language plpgsql
as $$
begin
    if not exists (
        select from paywarden.verdicts as verdict
        where verdict.tenant_id = new.tenant_id and verdict.payment_id = new.id and verdict.verdict = 'approve'
          and verdict.action_digest = new.action_digest and verdict.reviewer_id <> new.principal_id)
    then
        raise check_violation using message = 'nobody else has approved this action';
    end if;
    return new;
end
$$;
create trigger approved_by_another before update of status on paywarden.payments
    for each row when ((new.oversight = 'reviewed' or new.review_opened)
        and new.status in ('reserved', 'submitting', 'outcome_unknown'))
    execute function paywarden.check_approved();

-- Nor does the ledger's door hold anything for it: whoever may knock there need not go through the payment's status.
-- Asked once for all that one statement holds: a question for each row would be a tenth of what a charge costs.
create function paywarden.check_holds_approved() returns trigger
    language plpgsql
as $$
begin
    if not exists (select from made where payment_id is not null) then
        return null;
    elsif exists (
        select from made
        join paywarden.payments as payment on payment.tenant_id = made.tenant_id and payment.id = made.payment_id
        where (payment.oversight = 'reviewed' or payment.review_opened)
          and not exists (
              select from paywarden.verdicts as verdict
              where verdict.tenant_id = payment.tenant_id and verdict.payment_id = payment.id
                and verdict.verdict = 'approve' and verdict.action_digest = payment.action_digest
                and verdict.reviewer_id <> payment.principal_id))
    then
        raise check_violation using message = 'nobody else has approved this action';
    end if;
    return null;
end
$$;
create trigger approved_by_another after insert on paywarden.holds
    referencing new table as made for each statement execute function paywarden.check_holds_approved();
grant select on paywarden.verdicts to paywarden_ledger;

-- A person's verdict beside the adviser's advice on the same action: what evaluations learn from.
create table paywarden.decision_labels (
    tenant_id uuid not null,
    id uuid not null,
    decision_id uuid not null,
    payment_id uuid not null,
    reviewer_id uuid not null,
    advised text not null,
    decided text not null check (decided in ('approve', 'reject')),
    reason text not null,
    created_at timestamptz not null default paywarden.clock(),
    primary key (tenant_id, id),
    foreign key (tenant_id, decision_id) references paywarden.decisions (tenant_id, id),
    foreign key (tenant_id, payment_id) references paywarden.payments (tenant_id, id),
    foreign key (tenant_id, reviewer_id) references paywarden.principals (tenant_id, id)
);
create index decision_labels_by_decision on paywarden.decision_labels (tenant_id, decision_id);
call paywarden.wall('paywarden.decision_labels');
call paywarden.make_insert_only('paywarden.decision_labels');
