"""The profiles' rows: the exercise's ranges, realistic habits and frauds, the same rows for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from fraudstream.input.produce import PROFILES, Options, planned
from fraudstream.input.rows import CARD_TYPES, DEFAULT_TIME, KINDS, NAN_CENTS, amount_text, time_texts

MINUTE = 60_000_000


def rows(profile, count, seed=0, rate=2000.0):
    """The first `count` rows of a profile."""
    blocks = []
    for block in PROFILES[profile].rows(seed, rate):
        blocks.append(block)
        if sum(map(len, blocks)) >= count:
            return np.concatenate(blocks)[:count]
    raise AssertionError("a profile has no end")


def flat(step):
    """A step as plain values."""
    return [
        (each.first, each.copy, each.inserts.tolist(), each.updated.tolist(), each.values.tolist(),
         each.fields.tolist(), each.deleted.tolist())
        for each in step
    ]  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_seed_gives_the_same_transactions_with_their_updates_and_deletes(profile):
    options = Options(profile=profile, seed=5, update_share=0.05, delete_share=0.02)
    first, second = (list(map(flat, islice(planned(options), 40))) for _ in range(2))
    assert first == second
    assert any(each[3] for step in first for each in step)
    assert any(each[6] for step in first for each in step)


@pytest.mark.parametrize("profile", PROFILES)
def test_another_seed_gives_other_rows(profile):
    assert rows(profile, 1000, seed=1).tolist() != rows(profile, 1000, seed=2).tolist()


def test_exercise_rows_lie_in_the_exercises_ranges_and_reach_their_ends():
    found = rows("exercise", 200_000)
    assert (found["user_id"].min(), found["user_id"].max()) == (1000, 9999)
    assert found["cents"].min() in range(500, 510)
    assert found["cents"].max() in range(499_990, 500_001)
    assert set(found["merchant_id"].tolist()) == set(range(1, 501))
    assert set(found["card"].tolist()) == set(range(len(CARD_TYPES)))
    assert abs(found["cents"].mean() - 250_250) < 1500
    assert (found["at"] == DEFAULT_TIME).all()
    assert not found["kind"].any()


def test_exercise_transactions_are_batches_of_1000_inserts_and_nothing_else():
    for (only,) in islice(planned(Options()), 5):
        assert len(only.inserts) == only.changes() == 1000
        assert not only.copy


def test_a_realistic_minute_has_enough_frauds_of_every_kind_and_about_one_percent_in_all():
    found = rows("realistic", 120_000)
    kinds = Counter(found["kind"].tolist())
    for number in range(1, len(KINDS)):
        assert kinds[number] >= 100, KINDS[number]
    assert 0.005 < 1 - kinds[0] / len(found) < 0.015


def test_realistic_times_are_in_order_and_follow_the_rate():
    found = rows("realistic", 20_000, rate=1000.0)
    assert (np.diff(found["at"]) >= 0).all()
    assert 19_900_000 < found["at"][-1] < 20_000_000


def test_a_card_test_is_small_payments_and_then_a_large_one_within_a_minute():
    found = rows("realistic", 120_000)
    tests = found[found["kind"] == KINDS.index("card_testing")]
    begun_in_time = set(tests[tests["at"] < found["at"][-1] - MINUTE // 3]["user_id"].tolist())
    users = [user for user, count in Counter(tests["user_id"].tolist()).items() if count <= 8 and user in begun_in_time]
    assert len(users) >= 10
    for user in users:
        own = tests[tests["user_id"] == user]
        assert len(own) >= 5
        assert (own["cents"][:-1] <= 500).all()
        assert own["cents"][-1] >= 80_000
        assert own["at"][-1] - own["at"][0] < MINUTE


def test_victims_have_bought_at_least_five_times_before():
    found = rows("realistic", 40_000)
    jumps = np.flatnonzero(found["kind"] == KINDS.index("amount_jump"))
    assert len(jumps) > 20
    for place in jumps.tolist():
        assert (found["user_id"][:place] == found["user_id"][place]).sum() >= 5


def test_honest_realistic_users_repeat_their_card_and_stay_near_home():
    found = rows("realistic", 60_000)
    user = Counter(found["user_id"].tolist()).most_common(1)[0][0]
    own = found[(found["user_id"] == user) & (found["kind"] == 0)]
    assert len(set(own["card"].tolist())) == 1
    assert len(set(own["merchant_id"].tolist())) < 40


def test_amounts_and_times_are_written_as_postgresql_and_the_ledger_read_them():
    assert [amount_text(cents) for cents in (0, 5, 1234, 1_000_000, -7, NAN_CENTS)] == [
        "0.00", "0.05", "12.34", "10000.00", "-0.07", "NaN",
    ]  # fmt: skip
    start = np.datetime64("2026-11-23T06:41:51.5", "us")
    assert time_texts(np.array([0, -500_000, 1]), start) == [
        "2026-11-23T06:41:51.500000", "2026-11-23T06:41:51.000000", "2026-11-23T06:41:51.500001",
    ]  # fmt: skip
