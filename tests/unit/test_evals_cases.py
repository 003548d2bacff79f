"""The labelled cases of the evals: real messages, possible records, and hostile texts where people can write."""

from collections import Counter

import pytest
from evals import cases as labelled
from evals import messages
from evals.cases import QUOTAS, Case
from evals.hostile import CHANNELS, HOSTILE
from evals.labels import label
from evals.scenarios import SCENARIOS

from paywarden.decisions.record_facts import parse_record_fact
from paywarden.guardrails.thresholds import ADVISED_REFUND_MAX_MINOR
from paywarden.kit.text import clean_text
from paywarden.memory.notes import NewNote, validate


@pytest.fixture(scope="module")
def all_cases() -> list[Case]:
    return labelled.make(messages.load())


def test_two_runs_have_the_same_cases(all_cases: list[Case]) -> None:
    again = labelled.make(messages.load())
    assert again == all_cases
    assert labelled.fingerprint(again) == labelled.fingerprint(all_cases)
    assert labelled.fingerprint(again[:-1]) != labelled.fingerprint(all_cases)


def test_there_are_enough_and_a_third_carries_an_injection(all_cases: list[Case]) -> None:
    assert len(all_cases) == len({case.id for case in all_cases}) == sum(QUOTAS.values()) >= 200
    hostile = [case for case in all_cases if case.injection is not None]
    assert abs(len(hostile) / len(all_cases) - 1 / 3) < 0.01
    assert {case.scenario for case in hostile} == {scenario.name for scenario in SCENARIOS}


def test_most_of_the_cases_must_not_be_paid(all_cases: list[Case]) -> None:
    assert sum(case.label.supported_minor < case.requested_minor for case in all_cases) > len(all_cases) / 2


def test_the_first_cases_are_a_sample_of_all(all_cases: list[Case]) -> None:
    first = all_cases[: len(all_cases) // 6]
    kinds = Counter((case.label.stratum, case.injection is None) for case in all_cases)
    for kind, count in Counter((case.label.stratum, case.injection is None) for case in first).items():
        assert abs(count - kinds[kind] / 6) <= 1
    assert {case.label.stratum for case in first} == set(QUOTAS)


def test_each_label_follows_from_the_records_and_is_what_the_scenario_means(all_cases: list[Case]) -> None:
    meant = {scenario.name: scenario.meant for scenario in SCENARIOS}
    for case in all_cases:
        found = label(case.intent, case.payment_id, case.requested_minor, case.rows, case.notes)
        assert (case.id, case.label) == (case.id, found)
        assert (case.id, case.label.stratum) == (case.id, meant[case.scenario])


def test_messages_are_real_and_were_not_in_view_when_the_rules_were_written(all_cases: list[Case]) -> None:
    real = {message.text: message.intent for message in messages.load()}
    unseen = {message.text for message in messages.unseen(messages.load())}
    assert len(real) - len(unseen) == 300
    for case in all_cases:
        assert real[case.message] == case.intent
        assert case.message in unseen
        assert case.request.startswith(case.message)
        assert (case.request == case.message) is (case.injection is None or case.injection.channel != "request")


def test_every_hostile_text_stands_in_every_place(all_cases: list[Case]) -> None:
    used = {(case.injection.name, case.injection.channel) for case in all_cases if case.injection is not None}
    assert len(HOSTILE) >= 12
    assert used == {(name, channel) for name in HOSTILE for channel in CHANNELS}


def test_hostile_text_stands_only_where_people_can_write(all_cases: list[Case]) -> None:
    for case in all_cases:
        if case.injection is None:
            continue
        assert "$payment" not in case.injection.text
        trusts = {note.trust for note in case.notes if case.injection.text in note.content}
        expected = {"customer note": {"customer"}, "external note": {"external"}, "request": set()}
        assert trusts == expected[case.injection.channel]


def test_everything_could_really_be_stored_and_asked(all_cases: list[Case]) -> None:
    for case in all_cases:
        clean_text(case.request, "request")
        for note in case.notes:
            validate(NewNote("eval", note.content, note.trust, facts=note.facts))
            if note.facts is not None:
                parse_record_fact(note.facts)
        (charge,) = (row.facts for row in case.rows if row.id == case.payment_id)
        back = [row.facts for row in case.rows if row.facts["type"] == "refund" and row.facts["status"] != "failed"]
        gone_minor = sum(refund["amount_minor"] for refund in back if refund["payment_id"] == case.payment_id)
        assert charge["status"] == "succeeded"
        assert 0 < case.requested_minor <= charge["amount_minor"] - gone_minor
        assert case.requested_minor <= ADVISED_REFUND_MAX_MINOR, "above that no adviser is asked"


def test_500_messages_are_held_out() -> None:
    everything = messages.load()
    held_out, others = messages.split(everything)
    assert len(held_out) == 500
    assert {message.text for message in held_out}.isdisjoint(message.text for message in others)
    assert len(held_out) + len(others) == len(everything)
    assert len({message.intent for message in held_out}) == len({message.intent for message in everything}) == 77
