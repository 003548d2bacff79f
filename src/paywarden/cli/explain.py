"""The story of one payment for people who answer for money: asked, judged, decided, held, paid, booked."""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from paywarden.cli.discrepancies import explained
from paywarden.cli.judgement import found, said, shown
from paywarden.cli.screen import Columns, amount, beside, cell, moment, table

Dossier = Mapping[str, Any]
_LEVELS = {
    "autonomous": "by policy alone",
    "advised": "by policy, on the adviser's approval",
    "reviewed": "by policy, on another principal's approval",
}
_SOURCES = {
    "ask": "was asked for",
    "guard": "rules decided",
    "facts": "missing facts were given",
    "review": "a reviewer decided",
    "submit": "sent to the provider",
    "refund": "sent to the provider",
    "payout": "sent to the provider",
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
    "recovery": "whoever sent it stopped before the answer",
    "clock": "its time was over",
    "point_of_no_return": "rules were asked once more before sending",
}
_AFTER_AN_APPROVAL = "a reviewer approved, and the rules agreed"


def story(dossier: Dossier) -> RenderableType:
    """Everything about one payment, on a page or two."""
    return Group(_head(dossier), *_sections(dossier))


def _sections(dossier: Dossier) -> Iterator[RenderableType]:
    parts = (
        *_decisions(dossier["decisions"]),
        ("Which rules decided", _rules(dossier)),
        ("Which facts are missing", _missing(dossier["payment"])),
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
    if dossier["reviews"]:
        yield "digest", dossier["action_digest"]
    if payment["late"]:
        yield "late", "the provider confirmed it after it had been given up"


def _decided(payment: Mapping[str, Any]) -> str:
    rules = ", ".join(payment["decided_by"])
    if payment["status"] == "denied":
        return f"refused: {payment['reason']}"
    if payment["oversight"]:
        return f"{_LEVELS.get(payment['oversight'], payment['oversight'])} ({rules})"
    return f"not yet: {payment['reason'] or payment['status']}"


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Iterator[RenderableType]]]:
    """For each time an adviser was asked: what it was shown, and what it said."""
    for number, decision in enumerate(decisions, start=1):
        which = f", round {number}" if len(decisions) > 1 else ""
        yield f"What the evidence said{which}", shown(decision)
        yield f"What the adviser said{which}", said(decision)


def _rules(dossier: Dossier) -> Iterator[RenderableType]:
    yield from found(dossier["checks"])
    payment = dossier["payment"]
    if payment["decided_by"] and (payment["oversight"] or payment["status"] == "denied"):
        yield cell(f"Determining: {', '.join(payment['decided_by'])} (policies {dossier['policy_version']})")


def _missing(payment: Mapping[str, Any]) -> Iterator[RenderableType]:
    if payment.get("missing_facts"):
        yield from (cell(f"- {fact}") for fact in payment["missing_facts"])
        until, give = moment(payment["facts_until"]), f"paywarden payment facts {payment['id']} FACT..."
        yield cell(f"Waits for them until {until} UTC; no answer is a no. To give them: {give}", "yellow")


def _people(dossier: Dossier) -> Iterator[RenderableType]:
    """Who was asked, who took it on, who said what, in the order of time; and what still waits."""
    lines = beside(sorted(_looks(dossier), key=lambda row: row[0].plain))
    if lines is not None:
        yield lines
    for review in dossier["reviews"]:
        if review["status"] == "open":
            until = moment(review["expires_at"])
            yield cell(f"Waits until {until} UTC: {review['reason']}. No answer is a no.", "yellow")


def _looks(dossier: Dossier) -> Iterator[tuple[Text, Text]]:
    names = {row["reviewer_id"]: f"{row['reviewer_name']} ({row['reviewer_kind']})" for row in dossier["verdicts"]}
    advised = {row["reviewer_id"]: row["advised"] for row in dossier["labels"]}
    for review in dossier["reviews"]:
        yield _at(review["created_at"]), _asked_for(review)
        if review["status"] == "expired":
            yield _at(review["closed_at"]), cell("nobody answered in time, which is a no", "red")
    for event in dossier["events"]:
        if event["type"] == "review.claimed":
            who = names.get(event["principal_id"], event["principal_id"])
            yield _at(event["created_at"]), cell(f"claimed by {who}, number {event['data']['fence']}")
    for verdict in dossier["verdicts"]:
        against = advised.get(verdict["reviewer_id"])
        beside_it = f", where the adviser said {against}" if against else ""
        by = cell(f" by {names[verdict['reviewer_id']]}{beside_it}: {verdict['reason']}")
        yield _at(verdict["created_at"]), cell(verdict["verdict"]) + by


def _asked_for(review: Mapping[str, Any]) -> Text:
    kind = {"person": "a person", "any": "another principal"}[review["reviewer_kind"]]
    return cell(f"asked: {kind} with the role {review['required_role']}") + Text("\n") + cell(review["id"], "dim")


def _at(instant: str) -> Text:
    return cell(moment(instant))


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
    calls = [(_at(row["created_at"]), _call(row)) for row in dossier["operations"]]
    reached = {row["what"] for row in dossier["timeline"]}
    events = [(_at(row["received_at"]), _event(row, reached)) for row in dossier["webhooks"]]
    lines = beside(sorted(calls + events, key=lambda row: row[0].plain))
    if lines is not None:
        yield lines


def _event(event: Mapping[str, Any], reached: Container[str]) -> Text:
    """Applied means dealt with: a failure that comes after the success is kept, and changes nothing."""
    without_effect = event["event_type"].endswith("failed") and "failed" not in reached
    outcome = "kept, changes nothing" if event["status"] == "applied" and without_effect else event["status"]
    return cell(f"event {event['event_type']}: ") + cell(outcome)


def _call(operation: Mapping[str, Any]) -> Text:
    told = cell(f"{operation['kind']} to {operation['provider']}: ") + cell(operation["status"])
    if operation["attempts"] != 1:
        told += cell(f", {operation['attempts']} attempts")
    for detail in (operation["provider_id"], operation["last_error"]):
        if detail:
            told += Text("\n") + cell(detail, "dim")
    return told


def _ledger(dossier: Dossier) -> Iterator[RenderableType]:
    lines = beside(_entry(row) for row in dossier["transfers"])
    if lines is not None:
        yield lines


def _entry(transfer: Mapping[str, Any]) -> tuple[Text, Text]:
    money = cell(amount(transfer["amount_minor"], transfer["asset"]))
    late = cell(", late", "yellow") if transfer["late"] else Text()
    sides = cell(f"debit   {transfer['debit']}") + Text("\n") + cell(f"credit  {transfer['credit']}")
    return money + Text("\n") + cell(transfer["book"]) + late, sides


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
    names = {row["reviewer_id"]: row["reviewer_name"] for row in dossier["verdicts"]}
    moves = dossier["timeline"]
    before = [None, *(row["what"] for row in moves)]
    lines = beside(_moment(row, was, names) for row, was in zip(moves, before, strict=False))
    if lines is not None:
        yield lines


def _moment(row: Mapping[str, Any], was: str | None, names: Mapping[str, str]) -> tuple[Text, Text, Text]:
    principal = (row["detail"] or {}).get("principal", "")
    who = names.get(principal, principal) if row["source"] != "ask" else ""
    because = _SOURCES.get(row["source"], row["source"])
    if (was, row["source"], row["what"]) == ("in_review", "guard", "reserved"):
        because = _AFTER_AN_APPROVAL
    return _at(row["at"]), cell(row["what"]), cell(f"{because} ({who})" if who else because)
