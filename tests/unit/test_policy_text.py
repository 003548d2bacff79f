"""What is wrong with a policy text is told by line and rule, once, in the words of Cedar."""

import pytest

from paywarden.guardrails import cedar

WRONG = """// A comment; with "a quote
@id("a")
permit (principal, action == Action::"charg", resource);

@id("b")
@says("no; never // ever")
forbid (principal, action, resource)
when {
  context.amount_minor > 1 &&
  context.nothing
};
permit (principal, action, resource) when { context.amount_minor < "a" };
@id("b") permit (principal, action, resource);
"""


def told(text: str) -> list[tuple[int, str | None, str]]:
    return [(each.line, each.rule, each.what) for each in cedar.check(text)]


def test_every_problem_has_its_line_and_rule() -> None:
    found = told(WRONG)
    assert [(line, rule) for line, rule, _ in found] == [
        (2, "a"), (3, "a"), (10, "b"), (12, None), (12, None), (13, "b")
    ]  # fmt: skip
    assert found[1][2] == 'unrecognized action `Action::"charg"`'
    assert found[2][2] == "attribute `nothing` in context not found (charge, payout, refund)"
    assert found[4][2] == "every rule needs an @id of its own"
    assert found[5][2] == "another rule has this @id already"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('@id("a") permit (principal, action, resource);\n\n// c ; "\n@id("x") permit (principal;\n', 4),
        ('@id("a") permit (principal, action, resource)', 1),
        ("\n\nallow everything", 3),
        ('@id("a") permit (principal, action, resource);\n}', 2),
        ('@id("open string) permit (principal, action, resource);', 1),
    ],
)
def test_what_cannot_be_read_is_told_by_its_line_only(text: str, line: int) -> None:
    ((found, rule, what),) = told(text)
    assert (found, rule) == (line, None)
    assert what.startswith("cannot be read: ")


@pytest.mark.parametrize("text", ["", "\n// nothing\n", cedar.shipped_text()], ids=["empty", "a comment", "shipped"])
def test_of_a_good_text_nothing_is_told(text: str) -> None:
    assert told(text) == []


def test_the_tenth_rule_is_not_the_second() -> None:
    rules = [f'@id("r{number}") permit (principal, action, resource);' for number in range(12)]
    rules[10] = '@id("r10") permit (principal, action, resource) when { context.nothing };'
    assert [(line, rule) for line, rule, _ in told("\n".join(rules))] == [(11, "r10")]
    assert cedar.PolicySet("many", cedar.shipped_text(), cedar._schema()).rules[0] == "tenant_inactive"


@pytest.mark.parametrize(
    ("condition", "word", "attribute"),
    [
        ('context.autonomy == "advisd"', "advisd", "autonomy"),
        ('"auto" != context.autonomy', "auto", "autonomy"),
        ('["advised", "review"].contains(context.autonomy)', "review", "autonomy"),
        ('context has purpose && !(context.approved_roles.contains("fraud"))', "fraud", "approved_roles"),
        ('context.approved_roles.containsAny(["risk", "initiate"])', "initiate", "approved_roles"),
    ],
)
def test_a_level_or_a_role_that_does_not_exist_is_told(condition: str, word: str, attribute: str) -> None:
    ((line, rule, what),) = told(f'@id("a")\nforbid (principal, action, resource)\nwhen {{ {condition} }};')
    assert (line, rule) == (3, "a")
    assert what.startswith(f'`"{word}"` is no word for `{attribute}`: allowed are ')


def test_other_texts_are_nobodys_words() -> None:
    rule = '@id("a") permit (principal, action, resource) when { context has purpose && context.purpose == "advisd" '
    assert told(rule + '&& {contains: "advisd"}.contains == "x" };') == []
