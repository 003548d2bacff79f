"""The story of one payment for people who answer for money: asked, judged, decided, held, paid, booked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from paywarden.cli.discrepancies import explained
from paywarden.cli.screen import Columns, amount, cell, moment, table

Dossier = Mapping[str, Any]
_LEVELS = {
    "autonomous": "by policy alone",
    "advised": "by policy, on the adviser's approval",
    "reviewed": "by policy, on another principal's approval",
}
_SOURCES = {
    "ask": "was asked for",
    "guard": "rules decided",
    "review": "a reviewer decided",
    "submit": "sent to the provider",
    "refund": "sent to the provider",
    "confirm": "confirmed to the provider",
    "answer": "the provider answered",
    "webhook": "the provider's event",
    "fetch": "the provider was asked",
    "statement": "the provider's statement",
    "manual": "settled by hand",
    "attested": "two people attested it",
    "cancel": "was canceled",
    "no_usable_answer": "the provider gave no usable answer",
    "resend": "sent again with the same key",
    "point_of_no_return": "rules were asked once more before sending",
}


def story(dossier: Dossier) -> RenderableType:
    """Everything about one payment, on a page or two."""
    return Group(_head(dossier), *_sections(dossier))


def _sections(dossier: Dossier) -> Iterator[RenderableType]:
    parts = (
        ("What the evidence said", _evidence(dossier)),
        ("Which rules decided", _rules(dossier)),
        ("Who looked at it", _people(dossier)),
        ("What was held", _holds(dossier)),
        ("What the provider answered", _provider(dossier)),
        ("What the ledger booked", _ledger(dossier)),
        ("What does not agree", _discrepancies(dossier)),
        ("What people saw at the provider", _attestations(dossier)),
        ("When", _timeline(dossier)),
    )
    for heading, content in parts:
        shown = list(content)
        if shown:
            yield Text(f"\n{heading}", style="bold")
            yield from shown


def _head(dossier: Dossier) -> RenderableType:
    payment = dossier["payment"]
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold")
    lines.add_column(overflow="fold")
    for name, value in _head_lines(dossier, payment):
        lines.add_row(name, cell(value))
    title = Text(f"{payment['kind'].capitalize()} of {payment['display']}: ") + cell(payment["status"])
    return Panel(lines, title=title, title_align="left", expand=False)


_CUSTOMER = {"charge": "from", "refund": "to", "payout": "case of"}


def _head_lines(dossier: Dossier, payment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "payment", payment["id"]
    yield "asked by", f"{payment['agent']}, {moment(payment['created_at'])} UTC"
    if payment["payee"]:
        yield "to", payment["payee"]
    if payment["customer"]:
        yield _CUSTOMER[payment["kind"]], payment["customer"]
    for name, key in (("for", "purpose"), ("reference", "reference"), ("returns", "payment")):
        if payment[key]:
            yield name, payment[key]
    if dossier.get("request"):
        yield "because", f"“{dossier['request']}”"
    yield "decided", _decided(payment)
    if payment["late"]:
        yield "late", "the provider confirmed it after it had been given up"


def _decided(payment: Mapping[str, Any]) -> str:
    rules = ", ".join(payment["decided_by"])
    if payment["status"] == "denied":
        return f"refused: {payment['reason']}"
    if payment["oversight"]:
        return f"{_LEVELS.get(payment['oversight'], payment['oversight'])} ({rules})"
    return f"not yet: {payment['reason'] or payment['status']}"


def _evidence(dossier: Dossier) -> Iterator[RenderableType]:
    """The notes with what they say, our own payment rows, then the adviser's opinion on them."""
    decision = dossier["advice"]
    if decision is None:
        return
    given = decision["advice"]["given"]
    snapshot = decision["snapshot"]
    contents = {note["id"]: note["content"] for note in snapshot["evidence"]}
    rows = [{**note, "says": contents.get(note["note_id"])} for note in dossier["evidence"]]
    rows += [_own_record(record, given["evidence"], snapshot["currency"]) for record in snapshot["records"]]
    columns: Columns = {
        "source": lambda row: _TRUST.get(row["trust"], row["trust"]),
        "says": "says",
        "cited": lambda row: "cited" if row["cited"] else None,
    }
    yield table(rows, columns)
    yield opinion(decision, snapshot["currency"])


_TRUST = {
    "own": "our payments",
    "record": "our records",
    "staff": "our staff",
    "customer": "the customer",
    "external": "outsiders",
}


def _own_record(record: Mapping[str, Any], cited: Sequence[str], currency: str) -> dict[str, Any]:
    fact = record["fact"]
    money = amount(fact["amount_minor"], fact.get("currency", currency))
    about = fact.get("reference") or fact.get("payment_id")
    says = f"{fact['type']} of {money}, {fact.get('status')}, for {about} ({record['id']})"
    return {"trust": "own", "says": says, "cited": record["id"] in cited}


def opinion(decision: Mapping[str, Any], currency: str) -> Text:
    """What the adviser said and what the code left of it."""
    given, counts = decision["advice"]["given"], decision["advice"]
    model = f" ({decision['model']})" if decision.get("model") else ""
    said = cell(f"The adviser “{decision['adviser']}”{model} said: ") + cell(given["verdict"])
    if given["verdict"] == "approve":
        said += cell(f" {amount(given['amount_minor'], currency)}")
    said += cell(f" (confidence {given['confidence']} of 100). {given['reason']}")
    if decision.get("cost_micro_usd"):
        said += cell(f" It took {decision['latency_ms'] / 1000:.1f} s and {decision['cost_micro_usd'] / 1e6:.4f} USD.")
    if counts["verdict"] != given["verdict"]:
        said += cell(f" It does not stand: {counts['reason']}", "red")
    return said


def _rules(dossier: Dossier) -> Iterator[RenderableType]:
    """What decided, line by line; the rules that merely found nothing wrong in one sentence."""
    telling = [row for row in dossier["checks"] if row["result"] != "pass" or row["rule"].startswith("policy.")]
    passed = dict.fromkeys(row["rule"] for row in dossier["checks"] if row not in telling)
    if telling:
        yield table(telling, {"rule": "rule", "result": "result", "found": "detail"})
    if passed:
        yield cell(f"Nothing wrong by: {', '.join(passed)}")


def _people(dossier: Dossier) -> Iterator[RenderableType]:
    if dossier["verdicts"]:
        columns: Columns = {
            "at (UTC)": lambda row: moment(row["created_at"]),
            "who": lambda row: f"{row['reviewer_name']} ({row['reviewer_kind']})",
            "verdict": "verdict",
            "why": "reason",
        }
        yield table(dossier["verdicts"], columns)
    for review in dossier["reviews"]:
        if review["status"] == "open":
            until = moment(review["expires_at"])
            yield cell(f"Waits until {until} UTC: {review['reason']}. No answer is a no. ({review['id']})", "yellow")


def _holds(dossier: Dossier) -> Iterator[RenderableType]:
    currency = dossier["payment"]["currency"]
    if dossier["holds"]:
        columns: Columns = {
            "held >": lambda row: amount(row["amount_minor"], currency),
            "on": lambda row: sorted(set(row["accounts"] or [])),
            "now": "status",
        }
        yield table(dossier["holds"], columns)


def _provider(dossier: Dossier) -> Iterator[RenderableType]:
    """Calls and events in the order of time."""
    calls = [
        {
            "at": row["created_at"],
            "what": f"{row['kind']} to {row['provider']}",
            "answer": row["status"],
            "detail": row["provider_id"] or row["last_error"],
            "times": row["attempts"],
        }
        for row in dossier["operations"]
    ]
    events = [
        {"at": row["received_at"], "what": f"event {row['event_type']}", "answer": row["status"], "detail": None}
        for row in dossier["webhooks"]
    ]
    if calls or events:
        columns: Columns = {
            "at (UTC)": lambda row: moment(row["at"]),
            "what": "what",
            "outcome": "answer",
            "provider's id or error": "detail",
            "attempts >": lambda row: row.get("times"),
        }
        yield table(sorted(calls + events, key=lambda row: str(row["at"])), columns)


def _ledger(dossier: Dossier) -> Iterator[RenderableType]:
    if dossier["transfers"]:
        columns: Columns = {
            "book": "book",
            "debit": "debit",
            "credit": "credit",
            "amount >": lambda row: amount(row["amount_minor"], row["asset"]),
            "late": lambda row: "late" if row["late"] else None,
        }
        yield table(dossier["transfers"], columns)


def _discrepancies(dossier: Dossier) -> Iterator[RenderableType]:
    if dossier["discrepancies"]:
        yield table(dossier["discrepancies"], {"what": "kind", "about": "subject", "state": "status"})
        yield from explained(row["kind"] for row in dossier["discrepancies"] if row["status"] == "open")


def _attestations(dossier: Dossier) -> Iterator[RenderableType]:
    said = dossier["attestations"]
    if said:
        columns: Columns = {
            "at (UTC)": lambda row: moment(row["created_at"]),
            "who": "principal_name",
            "saw": "outcome",
            "where": "reference",
            "provider's id": "provider_payment_id",
            "more": "reason",
        }
        yield table(said, columns)
    payment, past = dossier["payment"], "outcome_unknown_past_window"
    if any((row["kind"], row["status"]) == (past, "open") for row in dossier["discrepancies"]):
        yield cell(
            "Nothing is sent any more, and what is held stays held. Look it up at the provider; when two people with "
            f"the role settle say the same, it is settled:\n  paywarden payment attest {payment['id']} "
            "--outcome succeeded|failed --reference WHERE",
            "yellow",
        )


def _timeline(dossier: Dossier) -> Iterator[RenderableType]:
    columns: Columns = {
        "at (UTC)": lambda row: moment(row["at"]),
        "became": "what",
        "because": lambda row: _SOURCES.get(row["source"], row["source"]),
        "by": lambda row: (row["detail"] or {}).get("principal"),
    }
    yield table(dossier["timeline"], columns)
