from __future__ import annotations

import pytest

from unit.histories import alerting, folded, row, rule_of

VELOCITY = rule_of("velocity: {}")
CUTS = [(), range(100)]


def paid(*times: float, last: str | int = "4000.01", **more) -> list:
    """Rows of one user at these seconds; the last one's amount is over 4000, the others' are not."""
    rows = [row(number, 10, at) for number, at in enumerate(times[:-1], start=1)]
    return [*rows, row(len(times), last, times[-1], **more)]


@pytest.mark.parametrize("cuts", CUTS)
def test_the_sixth_transaction_within_a_minute_is_one_too_many(cuts):
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4), cuts) == []
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4, 5), cuts) == [6]


def test_exactly_4000_is_not_a_large_amount():
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4, 5, last="4000.00")) == []
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4, 5, last="4000.01")) == [6]


@pytest.mark.parametrize("cuts", CUTS)
def test_a_transaction_60_seconds_ago_is_out_and_a_microsecond_less_is_in(cuts):
    assert alerting(VELOCITY, paid(0, 56, 57, 58, 59, 60), cuts) == []
    assert alerting(VELOCITY, paid(0.000001, 56, 57, 58, 59, 60), cuts) == [6]


@pytest.mark.parametrize("cuts", CUTS)
def test_transactions_at_the_same_moment_count(cuts):
    assert alerting(VELOCITY, paid(0, 0, 0, 0, 0, 0), cuts) == [6]


@pytest.mark.parametrize("cuts", CUTS)
def test_the_edges_hold_where_times_are_out_of_order(cuts):
    # The first row is later than all others, so the user's times are out of order throughout.
    assert alerting(VELOCITY, paid(300, 0, 56, 57, 58, 59, 60), cuts) == []
    assert alerting(VELOCITY, paid(300, 0.000001, 56, 57, 58, 59, 60), cuts) == [7]
    assert alerting(VELOCITY, paid(300, 60, 60, 60, 60, 60, 60), cuts) == [7]


@pytest.mark.parametrize("cuts", CUTS)
def test_a_row_that_comes_late_is_out_on_the_edge_and_in_a_microsecond_after_it(cuts):
    assert alerting(VELOCITY, paid(56, 57, 58, 59, 0, 60), cuts) == []
    assert alerting(VELOCITY, paid(56, 57, 58, 59, 0.000001, 60), cuts) == [6]


@pytest.mark.parametrize("cuts", CUTS)
def test_a_later_time_is_not_seen_by_an_earlier_one(cuts):
    assert alerting(VELOCITY, paid(11, 0, 1, 2, 3, 10), cuts) == []
    assert alerting(VELOCITY, paid(10, 0, 1, 2, 3, 10), cuts) == [6]


@pytest.mark.parametrize("cuts", CUTS)
def test_what_lies_11_minutes_behind_the_newest_time_is_not_visible(cuts):
    # The newest time is 660 s after the first of five: then that one is gone; a microsecond less, and it counts.
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4, 660, 5), cuts) == []
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4, 659.999999, 5), cuts) == [7]


def test_the_own_time_may_be_the_newest():
    assert alerting(VELOCITY, paid(0, 700, 701, 702, 703, 704)) == []
    assert alerting(VELOCITY, paid(0, 700, 701, 702, 703, 704, 705)) == [7]


@pytest.mark.parametrize("cuts", CUTS)
def test_far_more_than_the_remembered_rows_can_lie_in_the_window(cuts):
    rule = rule_of("velocity: {parameters: {more_than: 90}}")
    assert alerting(rule, paid(*[0] * 90), cuts) == []
    assert alerting(rule, paid(*[0] * 91), cuts) == [91]


def test_a_score_of_exactly_70_is_no_alert():
    by_30, by_31 = (rule_of(f"velocity: {{parameters: {{surcharge: {{AMEX: {points}}}}}}}") for points in (30, "30.5"))
    rows = paid(0, 1, 2, 3, 4, 5, last=10, card_type="AMEX")  # 40 for the count
    assert alerting(by_30, rows) == []
    alert = folded(by_31, rows)[0][0]
    assert (alert["transaction_id"], alert["score"]) == (6, "70.50")


def test_a_surcharge_is_for_its_card_type_alone():
    rule = rule_of("velocity: {parameters: {surcharge: {AMEX: 80, VISA: 20.5}}}")
    assert [alert["score"] for alert in folded(rule, [row(1, 10, card_type="AMEX")])[0]] == ["80.00"]
    assert alerting(rule, [row(1, 10, card_type="VISA"), row(2, 10, card_type=None)]) == []
    # 50 for the amount and 20.5: the points of one table may have different denominators.
    assert [alert["score"] for alert in folded(rule, [row(1, 4001, card_type="VISA")])[0]] == ["70.50"]


def test_the_count_alone_and_the_amount_alone_are_no_alert():
    assert alerting(VELOCITY, paid(0, 1, 2, 3, 4, 5, last=10)) == []
    assert alerting(VELOCITY, [row(1, 9000)]) == []


def test_an_alert_says_what_the_rule_saw():
    alert = folded(VELOCITY, paid(0, 1, 2, 3, 4, 5, 6))[0][0]
    assert alert["evidence"] == {"count": 7}
    assert alert["score"] == 90
    assert alert["reason"] == "7 transactions within 60s, this one of 4000.01: score 90"


def test_event_times_decades_apart_are_handled():
    decades = 60 * 365 * 86_400
    assert alerting(VELOCITY, paid(0, decades, decades, decades, decades, decades, decades)) == [7]
    spread = [row(user, 10, at=user * 1000, user=user) for user in range(100, 200)]
    assert alerting(VELOCITY, [*spread, *paid(0, 1, 2, 3, 4, 5 * decades, 5)]) == []
