-- Debits equal credits in every book and asset of every tenant.
select tenant_id, book, asset,
    sum(case when normal = 'debit' then balance else -balance end) as difference_minor
from paywarden.accounts
group by tenant_id, book, asset
having sum(case when normal = 'debit' then balance else -balance end) <> 0
