"""The desk, cases, quality and budgets, by hand."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.errors import FraudstreamError
from fraudstream.triage.budget import parse_budgets, spent
from fraudstream.triage.cases import cases
from fraudstream.triage.desk import Alert, Label, Snooze, desk_at
from fraudstream.triage.quality import Fraud, RuleQuality, quality
from fraudstream.triage.times import duration, moment

HOUR = 3_600_000_000
DAY = 24 * HOUR
FIRST_OF_MARCH = 20_513  # 2026-03-01 as days since 1970


def alert(name: str, at: float, user: int = 7, rule: str = "anomaly", transaction: int | None = None, **more) -> Alert:
    """An alert `at` hours, of 10.00 on a transaction of its own."""
    number = transaction if transaction is not None else sum(map(ord, name))
    return Alert(name, rule, user, number, 1000, round(at * HOUR), **more)


def label(transaction: int, word: str, at: float = 0) -> Label:
    return Label(transaction, word, round(at * HOUR))


def snooze(since: float, until: float, user: int = 7, rule: str = "anomaly") -> Snooze:
    return Snooze(user, rule, round(since * HOUR), round(until * HOUR))


def test_the_newest_label_of_a_transaction_counts_and_of_two_at_once_the_confirmed_one():
    labels = [label(1, "dismissed", 2), label(1, "confirmed", 1), label(2, "confirmed", 3), label(2, "dismissed", 3)]
    desk = desk_at(None, [], labels, [])
    assert {number: each.label for number, each in desk.labels.items()} == {1: "dismissed", 2: "confirmed"}


def test_what_comes_after_the_moment_is_not_known():
    labels = [label(1, "confirmed", 2.01), label(2, "confirmed", 2)]
    desk = desk_at(2 * HOUR, [alert("a", 2), alert("b", 2.01)], labels, [snooze(2.01, 9), snooze(2, 9)])
    assert [each.alert_id for each in desk.alerts] == ["a"]
    assert (list(desk.labels), list(desk.snoozes)) == ([2], [snooze(2, 9)])


def test_without_a_moment_it_is_the_newest_alert_and_every_decision_is_known():
    desk = desk_at(None, [alert("a", 2), alert("b", 1)], [label(1, "confirmed", 4)], [snooze(3, 90)])
    assert (desk.at, list(desk.labels), len(desk.snoozes)) == (2 * HOUR, [1], 1)
    assert desk_at(None, [], [label(1, "confirmed", 4)], []).at == 0


@pytest.mark.parametrize(
    ("at", "snoozed"),
    [(0.99, False), (1, True), (4.99, True), (5, True), (6.99, True), (7, False), (9, False)],
)
def test_a_snooze_covers_its_beginning_and_not_its_end_and_a_newer_one_replaces_it(at, snoozed):
    # From 5 on the second snooze is the newest: it ends the first one's time, to 10, at 7.
    desk = desk_at(None, [alert("a", at)], [], [snooze(5, 7), snooze(1, 10)])
    assert desk.is_snoozed(desk.alerts[0]) is snoozed


def test_a_snooze_is_of_one_user_and_one_rule_and_an_end_ends_it():
    alerts = [alert("a", 3), alert("b", 3, user=8), alert("c", 3, rule="velocity"), alert("d", 4)]
    desk = desk_at(None, alerts, [], [snooze(1, 10), snooze(4, 4)])
    assert [each.alert_id for each in desk.alerts if desk.is_snoozed(each)] == ["a"]
    assert [desk.is_replaced(each) for each in desk.snoozes] == [True, False]


def test_of_two_snoozes_that_begin_together_the_shorter_one_counts():
    desk = desk_at(None, [alert("a", 1), alert("b", 2)], [], [snooze(1, 9), snooze(1, 2), snooze(2, 3)])
    assert [desk.snooze(each) for each in desk.alerts] == [snooze(1, 2), snooze(2, 3)]
    assert [desk.is_replaced(each) for each in desk.snoozes] == [True, False, False]


def test_alerts_within_the_gap_are_one_case_and_each_transaction_counts_once():
    alerts = [
        alert("a", 0, transaction=1), alert("b", 0, transaction=1, rule="velocity"), alert("c", 24, transaction=2),
        alert("d", 48.1, transaction=3), alert("e", 1, user=8, transaction=4),
    ]  # fmt: skip
    found = cases(desk_at(None, alerts, [label(2, "confirmed")], []), DAY)
    assert [(case.user_id, case.alert_ids, case.status) for case in found] == [
        (7, ("a", "b", "c"), "confirmed"),
        (8, ("e",), "open"),
        (7, ("d",), "open"),
    ]
    first = found[0]
    assert (first.alerts, first.transactions, first.cents, first.confirmed) == (3, 2, 2000, 1)
    assert (first.rules, first.first, first.last) == (("anomaly", "velocity"), 0, 24 * HOUR)
    assert first.case_id == hashlib.sha256(b"case|7|a").hexdigest()[:12]


@pytest.mark.parametrize(
    ("labels", "snoozes", "withdrawn", "status"),
    [
        ([], [], (False, False), "open"),
        ([label(1, "dismissed")], [], (False, False), "open"),
        ([label(1, "dismissed"), label(2, "dismissed")], [], (False, False), "dismissed"),
        ([label(1, "dismissed"), label(2, "confirmed")], [], (False, False), "confirmed"),
        ([], [snooze(0, 9)], (False, False), "snoozed"),
        ([], [snooze(0.5, 9)], (False, False), "open"),
        ([label(1, "dismissed")], [snooze(0.5, 9)], (False, False), "snoozed"),
        ([], [], (True, True), "withdrawn"),
        ([label(1, "dismissed")], [], (False, True), "dismissed"),
        ([], [snooze(0, 9)], (True, False), "snoozed"),
    ],
)
def test_the_status_of_a_case(labels, snoozes, withdrawn, status):
    alerts = [
        alert("a", 0, transaction=1, withdrawn=withdrawn[0]),
        alert("b", 1, transaction=2, withdrawn=withdrawn[1]),
    ]
    (case,) = cases(desk_at(None, alerts, labels, snoozes), DAY)
    assert case.status == status


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99)), max_size=30), st.integers(0, 30), st.randoms())
def test_cases_share_out_all_alerts_and_their_order_does_not_matter(rows, gap, random):
    alerts = [alert(f"{place:02}", at, user=user) for place, (user, at) in enumerate(rows)]
    found = cases(desk_at(None, alerts, [], []), gap * HOUR)
    assert sorted(each for case in found for each in case.alert_ids) == sorted(each.alert_id for each in alerts)
    for case in found:
        times = sorted(each.at for each in alerts if each.alert_id in case.alert_ids)
        assert all(later - earlier <= gap * HOUR for earlier, later in pairwise(times))
        others = [each.at for each in alerts if each.user_id == case.user_id and each.alert_id not in case.alert_ids]
        assert all(at < case.first - gap * HOUR or at > case.last + gap * HOUR for at in others)
    random.shuffle(alerts)
    assert cases(desk_at(None, alerts, [], []), gap * HOUR) == found


def test_quality_counts_transactions_by_their_labels_and_names_the_misses():
    # The day from hour 24 (left out) to hour 48. Frauds of it: 1, 2 and 9; 9 has no alert, 8 is older, 7 is unknown.
    alerts = [
        alert("old", 24, transaction=8), alert("a", 25, transaction=1), alert("a2", 26, transaction=1),
        alert("b", 48, transaction=3), alert("c", 30, transaction=2, rule="velocity"),
        alert("d", 31, transaction=4, rule="velocity"), alert("e", 32, transaction=9, rule="velocity", withdrawn=True),
    ]  # fmt: skip
    words = {1: "confirmed", 2: "confirmed", 3: "dismissed", 7: "confirmed", 8: "confirmed", 9: "confirmed"}
    labels = [label(number, word, at=40) for number, word in words.items()]
    times = {1: 25, 2: 30, 8: 24, 9: 32}
    known = {number: Fraud(number, 7, 1000, at * HOUR) for number, at in times.items()}
    desk = desk_at(48 * HOUR, alerts, labels, [snooze(31, 33, rule="velocity")])
    found = quality(desk, 1, ["high_amount"], known)
    assert found.rules == (
        RuleQuality("anomaly", alerts=3, snoozed=0, withdrawn=0, confirmed=1, dismissed=1, unlabelled=0,
                    confirmed_cents=1000),
        RuleQuality("high_amount", 0, 0, 0, 0, 0, 0, 0),
        RuleQuality("velocity", alerts=3, snoozed=2, withdrawn=1, confirmed=1, dismissed=0, unlabelled=1,
                    confirmed_cents=1000),
    )  # fmt: skip
    assert [fraud.transaction_id for fraud in found.frauds] == [1, 2, 9]
    assert [fraud.transaction_id for fraud in found.missed] == [9]
    assert (found.since, found.until, found.undated) == (24 * HOUR, 48 * HOUR, 1)


def test_a_budget_is_exceeded_by_more_alerts_on_a_day_than_it_allows():
    # Days as they begin at midnight UTC: two alerts on the first of three days, one on the last, one day before all.
    start = FIRST_OF_MARCH * 24
    alerts = [alert("a", start - 0.1), alert("b", start), alert("c", start + 23.9), alert("d", start + 48)]
    found = spent(desk_at(round((start + 49) * HOUR), alerts, [], [snooze(start, start + 1)]), 3, {"anomaly": 1})
    (anomaly,) = found
    assert anomaly.by_day == {FIRST_OF_MARCH: 2, FIRST_OF_MARCH + 1: 0, FIRST_OF_MARCH + 2: 1}
    assert (anomaly.days_over, anomaly.snoozed) == ([FIRST_OF_MARCH], 1)
    (same, other) = spent(desk_at(round((start + 49) * HOUR), alerts, [], []), 3, {"anomaly": 2, "velocity": 0})
    assert (same.days_over, other.rule, other.days_over) == ([], "velocity", [])


def test_a_budget_is_written_as_a_number_a_day():
    assert parse_budgets("anomaly=50/day, velocity=0/day,") == {"anomaly": 50, "velocity": 0}
    for text in ("anomaly", "anomaly=50", "anomaly=-1/day", "anomaly=1.5/day", "anomaly=5/week"):
        with pytest.raises(FraudstreamError, match=r"--budget: .* is no budget; write it like 50/day"):
            parse_budgets(text)


def test_moments_are_utc_unless_they_say_otherwise_and_durations_are_positive():
    noon = (FIRST_OF_MARCH * 24 + 12) * HOUR
    assert {moment(text, "--at") for text in ("2026-03-01T12:00", "2026-03-01T12:00Z", "2026-03-01 14:00+02:00")} == {
        noon
    }
    for text in ("yesterday", "2026-13-01", "0001-01-01T00:00+23:00", ""):
        with pytest.raises(FraudstreamError, match=r"--at is .*; write a time like"):
            moment(text, "--at")
    for text in ("1969-12-31T23:59:59Z", "9999-01-01"):
        with pytest.raises(FraudstreamError, match="its year must be from 1970 to 8999"):
            moment(text, "--at")
    assert duration("7d", "--for") == 7 * DAY
    for text in ("-7d", "7", "7 days", "0s", "9999d", "1.5h"):
        with pytest.raises(FraudstreamError, match="--for"):
            duration(text, "--for")
