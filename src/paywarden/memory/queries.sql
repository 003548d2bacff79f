-- name: insert_note
-- A new note, with our vector of it and perhaps the caller's.
insert into paywarden.notes (tenant_id, id, customer_id, invoice_id, case_id, source, trust, content, content_sha256,
    facts, embedder, embedding, own_embedding)
values ((select paywarden.tenant()), %(id)s, %(customer_id)s, %(invoice_id)s, %(case_id)s, %(source)s, %(trust)s,
    %(content)s, %(content_sha256)s, %(facts)s::jsonb, %(embedder)s, %(embedding)s::vector, %(own_embedding)s::vector);

-- name: note_by_id
-- One note, without a score.
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, created_at,
    null::double precision as score
from paywarden.notes
where tenant_id = (select paywarden.tenant()) and id = %(id)s;

-- name: notes_of_customer
-- A customer's notes, newest first, before a given one.
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, created_at,
    null::double precision as score
from paywarden.notes
where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: nearest_by_text
-- A customer's notes nearest to our vector of a text: narrowed by the b-tree first, then compared exactly.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s and embedder = %(embedder)s)
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, created_at,
    1 - (embedding <=> %(vector)s::vector) as score
from of_customer
order by embedding <=> %(vector)s::vector, id
limit %(limit)s;

-- name: nearest_by_own_vector
-- A customer's notes whose own vector is nearest to the caller's; only vectors of one dimension are ever compared.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s
      and own_dimension = vector_dims(%(vector)s::vector))
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, created_at,
    1 - (own_embedding <=> %(vector)s::vector) as score
from of_customer
order by own_embedding <=> %(vector)s::vector, id
limit %(limit)s;

-- name: records_of_customer
-- The newest record notes of a customer that state facts, with their nearness to a text.
with of_customer as materialized (
    select * from paywarden.notes
    where tenant_id = (select paywarden.tenant()) and customer_id = %(customer_id)s and embedder = %(embedder)s
      and trust = 'record' and facts is not null
    order by id desc
    limit %(limit)s)
select id, customer_id, invoice_id, case_id, source, trust, content, content_sha256, facts, created_at,
    1 - (embedding <=> %(vector)s::vector) as score
from of_customer
order by id;
