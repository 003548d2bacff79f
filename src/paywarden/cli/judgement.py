"""A decision for people who answer for money: what the adviser was shown, what it said, what the code made of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from paywarden.cli.screen import amount, beside, cell, moment, sheet, table

Decision = Mapping[str, Any]
_TRUST = {
    "record": "our records",
    "staff": "our staff",
    "customer": "the customer",
    "external": "outsiders",
}


def whole_decision(decision: Decision) -> RenderableType:
    """Everything about one decision, on a page."""
    about = {
        "replay of": decision["replay_of"],
        "asked by": f"{decision['asked_by']}, {moment(decision['created_at'])} UTC",
        "customer": decision["customer"],
        "payment": decision["payment"],
        "policies": decision["policy_version"],
        "request": f"“{decision['request']}”",
        "asked for": amount(decision["requested_minor"], decision["currency"]),
    }
    parts = (
        ("What the evidence said", shown(decision)),
        ("What the adviser said", said(decision)),
        (
            "Which rules looked at it",
            [table(decision["checks"], {"rule": "rule", "result": "result", "found": "detail"})],
        ),
    )
    sections = [each for heading, content in parts for each in (Text(f"\n{heading}", style="bold"), *content)]
    return Group(sheet(about, list(about)), *sections)


def shown(decision: Decision) -> Iterator[RenderableType]:
    """What the adviser was given: our own payments, then notes with their trust, nearness, and digest then."""
    records = [
        _line("our payments", row["cited"], _fact(row["fact"], decision["currency"]), row["id"])
        for row in decision["records"]
    ]
    notes = [
        _line(_TRUST.get(row["trust"], row["trust"]), row["cited"], f"“{row['content']}”", _proof(row))
        for row in decision["evidence"]
    ]
    yield beside([*records, *notes]) or Text("Nothing was found: the adviser had the request alone.")


def _proof(note: Mapping[str, Any]) -> str:
    return f"{note['id']}, nearness {note['score']:.2f}, sha256\n{note['content_sha256']}"


def _line(source: str, cited: bool, says: str, proof: str) -> tuple[Text, Text]:
    left = cell(source) + (Text("\ncited", style="green") if cited else Text())
    return left, cell(says) + Text("".join(f"\n{line}" for line in proof.split("\n")), style="dim")


def _fact(fact: Mapping[str, Any], currency: str) -> str:
    money = amount(fact["amount_minor"], fact.get("currency", currency))
    about = fact.get("reference") or fact.get("payment_id")
    return f"{fact['type']} of {money}, {fact.get('status')}, for {about}"


def said(decision: Decision) -> Iterator[RenderableType]:
    """The opinion, what of it does not stand, and how it came about."""
    yield opinion(decision)
    for fact in decision["given"]["missing_facts"]:
        yield cell(f"- missing: {fact}")
    yield sheet(_provenance(decision), list(_provenance(decision)))


def opinion(decision: Decision) -> Text:
    """What the adviser said and what the code left of it, in a few sentences."""
    given = decision["given"]
    model = f" ({decision['model']})" if decision["model"] else ""
    told = cell(f"The adviser “{decision['adviser']}”{model} said: ") + cell(given["verdict"])
    if given["verdict"] == "approve":
        told += cell(f" {amount(given['amount_minor'], decision['currency'])}")
    told += cell(f" (confidence {given['confidence']} of 100). {given['reason']}")
    if decision["verdict"] != given["verdict"]:
        told += cell(f" It does not stand: {decision['reason']}", "red")
    return told


def _provenance(decision: Decision) -> dict[str, str | None]:
    return {
        "decision": decision["id"],
        "prompt": decision["prompt_version"],
        "sha256": decision["prompt_sha256"],
        "took": ", ".join(_took(decision)),
        "calls": ", ".join(decision["request_ids"]) or None,
    }


def _took(decision: Decision) -> Iterator[str]:
    yield f"{decision['latency_ms'] / 1000:.1f} s"
    usage = decision["usage"]
    calls = usage.get("calls", 0)
    if calls:
        yield "1 call" if calls == 1 else f"{calls} calls: its first answer was in the wrong form"
        read = sum(usage.get(f"{kind}input_tokens", 0) for kind in ("", "cache_read_", "cache_creation_"))
        yield f"{read} tokens read, {usage.get('output_tokens', 0)} written"
    if decision["cost_micro_usd"] is not None:
        yield f"{decision['cost_micro_usd'] / 1e6:.4f} USD"
    elif calls:
        yield "at a cost that nobody knows"


def found(checks: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """What decided, line by line and each line once; the rules that merely found nothing wrong in one sentence."""
    once = list({(row["rule"], row["result"], row["detail"]): row for row in checks}.values())
    telling = [row for row in once if row["result"] != "pass" or row["rule"].startswith("policy.")]
    passed = dict.fromkeys(row["rule"] for row in once if row not in telling)
    if telling:
        yield table(telling, {"rule": "rule", "result": "result", "found": "detail"})
    if passed:
        yield cell(f"Nothing wrong by: {', '.join(passed)}")
