"""How far a note can be believed, by who wrote it."""

from typing import Literal, get_args

TrustTier = Literal["record", "staff", "customer", "external"]
TRUST_TIERS: tuple[str, ...] = get_args(TrustTier)
TRUSTED_TIERS: frozenset[str] = frozenset({"record", "staff"})
