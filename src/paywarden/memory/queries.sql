-- name: insert_note
-- A new note, with our vector of it and perhaps the caller's.
insert into paywarden.notes (tenant_id, id, customer_id, invoice_id, case_id, source, trust, content, content_sha256,
    facts, embedder, embedding, own_embedding, valid_until, author_id, payment_id)
values ((select paywarden.tenant()), %(id)s, %(customer_id)s, %(invoice_id)s, %(case_id)s, %(source)s, %(trust)s,
    %(content)s, %(content_sha256)s, %(facts)s::jsonb, %(embedder)s, %(embedding)s::vector, %(own_embedding)s::vector,
    %(valid_until)s, %(author_id)s, %(payment_id)s);

-- name: note_by_id
-- One note, without a score.
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, null::double precision as score
from paywarden.notes
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: notes_of_customer
-- A customer's notes, newest first, before a given one; ended ones too.
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, null::double precision as score
from paywarden.notes
where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: nearest_by_text
-- A customer's notes that a text finds: the first 50 by our vector of it and the first 50 with all its words, merged
-- by reciprocal rank fusion (k = 60). Narrowed by the b-tree first, then compared exactly, both ways. Words that only
-- exclude (-refund) would find everything else; they count for nothing.
with asked as materialized (
    select words, querytree(words) not in ('', 'T') as says_something
    from websearch_to_tsquery('simple', %(words)s) as words),
of_customer as materialized (
    select note.id, note.embedding <=> %(vector)s::vector as distance,
        case when asked.says_something and note.words @@ asked.words
            then ts_rank_cd(note.words, asked.words) end as wording
    from paywarden.notes as note, asked
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s and embedder = %(embedder)s
      and (valid_until is null or valid_until > (select paywarden.clock()))),
placed as (
    select id, distance, row_number() over (order by distance, id) as near,
        case when wording is not null
            then row_number() over (order by wording desc nulls last, distance, id) end as worded
    from of_customer),
found as (
    select id, distance, case when near <= 50 then 1.0 / (60 + near) else 0 end
        + case when worded <= 50 then 1.0 / (60 + worded) else 0 end as fused
    from placed
    where near <= 50 or worded <= 50
    order by fused desc, distance, id
    limit %(limit)s)
select note.id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - found.distance as score
from found
join paywarden.notes as note on note.tenant_id = (select paywarden.tenant()) and note.id = found.id
order by found.fused desc, found.distance, note.id;

-- name: nearest_by_own_vector
-- A customer's notes whose own vector is nearest to the caller's; only vectors of one dimension are ever compared.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
      and own_dimension = vector_dims(%(vector)s::vector)
      and (valid_until is null or valid_until > (select paywarden.clock())))
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - (own_embedding <=> %(vector)s::vector) as score
from of_customer
order by own_embedding <=> %(vector)s::vector, id
limit %(limit)s;

-- name: records_of_customer
-- The newest record notes of a customer that state facts, with their nearness to a text.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s and embedder = %(embedder)s
      and trust = 'record' and facts is not null
      and (valid_until is null or valid_until > (select paywarden.clock()))
    order by id desc
    limit %(limit)s)
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - (embedding <=> %(vector)s::vector) as score
from of_customer
order by id;

-- name: words_on_invoice
-- The newest notes that are trusted and state no facts: about an invoice, or staff's about the customer at all.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
      and facts is null and (valid_until is null or valid_until > (select paywarden.clock()))
      and ((trust in ('record', 'staff') and invoice_id = %(invoice)s) or (trust = 'staff' and invoice_id is null))
    order by id desc
    limit %(limit)s)
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, case when embedder = %(embedder)s then 1 - (embedding <=> %(vector)s::vector) end as score
from of_customer
order by id;

-- name: notes_given_for
-- What was given as the missing facts of a payment, with its nearness to a text where that can be told.
with given as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s::uuid and customer_id = %(customer_id)s
      and (valid_until is null or valid_until > (select paywarden.clock()))
    order by id
    limit %(limit)s)
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, case when embedder = %(embedder)s then 1 - (embedding <=> %(vector)s::vector) end as score
from given
order by id;

-- name: end_note
-- Let a note end at an instant, now if that has passed or none is given; nothing where it ends before that already.
update paywarden.notes set valid_until = wanted.at
from (select greatest(%(at)s::timestamptz, paywarden.clock()) as at) as wanted
where tenant_id = (select paywarden.tenant()) and id = %(id)s
  and (valid_until is null or valid_until > wanted.at);

-- name: decisions_of_note
-- The decisions that were given a note, without replays, newest first, before a given one; what their payments came to.
select evidence.decision_id, evidence.cited, evidence.score, decision.payment_id, payment.status as payment_status,
    decision.customer_id, decision.adviser, decision.advice ->> 'verdict' as verdict,
    (decision.advice ->> 'amount_minor')::bigint as amount_minor, decision.snapshot ->> 'currency' as currency,
    decision.created_at
from paywarden.decision_evidence as evidence
join paywarden.decisions as decision
    on decision.tenant_id = evidence.tenant_id and decision.id = evidence.decision_id
left join paywarden.payments as payment
    on payment.tenant_id = decision.tenant_id and payment.id = decision.payment_id
where evidence.tenant_id = (select paywarden.tenant()) and evidence.note_id = %(note_id)s
  and decision.replay_of is null
  and (%(before)s::uuid is null or evidence.decision_id < %(before)s::uuid)
order by evidence.decision_id desc
limit %(limit)s;

-- name: imported_notes
-- Which of these lines were imported already, by the digests of what they say.
select id, import_sha256
from paywarden.notes
where tenant_id = (select paywarden.tenant()) and import_sha256 = any(%(digests)s::bytea[]);

-- name: insert_imported_notes
-- Many notes at once; what another import brought in the meantime stays as it is.
insert into paywarden.notes (tenant_id, id, customer_id, invoice_id, case_id, source, trust, content, content_sha256,
    facts, embedder, embedding, own_embedding, valid_until, author_id, import_sha256)
select (select paywarden.tenant()), note.id, note.customer_id, note.invoice_id, note.case_id, note.source, note.trust,
    note.content, note.content_sha256, note.facts::jsonb, %(embedder)s, note.embedding::vector,
    note.own_embedding::vector, note.valid_until, %(author_id)s, note.import_sha256
from unnest(%(id)s::uuid[], %(customer_id)s::text[], %(invoice_id)s::text[], %(case_id)s::text[], %(source)s::text[],
    %(trust)s::text[], %(content)s::text[], %(content_sha256)s::bytea[], %(facts)s::text[], %(embedding)s::text[],
    %(own_embedding)s::text[], %(valid_until)s::timestamptz[], %(import_sha256)s::bytea[])
    as note (id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, embedding,
        own_embedding, valid_until, import_sha256)
order by note.import_sha256
on conflict (tenant_id, import_sha256) where import_sha256 is not null do nothing
returning id;

-- name: notes_counted
-- How many notes the tenant has, counted no further than asked.
select count(*) as counted
from (select from paywarden.notes where tenant_id = (select paywarden.tenant()) limit %(limit)s) as first_ones;

-- name: scan_until_found
-- Let the vector index go on until enough of its finds are this tenant's: the index is shared by all tenants.
select set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '100', true);

-- name: nearest_in_tenant
-- The tenant's notes nearest to our vector of a text, whosever customer's, compared exactly.
with of_tenant as materialized (
    select id, embedding <=> %(vector)s::vector as distance
    from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and embedder = %(embedder)s
      and (valid_until is null or valid_until > (select paywarden.clock()))
    order by distance, id
    limit %(limit)s)
select note.id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - of_tenant.distance as score
from of_tenant
join paywarden.notes as note on note.tenant_id = (select paywarden.tenant()) and note.id = of_tenant.id
order by of_tenant.distance, note.id;

-- name: nearest_in_tenant_by_index
-- The same by the vector index (0011_note_search.sql), which holds the vectors of one embedder: nearly exact.
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - (embedding::vector(512) <=> %(vector)s::vector(512)) as score
from paywarden.notes
where tenant_id = (select paywarden.tenant()) and embedder = 'use-multilingual-3'
  and (valid_until is null or valid_until > (select paywarden.clock()))
order by embedding::vector(512) <=> %(vector)s::vector(512)
limit %(limit)s;
