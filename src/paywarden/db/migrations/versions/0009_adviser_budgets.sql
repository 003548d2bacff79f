-- What a tenant's adviser may cost on a day (UTC), in millionths of a US dollar. The most a call can cost is reserved
-- before it is made, so that no number of calls at once spends more than the budget.
create table paywarden.adviser_budgets (
    tenant_id uuid not null references paywarden.tenants (id),
    day date not null,
    used_micro_usd bigint not null check (used_micro_usd >= 0),
    primary key (tenant_id, day)
);
call paywarden.wall('paywarden.adviser_budgets');
grant insert, update (used_micro_usd) on paywarden.adviser_budgets to paywarden_app;
