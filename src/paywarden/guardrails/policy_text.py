"""What is wrong with a policy text, by line. Cedar names the rule by its place and no line; here they are found."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cedarpy

from paywarden.kit.roles import REVIEW_ROLES

# A comment, a string, or the end of a rule: all else is passed over.
_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;', re.DOTALL)
_BEFORE_A_RULE = re.compile(r"(?:\s|//[^\n]*)*")
_QUOTED = re.compile(r"`([^`]+)`")
_PLACE = re.compile(r"^for policy `policy\d+`, ")
# For Cedar these are any text: a misspelt one compares with nothing, and its rule would silently never decide.
_WORDS: Mapping[str, Sequence[str]] = {
    "autonomy": ("autonomous", "advised", "reviewed"),
    "approved_roles": REVIEW_ROLES,
}
_COMPARISONS = {"==", "!=", "contains", "containsAll", "containsAny"}
_ACTION = re.compile(r' for Action::"(\w+)"')


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """``line`` is where it is, or where its rule begins; ``rule`` the rule's ``@id``, None if it has none."""

    line: int
    rule: str | None
    what: str

    def __str__(self) -> str:
        return f"line {self.line}{f', rule {self.rule}' if self.rule else ''}: {self.what}"


@dataclass(frozen=True, slots=True)
class _Rule:
    line: int
    text: str
    annotations: Mapping[str, str]


def annotations(text: str) -> list[dict[str, str]]:
    """The annotations of every rule, in order. Raises ValueError when the text does not parse."""
    rules = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    return [rules[name].get("annotations", {}) for name in sorted(rules, key=_place)]


def names_resource(text: str) -> bool:
    """Whether any rule asks who the customer or payee is. Raises ValueError when the text does not parse."""
    rules = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    return any(rule["resource"]["op"] != "All" or _holds_resource(rule["conditions"]) for rule in rules.values())


def _holds_resource(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_holds_resource, node))
    if not isinstance(node, dict):
        return False
    return node.get("Var") == "resource" or any(map(_holds_resource, node.values()))


def problems(text: str, schema: cedarpy.Schema) -> list[PolicyProblem]:
    """All that keeps a text from coming into force, in the order of its lines; empty when nothing does."""
    rules, unreadable = _read(text)
    if unreadable:
        return unreadable
    found = [*_invalid(rules, cedarpy.validate_policies(text, schema).errors), *_unnamed(rules), *_misspelt(rules)]
    return sorted(found, key=lambda problem: problem.line)


def _read(text: str) -> tuple[list[_Rule], list[PolicyProblem]]:
    rules, unreadable = [], []
    for line, part in _parts(text):
        try:
            named = annotations(part)
        except ValueError as error:
            unreadable.append(PolicyProblem(line, None, f"cannot be read: {error}"))
        else:
            rules.append(_Rule(line, part, named[0] if named else {}))
    return rules, unreadable


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Each rule with the line it begins on. What follows the last semicolon is one, too."""
    begin = 0
    for token in _TOKEN.finditer(text):
        if token.group() == ";":
            yield from _part(text, begin, token.end())
            begin = token.end()
    yield from _part(text, begin, len(text))


def _part(text: str, begin: int, end: int) -> Iterator[tuple[int, str]]:
    blank = _BEFORE_A_RULE.match(text, begin, end)
    first = blank.end() if blank else begin
    if first < end:
        yield text.count("\n", 0, first) + 1, text[first:end]


def _invalid(rules: Sequence[_Rule], errors: Sequence[cedarpy.ValidationError]) -> Iterator[PolicyProblem]:
    """One problem for all actions for which it is the same."""
    actions: dict[tuple[int, str], list[str]] = {}
    for error in errors:
        told = _PLACE.sub("", error.error)
        place = _place(error.policy_id) if error.policy_id else len(rules)
        actions.setdefault((place, _ACTION.sub("", told)), []).extend(_ACTION.findall(told))
    for (place, what), for_actions in actions.items():
        rule = rules[place] if place < len(rules) else _Rule(1, "", {})
        suffix = f" ({', '.join(sorted(for_actions))})" if for_actions else ""
        yield PolicyProblem(_line_of(rule, what), rule.annotations.get("id"), what + suffix)


def _unnamed(rules: Sequence[_Rule]) -> Iterator[PolicyProblem]:
    seen: set[str] = set()
    for rule in rules:
        name = rule.annotations.get("id")
        if not name:
            yield PolicyProblem(rule.line, None, "every rule needs an @id of its own")
        elif name in seen:
            yield PolicyProblem(rule.line, name, "another rule has this @id already")
        seen.add(name or "")


def _misspelt(rules: Sequence[_Rule]) -> Iterator[PolicyProblem]:
    for rule in rules:
        for attribute, word in dict.fromkeys(_compared(json.loads(cedarpy.policies_to_json_str(rule.text)))):
            allowed = _WORDS[attribute]
            if word not in allowed:
                what = f'`"{word}"` is no word for `{attribute}`: allowed are {", ".join(allowed)}'
                yield PolicyProblem(_line_of(rule, what), rule.annotations.get("id"), what)


def _compared(node: Any) -> Iterator[tuple[str, str]]:
    """Each attribute whose words are known, with each text that a comparison or a set holds it against."""
    if isinstance(node, list):
        for each in node:
            yield from _compared(each)
    elif isinstance(node, dict):
        for operator, operands in node.items():
            if operator in _COMPARISONS and isinstance(operands, dict) and operands.keys() == {"left", "right"}:
                sides = operands["left"], operands["right"]
                attributes = [side["."]["attr"] for side in sides if side.get(".", {}).get("attr") in _WORDS]
                yield from ((attribute, word) for attribute in attributes for side in sides for word in _texts(side))
            yield from _compared(operands)


def _texts(side: Mapping[str, Any]) -> list[str]:
    values = [each.get("Value") for each in side.get("Set", [side])]
    return [value for value in values if isinstance(value, str)]


def _line_of(rule: _Rule, what: str) -> int:
    """The first line of the rule that holds what the message quotes, else where the rule begins."""
    for quoted in _QUOTED.findall(what):
        at = rule.text.find(quoted)
        if at >= 0:
            return rule.line + rule.text.count("\n", 0, at)
    return rule.line


def _place(policy_id: str) -> int:
    return int(policy_id.removeprefix("policy"))
