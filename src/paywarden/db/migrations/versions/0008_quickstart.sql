-- The quick-start tenant and the read-only views of people who look with SQL. The tenant's id is fixed, so that the
-- policies of the quickstart role can name it literally: that role can never see another tenant, whatever it sets.
insert into paywarden.tenants (id, name, environment)
values ('01900000-0000-7000-8000-000000000001', 'quickstart', 'test');

-- The quick-start word for a status (shared/api.md); origin and bareness decide between payments and payment_jobs.
create function paywarden.quickstart_status(p_origin text, p_bare boolean, p_status text) returns text
    language sql immutable strict parallel safe
as $$
    select case
        when p_status in ('needs_facts', 'in_review') then 'in_review'
        when p_status in ('failed', 'denied', 'canceled', 'expired') then p_status
        when p_status = 'succeeded' then case when p_origin in ('create', 'reserve') then 'paid' else 'succeeded' end
        when p_status = 'reserved' and p_bare then 'reserved'
        when p_status = 'requires_action' and p_origin = 'create' then 'requires_confirmation'
        else 'pending'
    end
$$;
grant execute on function paywarden.quickstart_status(text, boolean, text) to paywarden_app;

create schema quickstart;
create policy quickstart_read on paywarden.payments for select to quickstart
    using (tenant_id = '01900000-0000-7000-8000-000000000001');
create policy quickstart_read on paywarden.notes for select to quickstart
    using (tenant_id = '01900000-0000-7000-8000-000000000001');
create policy quickstart_read on paywarden.note_vectors for select to quickstart
    using (tenant_id = '01900000-0000-7000-8000-000000000001');
grant usage on schema paywarden, quickstart to quickstart;
grant execute on function paywarden.public_id(text, uuid), paywarden.quickstart_status(text, boolean, text)
    to quickstart;
grant select (tenant_id, id, origin, bare, kind, status, customer_id, agent_id, provider_payment_id, amount_minor,
              currency, created_at, updated_at) on paywarden.payments to quickstart;
grant select (tenant_id, id, customer_id, content) on paywarden.notes to quickstart;
grant select (tenant_id, note_id, embedder, embedding, created_at) on paywarden.note_vectors to quickstart;

create view quickstart.payments with (security_invoker = true) as
select paywarden.public_id('pay', id) as id, customer_id as user_id, provider_payment_id, amount_minor as amount_cents,
    currency, paywarden.quickstart_status(origin, bare, status) as status, created_at, updated_at
from paywarden.payments
where tenant_id = '01900000-0000-7000-8000-000000000001' and origin = 'payments';

create view quickstart.payment_jobs with (security_invoker = true) as
select paywarden.public_id('pay', id) as id, agent_id, provider_payment_id, amount_minor as amount_cents, currency,
    paywarden.quickstart_status(origin, bare, status) as status, created_at, updated_at
from paywarden.payments
where tenant_id = '01900000-0000-7000-8000-000000000001' and origin in ('create', 'reserve');

create view quickstart.knowledge_base with (security_invoker = true) as
select paywarden.public_id('note', id) as id, customer_id, content,
    -- By the embedder that read the note last; null as long as none has.
    (select embedding
     from paywarden.note_vectors as made
     where made.tenant_id = note.tenant_id and made.note_id = note.id
     order by made.created_at desc, made.embedder
     limit 1) as embedding
from paywarden.notes as note
where tenant_id = '01900000-0000-7000-8000-000000000001';

grant select on quickstart.payments, quickstart.payment_jobs, quickstart.knowledge_base to quickstart;
