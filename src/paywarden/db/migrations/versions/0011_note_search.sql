-- Notes may end, and know who wrote them and what an import has brought already.
-- The foreign key is checked across all tenants, so the wall is lifted for that moment.
alter table paywarden.notes no force row level security;
alter table paywarden.principals no force row level security;
alter table paywarden.notes
    -- Who kept it; null where nobody did: a set-up or a test.
    add column author_id uuid,
    -- Of a note from an import: what the line said, so that importing it again adds nothing.
    add column import_sha256 bytea check (length(import_sha256) = 32),
    add foreign key (tenant_id, author_id) references paywarden.principals (tenant_id, id);
alter table paywarden.notes force row level security;
alter table paywarden.principals force row level security;
create unique index notes_imported_once on paywarden.notes (tenant_id, import_sha256) where import_sha256 is not null;

-- A note stays as it was written but for its end, which may be set, or brought forward, and never lifted.
create function paywarden.check_note_end() returns trigger
    language plpgsql
as $$
declare
    -- Generated columns are still empty here; what they are made of is compared.
    v_left_out constant text[] := array['valid_until', 'words', 'many_words', 'own_dimension'];
begin
    if to_jsonb(new) - v_left_out is distinct from to_jsonb(old) - v_left_out then
        raise exception 'of a note only the end may change' using errcode = '42501';
    end if;
    if new.valid_until is null or new.valid_until > old.valid_until then
        raise exception 'the end of a note may only be brought forward' using errcode = '42501';
    end if;
    return new;
end
$$;
drop trigger insert_only on paywarden.notes;
create trigger insert_only before delete on paywarden.notes
    for each row execute function paywarden.refuse_change();
create trigger ends_only before update on paywarden.notes
    for each row execute function paywarden.check_note_end();
grant update (valid_until) on paywarden.notes to paywarden_app;

-- Search across all customers of a tenant, among many notes; one customer's notes are compared exactly instead.
-- An index holds vectors of one length, of whichever embedders; those of another length are compared exactly. Of each
-- number it holds the sign: a note is written in less than half the time that whole vectors would take, and more nearest
-- notes are found, because so many candidates can be looked at in full (docs/decisions/0008-growth.md).
create index note_vectors_near_384 on paywarden.note_vectors
    using hnsw ((binary_quantize(embedding)::bit(384)) bit_hamming_ops) where dimension = 384;
create index note_vectors_near_512 on paywarden.note_vectors
    using hnsw ((binary_quantize(embedding)::bit(512)) bit_hamming_ops) where dimension = 512;
create index note_vectors_near_1024 on paywarden.note_vectors
    using hnsw ((binary_quantize(embedding)::bit(1024)) bit_hamming_ops) where dimension = 1024;
create index note_vectors_near_1536 on paywarden.note_vectors
    using hnsw ((binary_quantize(embedding)::bit(1536)) bit_hamming_ops) where dimension = 1536;
