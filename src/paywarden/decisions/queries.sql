-- name: insert_decision
-- A decision, whole: what was seen, what was answered, what counts of it.
insert into paywarden.decisions (tenant_id, id, payment_id, customer_id, principal_id, adviser, model, prompt_version,
    prompt_sha256, snapshot, raw_answer, advice, usage, request_ids, cost_micro_usd, latency_ms, policy_version,
    replay_of)
values ((select paywarden.tenant()), %(id)s, %(payment_id)s, %(customer_id)s, %(principal_id)s, %(adviser)s, %(model)s,
    %(prompt_version)s, %(prompt_sha256)s, %(snapshot)s::jsonb, %(raw_answer)s, %(advice)s::jsonb, %(usage)s::jsonb,
    %(request_ids)s, %(cost_micro_usd)s, %(latency_ms)s, %(policy_version)s, %(replay_of)s);

-- name: insert_decision_evidence
-- The notes a decision was given, with their hashes then, and whether it cites them.
insert into paywarden.decision_evidence (tenant_id, decision_id, note_id, content_sha256, score, trust, cited)
select (select paywarden.tenant()), %(decision_id)s, note.id, note.content_sha256, note.score, note.trust, note.cited
from unnest(%(note_ids)s::uuid[], %(content_sha256s)s::bytea[], %(scores)s::double precision[], %(trusts)s::text[],
    %(cited)s::boolean[]) as note (id, content_sha256, score, trust, cited);

-- name: insert_checks
-- What every rule found at one look, of a payment, a decision, or both.
insert into paywarden.checks (tenant_id, id, payment_id, decision_id, findings, policy_version)
values ((select paywarden.tenant()), %(id)s, %(payment_id)s, %(decision_id)s, %(findings)s, %(policy_version)s);

-- name: insert_checks_of_payments
-- What the rules found of many payments.
insert into paywarden.checks (tenant_id, id, payment_id, findings, policy_version)
select (select paywarden.tenant()), id, payment_id, findings::jsonb, policy_version
from unnest(%(ids)s::uuid[], %(payment_ids)s::uuid[], %(findings)s::text[], %(policy_versions)s::text[])
    as looked (id, payment_id, findings, policy_version);

-- name: decision_by_id
-- One decision, without its evidence and checks.
select id, payment_id, customer_id, principal_id, adviser, model, prompt_version, prompt_sha256, snapshot, raw_answer,
    advice, usage, request_ids, cost_micro_usd, latency_ms, policy_version, replay_of, created_at
from paywarden.decisions
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: decisions_of_payment
-- The decisions made for a payment, oldest first.
select id from paywarden.decisions
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;

-- name: evidence_of_decision
-- The notes a decision was given, nearest first.
select note_id, content_sha256, score, trust, cited
from paywarden.decision_evidence
where tenant_id = (select paywarden.tenant()) and decision_id = %(decision_id)s
order by score desc, note_id;

-- name: checks_of_decision
-- What the rules found of a decision, in the order they looked.
select looked.id, looked.payment_id, looked.decision_id, found.finding ->> 'rule' as rule,
    found.finding ->> 'result' as result, found.finding ->> 'detail' as detail, looked.policy_version, looked.created_at
from paywarden.checks as looked
cross join jsonb_array_elements(looked.findings) with ordinality as found (finding, place)
where looked.tenant_id = (select paywarden.tenant()) and looked.decision_id = %(decision_id)s
order by looked.id, found.place;

-- name: checks_of_payment
-- What the rules found of a payment, in the order they looked.
select looked.id, looked.payment_id, looked.decision_id, found.finding ->> 'rule' as rule,
    found.finding ->> 'result' as result, found.finding ->> 'detail' as detail, looked.policy_version, looked.created_at
from paywarden.checks as looked
cross join jsonb_array_elements(looked.findings) with ordinality as found (finding, place)
where looked.tenant_id = (select paywarden.tenant()) and looked.subject_id = %(payment_id)s
order by looked.id, found.place;

-- name: open_adviser_day
-- The row of today's adviser budget, if there is none yet.
insert into paywarden.adviser_budgets (tenant_id, day, used_micro_usd)
values ((select paywarden.tenant()), (paywarden.clock() at time zone 'UTC')::date, 0)
on conflict do nothing;

-- name: reserve_adviser_budget
-- Set aside what one call can cost at most, if today's budget has it.
update paywarden.adviser_budgets set used_micro_usd = used_micro_usd + %(most_micro_usd)s
where tenant_id = (select paywarden.tenant()) and day = (paywarden.clock() at time zone 'UTC')::date
  and used_micro_usd + %(most_micro_usd)s <= %(budget_micro_usd)s
returning day;

-- name: settle_adviser_budget
-- Give back what a call did not cost.
update paywarden.adviser_budgets set used_micro_usd = greatest(0, used_micro_usd - %(unused_micro_usd)s)
where tenant_id = (select paywarden.tenant()) and day = %(day)s;

-- name: insert_decision_label
-- What a person decided where the adviser had given this advice.
insert into paywarden.decision_labels (tenant_id, id, decision_id, payment_id, reviewer_id, advised, decided, reason)
select (select paywarden.tenant()), %(id)s, decision.id, %(payment_id)s, %(reviewer_id)s,
    decision.advice ->> 'verdict', %(decided)s, %(reason)s
from paywarden.decisions as decision
where decision.tenant_id = (select paywarden.tenant()) and decision.id = %(decision_id)s;

-- name: labels_of_payment
-- What people decided of a payment where an adviser had given its opinion, oldest first.
select id, decision_id, reviewer_id, advised, decided, reason, created_at
from paywarden.decision_labels
where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s
order by id;
