"""The payment row (product and queue at once), its guarded moves, idempotency, and operations at providers."""
