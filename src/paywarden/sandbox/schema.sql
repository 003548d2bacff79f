-- The sandbox's own book. Instants are milliseconds since 1970 by the sandbox's movable clock.
-- A confirmed payment is charged from its commit on; it is shown as pending until settles_at, then as its outcome.

CREATE TABLE IF NOT EXISTS payments (
    id           TEXT PRIMARY KEY,
    amount       INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
    currency     TEXT NOT NULL,
    customer_id  TEXT,
    description  TEXT,
    metadata     TEXT NOT NULL,
    reference    TEXT,
    outcome      TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    created_at   INTEGER NOT NULL,
    settles_at   INTEGER,
    hidden_until INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS payments_by_reference ON payments (reference);
CREATE INDEX IF NOT EXISTS payments_by_settlement ON payments (settles_at, id) WHERE outcome = 'succeeded';

CREATE TABLE IF NOT EXISTS refunds (
    id           TEXT PRIMARY KEY,
    payment_id   TEXT NOT NULL REFERENCES payments (id),
    amount       INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
    metadata     TEXT NOT NULL,
    reference    TEXT,
    outcome      TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    created_at   INTEGER NOT NULL,
    settles_at   INTEGER NOT NULL,
    hidden_until INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS refunds_by_payment ON refunds (payment_id);
CREATE INDEX IF NOT EXISTS refunds_by_reference ON refunds (reference);
CREATE INDEX IF NOT EXISTS refunds_by_settlement ON refunds (settles_at, id) WHERE outcome = 'succeeded';

CREATE TABLE IF NOT EXISTS payouts (
    id           TEXT PRIMARY KEY,
    amount       INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
    currency     TEXT NOT NULL,
    payee        TEXT NOT NULL,
    description  TEXT,
    metadata     TEXT NOT NULL,
    reference    TEXT,
    outcome      TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    created_at   INTEGER NOT NULL,
    settles_at   INTEGER NOT NULL,
    hidden_until INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS payouts_by_reference ON payouts (reference);
CREATE INDEX IF NOT EXISTS payouts_by_settlement ON payouts (settles_at, id) WHERE outcome = 'succeeded';

CREATE TABLE IF NOT EXISTS idempotency_keys (
    key         TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    answer      TEXT NOT NULL,
    created_at  INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE IF NOT EXISTS events (
    id        TEXT PRIMARY KEY,
    reference TEXT,
    body      TEXT NOT NULL,
    due_at    INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS deliveries (
    id           INTEGER PRIMARY KEY,
    event_id     TEXT NOT NULL REFERENCES events (id),
    next_at      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (next_at) WHERE delivered_at IS NULL;

CREATE TABLE IF NOT EXISTS settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
