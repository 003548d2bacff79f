"""The conversation with a model: versioned prompt files, and the case behind fences that its text cannot close."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from paywarden.decisions.advice import EvidenceNote, Snapshot
from paywarden.decisions.record_facts import record_fact_json
from paywarden.kit.clock import rfc3339
from paywarden.kit.trust import TrustTier

ADVISER_PROMPT = "adviser-3"
FORM_PROMPT = "form-1"
_MARK_BYTES = 12


@dataclass(frozen=True, slots=True)
class AdviceThresholds:
    """The confidences (0 to 100) that guard compares an advice with: from which on a yes and a no count."""

    approve_min_confidence: int
    deny_min_confidence: int


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """What the model is told before every case. ``version`` is its file, ``sha256`` the digest of exactly this text."""

    version: str
    text: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class _Block:
    source: str
    trust: TrustTier
    json: str


def system_prompt(thresholds: AdviceThresholds) -> SystemPrompt:
    """The adviser's instructions with the thresholds that are in force."""
    text = _template(ADVISER_PROMPT).substitute(asdict(thresholds))
    return SystemPrompt(ADVISER_PROMPT, text, hashlib.sha256(text.encode()).digest())


def case_message(snapshot: Snapshot) -> str:
    """The case as the model reads it: every value is inside a block that only this call's random mark can end."""
    blocks = tuple(_blocks(snapshot))
    mark = _mark_not_in("".join(block.json for block in blocks))
    lines = [f"The mark of this case is {mark}."]
    for block in blocks:
        lines.append(f'<data mark="{mark}" source="{block.source}" trust="{block.trust}">')
        lines.extend((block.json, f'</data mark="{mark}">'))
    return "\n".join([*lines, "Give your opinion of this case."])


def form_message(problem: str) -> str:
    """What is said to an answer that could not be read. ``problem`` is about its form and quotes nothing of it."""
    return _template(FORM_PROMPT).substitute(problem=problem)


def _blocks(snapshot: Snapshot) -> Iterator[_Block]:
    yield _Block("case", "record", _json(_case(snapshot)))
    yield _Block("request", "customer", _json(snapshot.request))
    records = [{"id": record.id, "fact": record_fact_json(record.fact)} for record in snapshot.records]
    yield _Block("records", "record", _json(records))
    for note in snapshot.evidence:
        yield _Block("note", note.trust, _json(_note(note)))


def _case(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "kind": snapshot.kind,
        "customer": snapshot.customer,
        "requested_amount_minor": snapshot.requested_amount_minor,
        "currency": snapshot.currency,
        "payment_id": snapshot.payment_id,
        "purpose": snapshot.purpose,
        "reference": snapshot.reference,
        "payee": snapshot.payee,
        "asked_at": rfc3339(snapshot.asked_at),
        "complete": snapshot.complete,
    }


def _note(note: EvidenceNote) -> dict[str, Any]:
    """Only record notes state facts; what anybody else attached to a note is not shown as such."""
    facts = note.facts if note.trust == "record" else None
    return {"id": note.id, "trust": note.trust, "content": note.content, "invoice_id": note.invoice_id, "facts": facts}


def _json(value: Any) -> str:
    """One line of JSON; what is not Unicode (a lone surrogate) stays escaped."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _mark_not_in(text: str) -> str:
    while (mark := secrets.token_hex(_MARK_BYTES)) in text.lower():
        continue
    return mark


@cache
def _template(name: str) -> Template:
    return Template((files("paywarden.decisions") / "prompts" / f"{name}.md").read_text("utf-8"))
