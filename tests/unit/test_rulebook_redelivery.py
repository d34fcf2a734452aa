"""Which rows enter a user's history: redelivered ones, their horizon, and rows of a snapshot."""

from __future__ import annotations

import pytest

from fraudstream.rulebook.fold import fold, state_of
from unit.histories import TOPIC, alerting, batch, folded, row, rule_of

ANOMALY, VELOCITY = rule_of("anomaly: {}"), rule_of("velocity: {}")
JUDGE = rule_of("anomaly: {snapshot: judge}")
CUTS = [(), range(500)]
pytestmark = pytest.mark.parametrize("cuts", CUTS, ids=["one batch", "a batch per row"])


def counts(rule, rows, cuts) -> dict[str, int]:
    return {name: count for name, count in folded(rule, rows, cuts)[1].items() if count}


def test_a_repeated_transaction_enters_once(cuts):
    rows = [row(1), row(2), row(1), row(2), row(3)]
    assert counts(ANOMALY, rows, cuts) == {"judged": 3, "redelivered": 2}
    # With its copies 10 would stand three times in the history, and 600 be over three times the mean.
    assert alerting(ANOMALY, [row(1, 10), row(1, 10), row(1, 10), row(2, 600)], cuts) == []


def test_the_first_offset_of_a_repeated_transaction_wins(cuts):
    rows = [row(1, 10), row(2, 10), row(3, 10), row(3, 9000), row(4, 50)]
    assert alerting(ANOMALY, rows, cuts) == []


def test_the_64th_transaction_back_is_recognised_and_the_65th_is_not(cuts):
    assert counts(ANOMALY, [*map(row, range(1, 65)), row(1)], cuts) == {"judged": 64, "redelivered": 1}
    assert counts(ANOMALY, [*map(row, range(1, 66)), row(1)], cuts) == {"judged": 66}


def test_a_longer_history_remembers_longer(cuts):
    rule = rule_of("anomaly: {parameters: {history: 70}}")
    assert counts(rule, [*map(row, range(1, 71)), row(1)], cuts) == {"judged": 70, "redelivered": 1}
    assert counts(rule, [*map(row, range(1, 72)), row(1)], cuts) == {"judged": 72}


def test_a_redelivered_row_does_not_push_others_out(cuts):
    # 64 rows, then the last of them again and again: the first is still the 64th.
    rows = [*map(row, range(1, 65)), row(64), row(64), row(1)]
    assert counts(ANOMALY, rows, cuts) == {"judged": 64, "redelivered": 3}


def test_a_row_that_entered_again_is_the_one_that_counts(cuts):
    rows = [*map(row, range(1, 66)), row(1), row(1), *map(row, range(66, 129)), row(1)]
    assert counts(ANOMALY, rows, cuts) == {"judged": 65 + 1 + 63, "redelivered": 2}


def test_a_time_window_recognises_what_lies_within_it_and_the_lateness(cuts):
    # 1 lies 660 s behind the newest time: gone; 2 a microsecond less: kept by its time, though 66 entered after it.
    first, second = row(1, at=0), row(2, at=0.000001)
    rows = [first, second, *(row(n, at=660) for n in range(3, 69)), first, second]
    assert counts(VELOCITY, rows, cuts) == {"judged": 69, "redelivered": 1}


def test_another_users_transaction_of_the_same_id_is_another(cuts):
    assert counts(ANOMALY, [row(1, user=1), row(1, user=2)], cuts) == {"judged": 2}


def test_ids_that_do_not_rise_are_no_redelivery(cuts):
    assert counts(ANOMALY, [row(5), row(3), row(4), row(1), row(3)], cuts) == {"judged": 4, "redelivered": 1}


def test_a_snapshot_row_joins_the_history_unjudged(cuts):
    rows = [*(row(n, 10, judge=False) for n in (1, 2)), row(3, 9000, judge=False), row(4, 10_000)]
    assert counts(ANOMALY, rows, cuts) == {"judged": 1, "history": 3}
    assert alerting(ANOMALY, rows, cuts) == [4]


def test_a_snapshot_row_of_a_user_with_an_insert_is_superseded(cuts):
    rows = [row(1, judge=False), row(2), row(3, judge=False), row(4, user=2, judge=False), row(1, judge=False)]
    assert counts(ANOMALY, rows, cuts) == {"judged": 1, "history": 2, "superseded": 1, "redelivered": 1}


def test_a_superseded_row_leaves_no_id_behind(cuts):
    assert counts(ANOMALY, [row(1), row(2, judge=False), row(2)], cuts) == {"judged": 2, "superseded": 1}


def test_a_redelivered_insert_makes_no_snapshot_row_superseded(cuts):
    rows = [row(1, judge=False), row(1), row(2, judge=False)]
    assert counts(ANOMALY, rows, cuts) == {"history": 2, "redelivered": 1}


def test_an_insert_is_remembered_when_its_row_has_long_left(cuts):
    rows = [row(1), *map(row, range(2, 100)), *(row(n, judge=False) for n in (200, 201, 202))]
    assert counts(ANOMALY, rows, cuts) == {"judged": 99, "superseded": 3}


def test_snapshot_judge_judges_the_snapshot_rows_that_enter(cuts):
    rows = [*(row(n, 10, judge=False) for n in (1, 2, 3)), row(4, 600, judge=False), row(5), row(6, 9000, judge=False)]
    assert counts(JUDGE, rows, cuts) == {"judged": 5, "superseded": 1}
    assert alerting(JUDGE, rows, cuts) == [4]


def test_rows_of_a_batch_may_stand_in_any_order(cuts):
    rows = [{**row(n, 10 + n, user=n % 3), "offset": n} for n in range(1, 40)]
    rows.append({**row(40, 5000, user=1), "offset": 40})
    shuffled = sorted(rows, key=lambda each: each["id"] * 17 % 41)
    straight, mixed = (fold(ANOMALY, None, batch(each), TOPIC) for each in (rows, shuffled))
    assert straight == mixed
    assert [alert["transaction_id"] for alert in mixed.alerts] == [40]


def test_users_that_a_batch_does_not_touch_keep_their_rows(cuts):
    first, others = [row(n, 10, user=1) for n in (1, 2, 3)], [row(n, 10, user=2 + n) for n in range(10, 90)]
    assert alerting(ANOMALY, [*first, *others, row(4, 600, user=1)], cuts=[3, 50, 83]) == [4]


def test_a_rule_seeded_with_a_history_goes_on_as_if_it_had_seen_it(cuts):
    rows = [{**row(n, 10, at=n, user=n % 2), "offset": n} for n in range(20)]
    later = [{**row(20, 5000, user=0), "offset": 20}, {**row(5, 10, user=1), "offset": 21}]
    seeded = fold(ANOMALY, state_of(ANOMALY, batch(rows)), batch(later), TOPIC)
    assert ([alert["transaction_id"] for alert in seeded.alerts], seeded.redelivered) == ([20], 1)


def test_a_batch_of_no_rows_changes_nothing(cuts):
    state = fold(VELOCITY, None, batch([row(1, offset=1)]), TOPIC).state
    empty = fold(VELOCITY, state, batch([]), TOPIC)
    assert (empty.state, empty.alerts, empty.judged) == (state, [], 0)
    assert fold(VELOCITY, None, batch([]), TOPIC).judged == 0
