"""The hot profile holds what a check needs to be able to fail. Counted here row by row, without the rules' code."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fraudstream.input.hot import rows
from fraudstream.input.plan import Cut, steps
from fraudstream.input.rows import NAN_CENTS, NULL_TIME, YEAR_1969, YEAR_2999

SECOND = 1_000_000
CUT = Cut(batch_size=250, mixed=True, update_share=0.02, delete_share=0.005)


@pytest.fixture(scope="module")
def transactions():
    """The database transactions of a minute at 2,000 rows/s (118,000 rows: a late start is allowed for)."""
    found, written = [], 0
    for step in steps(rows(0, 2000.0), CUT, 0):
        found.append(step)
        written += sum(len(each.inserts) for each in step)
        if written >= 118_000:
            return found
    raise AssertionError("hot has no end")


def histories(batches):
    """Per user the judgeable rows (time, cents), in the order of `batches`."""
    users: dict[int, list[tuple[int, int]]] = {}
    for batch in batches:
        for user, cents, at in zip(*(batch[name].tolist() for name in ("user_id", "cents", "at")), strict=True):
            if cents != NAN_CENTS and at not in (NULL_TIME, YEAR_2999, YEAR_1969):
                users.setdefault(user, []).append((at, cents))
    return users


def by_commit(transactions):
    return histories(each.inserts for step in transactions for each in reversed(step))


def anomaly(earlier, cents, last=50, least=3, over=0, floor=50_001):
    """Does an amount stand out? `over` 0: more than three times the mean; 1: that or more."""
    window = earlier[-last:]
    return len(window) >= least and cents * len(window) + over > 3 * sum(window) and cents >= floor


def test_anomaly_alerts_often_late_and_every_constant_decides_at_least_twenty_times(transactions):
    variants = {
        "49": {"last": 49}, "51": {"last": 51}, "all": {"last": 10**9}, ">=": {"over": 1},
        "least 2": {"least": 2}, "least 4": {"least": 4}, "floor 500.00": {"floor": 50_000}, "no floor": {"floor": 0},
    }  # fmt: skip
    found = Counter()
    for history in by_commit(transactions).values():
        amounts = [cents for _, cents in history]
        for place, cents in enumerate(amounts):
            alert = anomaly(amounts[:place], cents)
            found["alerts"] += alert
            found["late alerts"] += alert and place > 50
            found["late edges"] += place > 50 and cents * 50 == 3 * sum(amounts[place - 50 : place])
            for name, changed in variants.items():
                found[name] += anomaly(amounts[:place], cents, **changed) != alert
    assert found["alerts"] >= 100
    assert found["late alerts"] >= 20
    assert found["late edges"] >= 200
    assert {name: found[name] for name in variants if found[name] < 20} == {}


def count(earlier, at, newest, above=60 * SECOND, upto=0, lateness=600 * SECOND):
    """1 + how many of the earlier times lie less than `above` before `at` and at most `upto` after it, if visible."""
    return 1 + sum(
        at - above < time <= at + upto and time > newest - 60 * SECOND - lateness for time in earlier
    )  # fmt: skip


def test_velocity_alerts_often_and_every_edge_decides_at_least_twenty_times(transactions):
    variants = {
        "lower end closed": {"above": 60 * SECOND + 1}, "lower end later": {"above": 60 * SECOND - 1},
        "61 s": {"above": 61 * SECOND}, "59 s": {"above": 59 * SECOND}, "nothing evicted": {"above": 10**18},
        "upper end open": {"upto": -1}, "upper end none": {"upto": 10**18}, "any lateness": {"lateness": 10**18},
        "lateness closed": {"lateness": 600 * SECOND + 1}, "lateness shorter": {"lateness": 600 * SECOND - 1},
    }  # fmt: skip
    found = Counter()
    for history in by_commit(transactions).values():
        times = [at for at, _ in history]
        for place, (at, cents) in enumerate(history):
            if cents < 400_000:
                continue
            earlier, newest = times[:place], max(times[: place + 1])
            n = count(earlier, at, newest)
            alert = n > 5 and cents > 400_000
            found["alerts"] += alert
            found["count >= 5"] += (n >= 5 and cents > 400_000) != alert
            found["amount >= 4000"] += (n > 5) != alert
            for name, changed in variants.items():
                found[name] += (count(earlier, at, newest, **changed) > 5 and cents > 400_000) != alert
    assert found["alerts"] >= 100
    variants |= {"count >= 5": {}, "amount >= 4000": {}}
    assert {name: found[name] for name in variants if found[name] < 20} == {}


def test_the_order_of_ids_in_place_of_commits_gives_other_answers(transactions):
    """Ids are given while transactions are open, commits come later: A first in ids, B first in commits."""

    def alerts(users):
        return {
            (user, at, cents)
            for user, history in users.items()
            for place, (at, cents) in enumerate(history)
            if anomaly([amount for _, amount in history[:place]], cents)
        }

    by_id = histories(each.inserts for step in transactions for each in step)
    assert len(alerts(by_commit(transactions)) ^ alerts(by_id)) >= 20


def test_amounts_stand_exactly_on_the_limits_of_the_rules(transactions):
    cents = Counter(np.concatenate([each.inserts["cents"] for step in transactions for each in step]).tolist())
    for limit in (50_000, 400_000, 450_000):
        assert cents[limit] >= 20
        assert cents[limit + 1] >= 20


def test_there_are_interleaved_transactions_copies_moves_and_few_unjudgeable_rows(transactions):
    assert sum(len(step) == 2 for step in transactions) >= 20
    assert sum(each.copy for step in transactions for each in step) >= 20
    assert sum(int((each.fields == 3).sum()) for step in transactions for each in step) >= 20
    assert sum(len(each.deleted) for step in transactions for each in step) >= 20
    inserts = np.concatenate([each.inserts for step in transactions for each in step])
    forms = [int((inserts["cents"] == NAN_CENTS).sum())]
    forms += [int((inserts["at"] == form).sum()) for form in (NULL_TIME, YEAR_2999, YEAR_1969)]
    assert all(20 <= count < len(inserts) / 500 for count in forms)


def test_users_are_few_and_times_stay_within_a_day_of_the_present(transactions):
    inserts = np.concatenate([each.inserts for step in transactions for each in step])
    assert len(set(inserts["user_id"].tolist())) < 500
    known = inserts["at"][inserts["at"] > YEAR_1969]
    assert known.min() > -24 * 3600 * SECOND
    assert known.max() < 12 * 3600 * SECOND


def test_amounts_drift_so_that_the_means_of_windows_differ(transactions):
    for history in by_commit(transactions).values():
        amounts = [cents for _, cents in history]
        if len(amounts) > 200 and max(amounts) < 390_000:
            means = [sum(amounts[place : place + 50]) for place in range(0, len(amounts) - 50, 50)]
            assert max(means) > 1.5 * min(means)
