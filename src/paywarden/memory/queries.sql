-- name: insert_note
-- A new note, with our vector of it and perhaps the caller's.
insert into paywarden.notes (tenant_id, id, customer_id, invoice_id, case_id, source, trust, content, content_sha256,
    facts, embedder, embedding, own_embedding, valid_until, author_id)
values ((select paywarden.tenant()), %(id)s, %(customer_id)s, %(invoice_id)s, %(case_id)s, %(source)s, %(trust)s,
    %(content)s, %(content_sha256)s, %(facts)s::jsonb, %(embedder)s, %(embedding)s::vector, %(own_embedding)s::vector,
    %(valid_until)s, %(author_id)s);

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
