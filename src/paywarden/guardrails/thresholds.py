"""The numbers that the shipped policies compare with. Prompt, guard and documentation read them from here."""

from typing import Final

ADVISED_MIN_CONFIDENCE: Final = 80
"""An adviser's approval counts from this confidence (0 to 100) on."""

DENIED_MIN_CONFIDENCE: Final = 80
"""An adviser's denial ends an agent's refund request from this confidence (0 to 100) on; below it, a review decides."""

ADVISED_REFUND_MAX_MINOR: Final = 10_000
"""The largest refund, in minor units of its currency, that needs no verdict beyond the adviser's."""

DUPLICATE_WINDOW_MINUTES: Final = 10
"""A keyless repeat of the same payment within this time is held for a person."""
