"""The broken twin of the ledger's door: it reads balances without a lock, and takes its time before it writes."""

import re
from importlib.resources import files

from tests.conftest import Database

# The locks that make the check of a balance true, taken away; and a moment between the check and the write.
_MISTAKES = (
    ("ledger_lock_accounts", "account.code for no key update of account", "account.code"),
    ("ledger_grant", "    for no key update;", ";"),
    ("ledger_stretch", "    if p_fresh and", "    perform pg_sleep(0.02);\n    if p_fresh and"),
    ("ledger_write_in_turn", "        if v_decision.stop", "        perform pg_sleep(0.02); if v_decision.stop"),
)


def forget_locks(database: Database) -> None:
    """Put the mistakes into a test's database."""
    source = files("paywarden.db").joinpath("migrations/versions/0007_ledger_write.sql").read_text("utf-8")
    for name, right, wrong in _MISTAKES:
        found = re.search(rf"create function paywarden\.{name}\(.*?\$\$;", source, re.DOTALL)
        assert found is not None
        assert right in found.group(), name
        body = found.group().replace("create function", "create or replace function").replace(right, wrong)
        database.server.administer(body, database=database.name)
