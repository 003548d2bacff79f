"""The numbers that the shipped policies compare with. Prompt, guard and documentation read them from here."""

from typing import Final

ADVISED_MIN_CONFIDENCE: Final = 80
"""An adviser's approval counts from this confidence (0 to 100) on."""

DENIED_MIN_CONFIDENCE: Final = 80
"""An adviser's denial ends an agent's request from this confidence (0 to 100) on; below it, a review decides."""

ADVISED_REFUND_MAX_MINOR: Final = 10_000
"""The largest refund, in minor units of its currency, that needs no verdict beyond the adviser's."""

ADVISED_INVOICE_MAX_MINOR: Final = 50_000
"""The largest charge for an overdue invoice, in minor units, that needs no verdict beyond the adviser's."""

CHECKOUT_RISK_FROM_MINOR: Final = 50_000
"""From this amount on, in minor units of its currency, a charge for a checkout needs an approval in the role risk."""

DUPLICATE_WINDOW_MINUTES: Final = 10
"""A keyless repeat of the same payment within this time is held for a person."""
