"""Labels: visible only after their delay, part of the rule's version, read from a file or refused with its line."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.errors import ConfigError
from fraudstream.rulebook.interpreter import Paid, value
from fraudstream.rulebook.labels import Labels, read_labels
from fraudstream.rulebook.transaction import Transaction
from unit.histories import NOON, SECOND, folded, row, rule_of

TX = Transaction()
RULE = rule_of("compromised_merchant: {parameters: {delay: 60s, window: 1h, at_least: 2, share_over: 0.5}}")


def with_labels(labels: Labels):
    return replace(RULE, parameters={**RULE.parameters, "labels": labels})


def labels(**times: float) -> Labels:
    """`t17=5`: transaction 17 is confirmed 5 s behind noon."""
    found = {int(name[1:]): NOON + round(seconds * SECOND) for name, seconds in times.items()}
    return Labels(tuple(sorted(found)), tuple(found[number] for number in sorted(found)))


@pytest.mark.parametrize("cuts", [(), range(20)])
def test_a_label_counts_from_its_time_and_the_delay_on(cuts):
    # Of users of their own, at one merchant; 1 and 2 are confirmed at 10 s, which is known from 70 s on.
    rows = [row(number, 10, at, user=number) for number, at in ((1, 0), (2, 1), (3, 69.999999), (4, 70), (5, 71))]
    alerts, _ = folded(with_labels(labels(t1=10, t2=10, t5=0)), rows, cuts)
    assert [(each["transaction_id"], each["evidence"]) for each in alerts] == [
        (4, {"confirmed": 2, "payments": 3, "share": "0.67"})
    ]  # at 71 s it is 2 of 4, which is not over a half; its own label says nothing


@pytest.mark.parametrize("cuts", [(), range(20)])
def test_labels_count_at_their_own_merchant_and_within_the_window(cuts):
    rows = [row(1, 10, 0), row(2, 10, 0.000001), row(3, 10, 1, merchant_id=2), row(4, 10, 3600), row(5, 10, 3600)]
    # Behind (0, 3600] is only 2; 4 is in it for 5.
    alerts, _ = folded(with_labels(labels(t1=0, t2=0, t3=0, t4=3540)), rows, cuts)
    assert [(each["transaction_id"], each["evidence"]["confirmed"]) for each in alerts] == [(5, 2)]


@given(
    history=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 12).map(lambda n: n * 100)), min_size=1, max_size=25),
    known=st.dictionaries(st.integers(1, 25), st.integers(0, 12).map(lambda n: n * 100), max_size=12),
    cuts=st.lists(st.integers(0, 25), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_columns_confirm_like_one_transaction_at_a_time(history, known, cuts):
    table = labels(**{f"t{number}": time for number, time in known.items()})
    rule = with_labels(table)
    rule.__dict__["alert"] = TX.alert(
        when=TX.amount > 0, reason="", evidence={"confirmed": TX.within("10m").confirmed(table, "100s")}
    )
    rows = [row(number, 10, at, merchant_id=shop) for number, (shop, at) in enumerate(history, start=1)]
    found = {each["transaction_id"]: each["evidence"]["confirmed"] for each in folded(rule, rows, cuts)[0]}
    earlier: dict[int, list[Paid]] = {1: [], 2: []}
    for number, (shop, at) in enumerate(history, start=1):
        now = Paid(1000, NOON + at * SECOND, id=number)
        assert found[number] == value(TX.within("10m").confirmed(table, "100s"), now, earlier[shop])
        earlier[shop].append(now)


def test_other_labels_are_another_version_and_the_same_ones_are_not(tmp_path: Path):
    def version(text: str) -> str:
        path = tmp_path / "labels.csv"
        path.write_text("transaction_id,labelled_at\n" + text)
        return rule_of.__wrapped__(f"compromised_merchant: {{parameters: {{labels: {path}}}}}").version

    first = version("5,2026-03-01T12:00:00Z\n7,2026-03-01T13:00:00Z\n")
    assert version("7,2026-03-01T14:00:00+01:00\n5,2026-03-01 12:00:00\n5,2026-03-02\n") == first
    assert version("5,2026-03-01T12:00:00Z\n7,2026-03-01T13:00:00.000001Z\n") != first
    assert version("") == rule_of("compromised_merchant: {}").version


def test_a_rule_travels_with_its_labels():
    rule = with_labels(labels(t1=1))
    assert pickle.loads(pickle.dumps(rule)).parameters["labels"] == labels(t1=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,time\n", "must begin with the line transaction_id,labelled_at"),
        (
            "transaction_id,labelled_at\n5,noon\n",
            "line 2: '5,noon' is no label; write one like 17,2026-03",
        ),
        ("transaction_id,labelled_at\n5\n", "line 2: '5' is no label"),
        ("transaction_id,labelled_at\nx,2026-03-01\n", "line 2: 'x,2026-03-01' is no label"),
    ],
)
def test_a_file_that_has_no_labels_is_refused_with_its_line(tmp_path, text, said):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"line 1: labels is '/.*; .*labels\.csv") as refused:
        rule_of.__wrapped__(f"compromised_merchant: {{parameters: {{labels: {path}}}}}")
    assert said in str(refused.value)
    with pytest.raises(ValueError, match="cannot be read"):
        read_labels(str(tmp_path / "none.csv"))
