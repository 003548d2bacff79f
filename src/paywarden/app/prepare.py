"""What must be true before anything serves: the schema is current, and the administrator's key lies in DIR/admin.key.

Runs as a short-lived process, so that what only it needs does not stay in memory.
"""

import asyncio
import os
from pathlib import Path

from paywarden.settings import Settings


def prepare(settings: Settings, key_file: Path) -> None:
    """Migrate, then make sure that ``key_file`` (mode 0600) holds a key that works."""
    from paywarden.db.migrate import migrate

    migrate(settings.migration_url, settings.service_url)
    present = key_file.read_text().strip() if key_file.exists() else None
    fresh = asyncio.run(_key_unless_valid(settings, present))
    if fresh is not None:
        write_secret(key_file, fresh)


async def _key_unless_valid(settings: Settings, present: str | None) -> str | None:
    """A new administrator's key, or None when the present one works."""
    from paywarden.db.pool import open_pool
    from paywarden.flow import access
    from paywarden.identity.tenants import QUICKSTART_TENANT_ID
    from paywarden.kit.errors import AuthenticationError

    async with open_pool(settings.service_url, settings) as pool:
        try:
            if present is not None:
                await access.authenticate(pool, present)
                return None
        except AuthenticationError:
            present = None
        return await access.create_admin_key(pool, QUICKSTART_TENANT_ID)


def write_secret(file: Path, secret: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    part.rename(file)
