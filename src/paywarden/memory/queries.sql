-- name: insert_notes
-- New notes, some perhaps with the caller's vector; what another import brought in the meantime stays as it is.
insert into paywarden.notes (tenant_id, id, customer_id, invoice_id, case_id, payment_id, source, trust, content,
    content_sha256, facts, own_embedding, valid_until, author_id, import_sha256)
select (select paywarden.tenant()), note.id, note.customer_id, note.invoice_id, note.case_id, note.payment_id, note.source,
    note.trust, note.content, note.content_sha256, note.facts::jsonb, note.own_embedding::vector, note.valid_until,
    note.author_id, note.import_sha256
from unnest(%(id)b::uuid[], %(customer_id)b::text[], %(invoice_id)b::text[], %(case_id)b::text[],
    %(payment_id)b::uuid[], %(source)b::text[], %(trust)b::text[], %(content)b::text[], %(content_sha256)b::bytea[],
    %(facts)b::text[], %(own_embedding)b::text[], %(valid_until)b::timestamptz[], %(author_id)b::uuid[],
    %(import_sha256)b::bytea[])
    as note (id, customer_id, invoice_id, case_id, payment_id, source, trust, content, content_sha256, facts,
        own_embedding, valid_until, author_id, import_sha256)
order by note.import_sha256, note.id
on conflict (tenant_id, import_sha256) where import_sha256 is not null do nothing
returning id, import_sha256;

-- name: insert_note_vectors
-- An embedder's vectors of notes; those that are there already stay.
insert into paywarden.note_vectors (tenant_id, note_id, customer_id, embedder, embedding)
select note.tenant_id, note.id, note.customer_id, %(embedder)s, made.embedding::vector
from unnest(%(note_ids)b::uuid[], %(embeddings)b::text[]) as made (note_id, embedding)
join paywarden.notes as note on note.tenant_id = (select paywarden.tenant()) and note.id = made.note_id
order by note.id
on conflict (tenant_id, note_id, embedder) do nothing;

-- name: notes_without_vector
-- Notes that have not ended and have no vector of an embedder, by id, after a given one; as much of their texts as counts.
select note.id, left(note.content, %(characters)s) as content
from paywarden.notes as note
where note.tenant_id = (select paywarden.tenant()) and (%(after)s::uuid is null or note.id > %(after)s::uuid)
  and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
  and not exists (
    select from paywarden.note_vectors as made
    where made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s)
order by note.id
limit %(limit)s;

-- name: count_notes_without_vector
-- How many notes, of one customer or of all, have not ended and have no vector of an embedder.
select count(*) as waiting
from paywarden.notes as note
where note.tenant_id = (select paywarden.tenant())
  and (%(customer_id)s::text is null or note.customer_id = %(customer_id)s::text)
  and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
  and not exists (
    select from paywarden.note_vectors as made
    where made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s);

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
-- by reciprocal rank fusion (k = 60). Exactly: the sketches, read side by side from an index, leave out only what is
-- farther away than the fiftieth by more than half the bits can be wrong; the rest, and what is too long for a sketch, is
-- compared in full. The words are read from an index as well, but for notes of very many words. Words that only
-- exclude (-refund) would find everything else; they count for nothing. Notes without a vector come after those with
-- one, the newest first.
with asked as materialized (
    select words, querytree(words) not in ('', 'T') as says_something
    from websearch_to_tsquery('simple', %(words)s) as words),
sketched as materialized (
    -- Halved in a query of its own, or a plan that serves every call would halve it for each note.
    select made.note_id as id, made.sketch <=> (select %(vector)s::vector::halfvec) as roughly
    from paywarden.note_vectors as made
    where made.tenant_id = (select paywarden.tenant()) and made.customer_id = %(customer_id)s
      and made.embedder = %(embedder)s
      and made.note_id not in (
        select ended.id from paywarden.notes as ended
        where ended.tenant_id = (select paywarden.tenant()) and ended.customer_id = %(customer_id)s
          and ended.valid_until <= (select paywarden.clock()))),
read as materialized (
    -- Looked up one by one: a join would rather read the whole table, not knowing how few there are.
    select id, (
        select made.embedding <=> %(vector)s::vector from paywarden.note_vectors as made
        where made.tenant_id = (select paywarden.tenant()) and made.note_id = sketched.id
          and made.embedder = %(embedder)s) as distance
    from sketched
    where roughly is null or roughly <= (
        select max(roughly) + 0.003 from (select roughly from sketched order by roughly limit 50) as nearest)
    order by distance, id desc
    limit 50),
unread as (
    select note.id, null::double precision as distance
    from paywarden.notes as note
    where (select count(*) from read) < 50
      and note.tenant_id = (select paywarden.tenant()) and note.customer_id = %(customer_id)s
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
      and not exists (select from sketched where sketched.id = note.id)
    order by note.id desc
    limit 50),
near as (
    select id, distance, row_number() over (order by distance, id desc) as place
    from (select * from read union all select * from unread) as either
    order by place
    limit 50),
spoken as (
    select note.id, ts_rank_cd(note.words, asked.words) as wording
    from asked
    join paywarden.notes as note on asked.says_something and note.words @@ asked.words
    where note.tenant_id = (select paywarden.tenant()) and note.customer_id = %(customer_id)s
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
    union all
    select note.id, ts_rank_cd(note.many_words, asked.words)
    from asked
    join paywarden.notes as note on asked.says_something and note.words is null and note.many_words @@ asked.words
    where note.tenant_id = (select paywarden.tenant()) and note.customer_id = %(customer_id)s
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))),
worded as (
    select spoken.id, row_number() over (order by wording desc, sketched.roughly, spoken.id desc) as place
    from spoken
    left join sketched on sketched.id = spoken.id
    order by place
    limit 50),
merged as materialized (
    select id, coalesce(1.0 / (60 + near.place), 0) + coalesce(1.0 / (60 + worded.place), 0) as fused, near.distance
    from near
    full join worded using (id)),
found as (
    select id, fused, coalesce(distance, (
        select made.embedding <=> %(vector)s::vector from paywarden.note_vectors as made
        where made.tenant_id = (select paywarden.tenant()) and made.note_id = merged.id
          and made.embedder = %(embedder)s)) as distance
    from merged
    order by fused desc, distance, id desc
    limit %(limit)s)
select note.id, note.customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - found.distance as score
from found
join paywarden.notes as note on note.tenant_id = (select paywarden.tenant()) and note.id = found.id
order by found.fused desc, found.distance, note.id desc;

-- name: nearest_by_text_without_sketch
-- The same where there are no sketches, because the vectors are too long or there is none to compare with: all in full.
with asked as materialized (
    select words, querytree(words) not in ('', 'T') as says_something
    from websearch_to_tsquery('simple', %(words)s) as words),
of_customer as materialized (
    select note.id, made.embedding <=> %(vector)s::vector as distance,
        case when asked.says_something and coalesce(note.words, note.many_words) @@ asked.words
            then ts_rank_cd(coalesce(note.words, note.many_words), asked.words) end as wording
    from asked
    cross join paywarden.notes as note
    left join paywarden.note_vectors as made
        on made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s
    where note.tenant_id = (select paywarden.tenant()) and note.customer_id = %(customer_id)s
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))),
placed as (
    select id, distance, row_number() over (order by distance, id desc) as near,
        case when wording is not null
            then row_number() over (order by wording desc nulls last, distance, id desc) end as worded
    from of_customer),
found as (
    select id, distance, case when near <= 50 then 1.0 / (60 + near) else 0 end
        + case when worded <= 50 then 1.0 / (60 + worded) else 0 end as fused
    from placed
    where near <= 50 or worded <= 50
    order by fused desc, distance, id desc
    limit %(limit)s)
select note.id, note.customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - found.distance as score
from found
join paywarden.notes as note on note.tenant_id = (select paywarden.tenant()) and note.id = found.id
order by found.fused desc, found.distance, note.id desc;

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
-- The newest record notes of a customer that state facts, with their nearness to a text where a vector tells it.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
      and trust = 'record' and facts is not null
      and (valid_until is null or valid_until > (select paywarden.clock()))
    order by id desc
    limit %(limit)s)
select note.id, note.customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    note.created_at, 1 - (made.embedding <=> %(vector)s::vector) as score
from of_customer as note
left join paywarden.note_vectors as made
    on made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s
order by note.id;

-- name: words_on_invoice
-- The newest notes that are trusted and state no facts: about an invoice, or staff's about the customer at all.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
      and facts is null and (valid_until is null or valid_until > (select paywarden.clock()))
      and ((trust in ('record', 'staff') and invoice_id = %(invoice)s) or (trust = 'staff' and invoice_id is null))
    order by id desc
    limit %(limit)s)
select note.id, note.customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    note.created_at, 1 - (made.embedding <=> %(vector)s::vector) as score
from of_customer as note
left join paywarden.note_vectors as made
    on made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s
order by note.id;

-- name: notes_given_for
-- What was given as the missing facts of a payment, with its nearness to a text where that can be told.
with given as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and payment_id = %(payment_id)s::uuid and customer_id = %(customer_id)s
      and (valid_until is null or valid_until > (select paywarden.clock()))
    order by id
    limit %(limit)s)
select note.id, note.customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    note.created_at, 1 - (made.embedding <=> %(vector)s::vector) as score
from given as note
left join paywarden.note_vectors as made
    on made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s
order by note.id;

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

-- name: notes_counted
-- How many notes the tenant has, counted no further than asked.
select count(*) as counted
from (select from paywarden.notes where tenant_id = (select paywarden.tenant()) limit %(limit)s) as first_ones;

-- name: scan_until_found
-- Let the vector index go on until enough of its finds are this tenant's: the index is shared by all tenants.
select set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '400', true);

-- name: nearest_in_tenant
-- The tenant's notes nearest to our vector of a text, whosever customer's, compared exactly.
select note.id, made.embedding <=> %(vector)s::vector as distance
from paywarden.notes as note
join paywarden.note_vectors as made
    on made.tenant_id = note.tenant_id and made.note_id = note.id and made.embedder = %(embedder)s
where note.tenant_id = (select paywarden.tenant())
  and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
order by distance, note.id
limit %(limit)s;

-- name: nearest_in_tenant_by_index_384
-- The same by the index on the signs of 384 numbers (0011_note_search.sql), nearly exact: so many candidates, of which
-- the nearest are given, each with the number of candidates that were there.
with candidate as materialized (
    select note.id, made.embedding
    from paywarden.note_vectors as made
    join paywarden.notes as note on note.tenant_id = made.tenant_id and note.id = made.note_id
    where made.tenant_id = (select paywarden.tenant()) and made.embedder = %(embedder)s and made.dimension = 384
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
    order by binary_quantize(made.embedding)::bit(384) <~> binary_quantize(%(vector)s::vector)::bit(384)
    limit %(candidates)s)
select id, embedding <=> %(vector)s::vector as distance, count(*) over () as candidates
from candidate
order by distance, id
limit %(limit)s;

-- name: nearest_in_tenant_by_index_512
-- The same by the index on the signs of 512 numbers.
with candidate as materialized (
    select note.id, made.embedding
    from paywarden.note_vectors as made
    join paywarden.notes as note on note.tenant_id = made.tenant_id and note.id = made.note_id
    where made.tenant_id = (select paywarden.tenant()) and made.embedder = %(embedder)s and made.dimension = 512
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
    order by binary_quantize(made.embedding)::bit(512) <~> binary_quantize(%(vector)s::vector)::bit(512)
    limit %(candidates)s)
select id, embedding <=> %(vector)s::vector as distance, count(*) over () as candidates
from candidate
order by distance, id
limit %(limit)s;

-- name: nearest_in_tenant_by_index_1024
-- The same by the index on the signs of 1024 numbers.
with candidate as materialized (
    select note.id, made.embedding
    from paywarden.note_vectors as made
    join paywarden.notes as note on note.tenant_id = made.tenant_id and note.id = made.note_id
    where made.tenant_id = (select paywarden.tenant()) and made.embedder = %(embedder)s and made.dimension = 1024
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
    order by binary_quantize(made.embedding)::bit(1024) <~> binary_quantize(%(vector)s::vector)::bit(1024)
    limit %(candidates)s)
select id, embedding <=> %(vector)s::vector as distance, count(*) over () as candidates
from candidate
order by distance, id
limit %(limit)s;

-- name: nearest_in_tenant_by_index_1536
-- The same by the index on the signs of 1536 numbers.
with candidate as materialized (
    select note.id, made.embedding
    from paywarden.note_vectors as made
    join paywarden.notes as note on note.tenant_id = made.tenant_id and note.id = made.note_id
    where made.tenant_id = (select paywarden.tenant()) and made.embedder = %(embedder)s and made.dimension = 1536
      and (note.valid_until is null or note.valid_until > (select paywarden.clock()))
    order by binary_quantize(made.embedding)::bit(1536) <~> binary_quantize(%(vector)s::vector)::bit(1536)
    limit %(candidates)s)
select id, embedding <=> %(vector)s::vector as distance, count(*) over () as candidates
from candidate
order by distance, id
limit %(limit)s;

-- name: found_notes
-- Notes by id, each with the distance at which it was found, nearest first.
select note.id, note.customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, valid_until, author_id,
    created_at, 1 - found.distance as score
from unnest(%(ids)s::uuid[], %(distances)s::float8[]) as found (id, distance)
join paywarden.notes as note on note.tenant_id = (select paywarden.tenant()) and note.id = found.id
order by found.distance, note.id;
