"""What a customer's message claims, by plain words. The first kind whose words occur is taken, the riskiest first.

A message can only choose which records are looked for: it never justifies money by itself.
"""

import re
from typing import Final, Literal

ClaimKind = Literal[
    "not_recognised", "charged_twice", "card_payment_fee", "refund_not_showing_up", "request_refund", "other"
]

_NOT: Final = r"(?:\b(?:not|never|no|cannot|unable)|n't)"
_NEARBY: Final = r"[^.?!]{0,60}?"
_PHRASES: Final[tuple[tuple[ClaimKind, tuple[str, ...]], ...]] = (
    (
        "not_recognised",
        (
            rf"{_NOT} (?:\w+ ){{0,2}}?(?:recogni[sz]\w*|authori[sz]\w*|mak(?:e|ing)|made|mine)\b",
            rf"{_NOT} (?:\w+ ){{0,2}}?(?:do|did) (?:it|that|this)\b",
            r"\b(?:unrecogni[sz]ed|unauthori[sz]ed|fraud\w*|suspicious|strange|odd|not me)\b",
            r"\b(?:stol(?:e|en)|stealing|compromised|victim|lost my (?:card|wallet))\b",
            r"\b(?:someone (?:else|used|is using|has|made)|who made)\b",
        ),
    ),
    (
        "charged_twice",
        (
            r"\b(?:twice|doubled?|duplicat\w*|overcharged|more than (?:once|one charge))\b",
            r"\b(?:two|2|multiple|many|several) (?:different )?(?:times|charges|transactions)\b",
            r"\b(?:repeat(?:ed)?|same) (?:charge|payment|transaction)s?\b",
            r"\b(?:second (?:charge|payment)|(?:charged?|charged me) again)\b",
        ),
    ),
    (
        "card_payment_fee",
        (
            r"\b(?:fees?|surcharges?|extra (?:charges?|cost|money)|costs? (?:me )?(?:more|extra))\b",
            r"\b(?:charg(?:ed?|ing)|pay|paid|paying) (?:me )?(?:extra|more)\b",
            r"\b(?:charg(?:ed?|ing)|pay|paid) (?:me |money )?(?:for|to|when|after) (?:using|use|pay|paying)\b",
        ),
    ),
    (
        "refund_not_showing_up",
        (
            rf"\b(?:refund|return)\w*\b{_NEARBY}{_NOT}\b",
            rf"\b(?:refund|return)\w*\b{_NEARBY}\b(?:missing|yet|still|show\w*|appear\w*|com(?:e|ing) through)\b",
            rf"\b(?:refund|return)\w*\b{_NEARBY}\b(?:statement|late|pending|delay\w*|clear\w*)\b",
            rf"\b(?:where|when|waiting|missing|status|check|how long|track)\b{_NEARBY}\brefund",
            rf"(?:{_NOT}|\bstill) (?:\w+ ){{0,3}}?(?:see|find|view|show\w*|got|get|received?|seen)\b{_NEARBY}\brefund",
            rf"(?:{_NOT}|\bstill) (?:\w+ ){{0,3}}?refund",
        ),
    ),
    (
        "request_refund",
        (
            r"\b(?:refund\w*|reimburse\w*|money back|back my money|cancel\w*|changed my mind)\b",
            r"\breturn(?:ed|ing|s)? (?:policy|the|this|my|an?|it)\b",
        ),
    ),
    ("not_recognised", (r"\b(?:cash|withdraw\w*|withdrew)\b",)),
)
_PATTERNS: Final = tuple((kind, re.compile("|".join(phrases), re.IGNORECASE)) for kind, phrases in _PHRASES)


def classify(message: str) -> ClaimKind:
    """The kind of claim in a message, ``other`` when none of the words occur."""
    plain = message.replace("’", "'")
    for kind, pattern in _PATTERNS:
        if pattern.search(plain):
            return kind
    return "other"
