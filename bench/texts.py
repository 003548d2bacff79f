"""Texts like those that customers and staff write, made of few words, each text another."""

import random
from collections.abc import Iterator

_SUBJECTS = "card transfer refund invoice order parcel account payment fee top-up exchange statement limit"
_VERBS = "arrived failed was charged twice is missing disappeared waits got declined was delayed is wrong"
_DETAILS = (
    "yesterday again abroad online at the cash machine last week in May for order before the holidays "
    "without any reason after the update on my new phone with the wrong name in the wrong currency"
)


def texts(seed: int) -> Iterator[str]:
    """Always the same texts for a seed, without end."""
    chosen = random.Random(seed)  # noqa: S311 - words, no secret
    subjects, verbs, details = _SUBJECTS.split(), _VERBS.split(), _DETAILS.split()
    while True:
        words = [chosen.choice(subjects), chosen.choice(verbs), *chosen.choices(details, k=8)]
        yield f"My {' '.join(words)} {chosen.randrange(100_000)}"
