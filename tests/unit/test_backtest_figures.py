"""The figures of a backtest, worked out by hand on ten transactions, and what is known at a moment."""

from __future__ import annotations

import numpy as np
import pytest

from fraudstream.backtest.figures import Period, card_precision, figures, period_of
from fraudstream.backtest.source import History
from fraudstream.backtest.truth import FRAUD, HONEST, UNKNOWN, Label, Truth, confirmed, truth_at
from fraudstream.rulebook.exact import NULL

DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000
FIRST = 20_513 * DAY  # 2026-03-01
KINDS = ("", "burst", "card", "holiday")
# user, amount, time, state, kind, episode, score of the alert (None: no alert)
ROWS = [
    (1, 100, 10 * HOUR, FRAUD, "burst", 1, None),
    (1, 200, 10 * HOUR + 5 * MINUTE, FRAUD, "burst", 1, 5),
    (2, 50, 11 * HOUR, HONEST, "", 0, 9),
    (3, 10, 12 * HOUR, FRAUD, "card", 2, None),
    (4, 300, 13 * HOUR, UNKNOWN, "", 0, 1),
    (1, 400, DAY + 1 * HOUR, FRAUD, "burst", 1, 7),
    (3, 20, DAY + 2 * HOUR, FRAUD, "card", 2, None),
    (2, 60, DAY + 3 * HOUR, HONEST, "holiday", 0, 2),
    (6, 70, DAY + 4 * HOUR, HONEST, "", 0, None),
    (7, 500, DAY + 5 * HOUR, FRAUD, "card", 3, 3),
]
ALERTED = np.array([row[6] is not None for row in ROWS])
SCORES = np.array([row[6] or 0 for row in ROWS], dtype=float)


@pytest.fixture
def period() -> Period:
    users, amounts, times, states, kinds, episodes, _ = (np.array(column) for column in zip(*ROWS, strict=True))
    numbers = np.array([KINDS.index(kind) for kind in kinds])
    truth = Truth(states, numbers, episodes, KINDS)
    return Period(FIRST, FIRST + 2 * DAY, np.arange(10), users, amounts * 100, times + FIRST, truth)


def test_the_confusion_matrix_and_its_shares(period):
    found = figures(period, ALERTED)
    # Alerts on 1, 5, 9 (fraud), 2, 7 (honest) and 4 (unknown); frauds without one are 0, 3, 6.
    assert [found[name] for name in ("alerts", "tp", "fp", "fn", "tn", "unknown")] == [6, 3, 2, 3, 1, 1]
    assert found["precision"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx(3 / 6)
    assert found["f1"] == pytest.approx(6 / 11, abs=1e-6)
    assert found["false_alarms_per_10_000"] == pytest.approx(10_000 * 2 / 3, abs=1e-6)
    assert (found["fraud_cents"], found["caught_cents"]) == (123_000, 110_000)
    assert found["money_share"] == pytest.approx(1100 / 1230, abs=1e-6)
    assert (found["by_day"], found["alerts_per_day"]) == ([3, 3], 3)
    assert found["users_per_day"] == 3  # 1, 2, 4 and 1, 2, 7


def test_time_to_detection_is_from_a_frauds_first_payment_to_its_first_alert(period):
    found = figures(period, ALERTED)
    # Burst 1 after 5 minutes, card 3 at once, card 2 never.
    assert (found["episodes"], found["episodes_found"]) == (3, 2)
    assert (found["detection_p50_s"], found["detection_p90_s"]) == (150, 300)
    none = figures(period, np.zeros(10, dtype=bool))
    assert (none["episodes_found"], none["detection_p50_s"], none["precision"], none["recall"]) == (0, None, None, 0)


def test_each_kind_has_its_own_figures(period):
    kinds = figures(period, ALERTED)["kinds"]
    assert list(kinds) == ["burst", "card", "holiday"]
    burst, card, holiday = kinds.values()
    assert (burst["transactions"], burst["alerts"], burst["episodes"]) == (3, 2, 1)
    assert burst["money_share"] == pytest.approx(600 / 700, abs=1e-6)
    assert (card["transactions"], card["alerts"], card["episodes"], card["episodes_found"]) == (3, 1, 2, 1)
    assert card["share"] == pytest.approx(1 / 3, abs=1e-6)
    assert holiday == {"fraud": False, "transactions": 1, "alerts": 1, "share": 1.0}


@pytest.mark.parametrize(
    ("k", "hits", "looked_at"),
    # Day 1 in the order of scores: users 2, 1, 4, of whom 1 is defrauded; day 2: 1, 7, 2, of whom 1 and 7 are. Who was
    # found on day 1 is not looked at on day 2.
    [(1, 0 + 1, 1 + 1), (2, 1 + 1, 2 + 2), (5, 1 + 1, 3 + 2)],
)
def test_card_precision_looks_at_the_k_highest_scores_of_each_day(period, k, hits, looked_at):
    found = card_precision(period, ALERTED, SCORES, k)
    assert found["card_precision"] == pytest.approx(hits / (2 * k))
    assert found["checked_per_day"] == looked_at / 2
    assert found["checked_precision"] == pytest.approx(hits / looked_at)
    assert found["cards_found"] == hits


def test_of_equal_scores_the_larger_amount_is_looked_at_first(period):
    # Day 1: user 4 with 300.00, not known to be fraud; day 2: user 7 with 500.00.
    assert card_precision(period, ALERTED, np.zeros(10), 1)["card_precision"] == 0.5


def history(times: list[int]) -> History:
    count = len(times)
    nothing = np.full(count, NULL)
    return History("test", "t", {
        "id": np.arange(1, count + 1), "user_id": np.arange(count) % 2, "created_at": np.array(times),
        "cents": np.full(count, 100), "judge": np.ones(count, dtype=bool), "captured_ms": nothing,
    })  # fmt: skip


def states(known: Truth) -> list[int]:
    return known.state.tolist()


def test_a_label_is_seen_from_its_time_on_and_the_newest_counts():
    rows = history([0, 1, 2])
    labels = [
        Label(1, "confirmed", 10),
        Label(1, "dismissed", 20),
        Label(2, "dismissed", 10),
        Label(2, "confirmed", 10),
    ]
    for moment, first, second in ((9, UNKNOWN, UNKNOWN), (10, FRAUD, FRAUD), (19, FRAUD, FRAUD), (20, HONEST, FRAUD)):
        assert states(truth_at(rows, labels, moment, "unknown", 5)) == [first, second, UNKNOWN]
    assert states(truth_at(rows, labels, None, "unknown", 5)) == [HONEST, FRAUD, UNKNOWN]


def test_without_a_label_a_transaction_is_honest_once_it_is_as_old_as_the_delay():
    rows = history([0, 50, 100])
    assert states(truth_at(rows, [], 149, "honest", 50)) == [HONEST, HONEST, UNKNOWN]
    assert states(truth_at(rows, [], 150, "honest", 50)) == [HONEST, HONEST, HONEST]
    assert states(truth_at(rows, [Label(3, "confirmed", 120)], 149, "honest", 50)) == [HONEST, HONEST, FRAUD]


def test_frauds_without_an_episode_are_one_for_each_user():
    rows = history([0, 1, 2, 3])
    labels = [Label(number, "confirmed", 5) for number in (1, 2, 3)]
    found = truth_at(rows, labels, None, "unknown", 0)
    assert found.episode.tolist() == [1, 2, 1, 0]
    assert found.kinds == ("", "fraud")
    named = [Label(1, "confirmed", 5, "a", 7), Label(2, "confirmed", 5, "a", 7), Label(3, "confirmed", 5, "b", 7)]
    assert truth_at(rows, named, None, "unknown", 0).episode.tolist() == [1, 1, 2, 0]


def test_a_rule_gets_a_fraud_from_its_first_confirmation_on():
    labels = [Label(5, "confirmed", 20), Label(5, "confirmed", 10), Label(4, "dismissed", 1), Label(3, "confirmed", 30)]
    found = confirmed(labels)
    assert (found.ids, found.times) == ((3, 5), (30, 10))


def test_a_period_has_each_transaction_once_and_only_those_that_were_inserted():
    rows = history([0, 10, 20, 30])
    rows.batch["id"][:] = [1, 2, 2, 3]
    rows.batch["judge"][:] = [False, True, True, True]
    known = truth_at(rows, [], None, "unknown", 0)
    assert period_of(rows, known, 0, 31).place.tolist() == [1, 3]
    assert period_of(rows, known, 0, 30).place.tolist() == [1]
    assert period_of(rows, known, 0, 31, snapshot=True).place.tolist() == [0, 1, 3]
