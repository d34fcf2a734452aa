"""The labelled world: the handbook's own figures, its scenarios told from the rows alone, and the files."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import simulate_world
from fraudstream.errors import FraudstreamError
from fraudstream.input.world import DAY, FRAUDS, KINDS, SECOND, Size, payments, people, with_frauds
from fraudstream.input.world_files import make_world

SMALL = Size(customers=120, terminals=240, days=60, radius=12.0)
DAYTIME_SHARE = 0.969  # of a normal time of day (noon, 20,000 s) between midnight and midnight


def kind_of(world) -> list[str]:
    return [KINDS[kind] for kind in world.rows["kind"].tolist()]


@pytest.fixture(scope="module")
def handbook():
    """The size of the handbook: 1,754,155 transactions, 14,681 of them fraud (978, 9,099 and 4,604 by scenario)."""
    return make_world(Size(), 1, handbook_only=True)


def test_the_handbooks_size_gives_the_handbooks_figures(handbook):
    counts = Counter(kind_of(handbook))
    total, frauds = len(handbook.rows), sum(counts[kind] for kind in FRAUDS)
    assert total == pytest.approx(1_754_155, rel=0.03)
    assert frauds / total == pytest.approx(0.00837, abs=0.0006)
    assert counts["large_amount"] == pytest.approx(978, rel=0.2)
    assert counts["compromised_terminal"] == pytest.approx(9_099, rel=0.1)
    assert counts["leaked_credentials"] == pytest.approx(4_604, rel=0.1)


def test_amounts_and_times_are_distributed_as_described(handbook):
    honest = handbook.rows[handbook.rows["kind"] == 0]
    # Means are uniform from 5 to 100 and independent of the number of payments: 52.50 a payment. A negative amount (two
    # standard deviations below: 2.3 %) is drawn again around the same mean.
    assert honest["cents"].mean() == pytest.approx(5250, rel=0.03)
    assert honest["cents"].min() >= 0
    of_day = honest["at"] % DAY
    assert of_day.mean() == pytest.approx(43_200 * SECOND, rel=0.01)
    # The tails are cut off at 2.16 standard deviations, which leaves 0.9 of them.
    assert of_day.std() == pytest.approx(18_250 * SECOND, rel=0.02)
    a_day = np.bincount(honest["user_id"], minlength=5000) / 183
    assert a_day.mean() == pytest.approx(2 * DAYTIME_SHARE, rel=0.03)
    assert a_day.max() < 4.6  # 4, of which 0.969, and five standard deviations


def test_the_same_seed_gives_the_same_rows_and_another_one_others():
    one, again, other = (make_world(SMALL, seed) for seed in (3, 3, 4))
    assert one.rows.tobytes() == again.rows.tobytes()
    assert one.episode.tobytes() == again.episode.tobytes()
    assert one.rows.tobytes() != other.rows.tobytes()


def test_customers_pay_at_terminals_within_the_radius_alone():
    who = people(SMALL, 5)
    homes = np.random.default_rng([5, 10]).uniform(0, 100, (SMALL.customers, 2))
    shops = np.random.default_rng([5, 11]).uniform(0, 100, (SMALL.terminals, 2))
    rows = payments(SMALL, 5, who).rows
    for user, terminal in {(row["user_id"], row["merchant_id"]) for row in rows}:
        assert np.hypot(*(homes[user] - shops[terminal])) < SMALL.radius
    # Every terminal within the radius is used by those who pay much, and all near ones are known.
    near = [int((np.hypot(*(shops - home).T) < SMALL.radius).sum()) for home in homes]
    assert np.diff(who.near_at).tolist() == near


def test_each_scenario_is_what_the_handbook_says():
    honest = payments(SMALL, 6, people(SMALL, 6))
    world = with_frauds(SMALL, 6, honest)
    before, after, kinds = honest.rows, world.rows, np.array(kind_of(world))
    assert set(kinds[before["cents"] > 220_00]) <= set(FRAUDS) - {"card_testing", "burst"}
    assert (before["cents"][kinds == "large_amount"] > 220_00).all()
    changed = before["cents"] != after["cents"]
    assert set(kinds[changed]) == {"leaked_credentials"}
    times = after["cents"][changed] / before["cents"][changed]
    assert set(times) <= {5.0, 25.0, 125.0}  # credentials may leak twice
    by_episode = defaultdict(list)
    for place in np.flatnonzero(world.episode).tolist():
        by_episode[int(world.episode[place])].append(place)
    for places in by_episode.values():
        (kind,) = set(kinds[places])
        one = {"compromised_terminal": "merchant_id", "leaked_credentials": "user_id", "large_amount": "user_id"}[kind]
        assert len(set(after[one][places])) == 1
        days = after["at"][places] // DAY
        assert days.max() - days.min() < {"compromised_terminal": 28, "leaked_credentials": 14, "large_amount": 1}[kind]
    # Two terminals and three customers a day, of which some are overtaken by a later scenario.
    starts = Counter(kinds[places[0]] for places in by_episode.values())
    assert starts["compromised_terminal"] <= 2 * SMALL.days
    assert starts["leaked_credentials"] <= 3 * SMALL.days


def test_a_compromised_terminals_payments_are_all_fraud():
    size = Size(customers=60, terminals=40, days=14, radius=150.0)
    world = with_frauds(size, 7, payments(size, 7, people(size, 7)))
    random = np.random.default_rng([7, 13])
    rows, kinds = world.rows, np.array(kind_of(world))
    for day, pair in enumerate(random.choice(40, 2, replace=False) for _ in range(14)):
        at_them = np.isin(rows["merchant_id"], pair) & (rows["at"] >= day * DAY)
        assert set(kinds[at_them]) <= {"compromised_terminal", "leaked_credentials"}


def test_a_third_of_a_leaked_customers_payments_is_fraud():
    # On a single day each of the three customers is drawn once.
    size = Size(customers=9, terminals=4000, days=1, radius=150.0)
    found = 0
    for seed in range(40):
        world = with_frauds(size, seed, payments(size, seed, people(size, seed)))
        paid = Counter(world.rows["user_id"].tolist())
        leaked = Counter(world.rows["user_id"][np.array(kind_of(world)) == "leaked_credentials"].tolist())
        assert len(leaked) <= 3
        assert all(count == paid[user] // 3 for user, count in leaked.items())
        found += len(leaked)
    assert found > 20


def test_the_oddities_add_rows_and_change_none():
    plain, whole = (make_world(SMALL, 8, handbook_only=only) for only in (True, False))
    kinds = np.array(kind_of(whole))
    added = np.isin(kinds, ["card_testing", "burst", "holiday", "large_purchase", "market_day"])
    assert np.array_equal(whole.rows[~added], plain.rows)
    assert all((kinds == kind).any() for kind in KINDS[1:])
    assert whole.rows["at"].max() < SMALL.days * DAY
    for number in np.unique(whole.episode[added]):
        part = whole.rows[whole.episode == number]
        assert len({*part["user_id"].tolist()}) == len({*part["kind"].tolist()}) == 1
        if KINDS[part["kind"][0]] == "card_testing" and part["cents"][-1] > 500:
            assert (part["cents"][:-1] <= 500).all()
            assert part["cents"][-1] >= 8_000


def test_the_files_hold_the_world_exactly(tmp_path: Path):
    code = simulate_world.main(
        ["--customers", "120", "--terminals", "240", "--days", "60", "--radius", "12", "--seed", "3", "--start",
         "2026-03-01", "--label-delay", "36h", "--home", str(tmp_path)]
    )  # fmt: skip
    assert code == 0
    world = make_world(SMALL, 3)
    found = pq.read_table(tmp_path / "transactions.parquet").to_pylist()
    assert [row["id"] for row in found] == list(range(1, len(world.rows) + 1))
    first = datetime(2026, 3, 1, tzinfo=UTC)
    for row, made in zip(found, world.rows.tolist(), strict=True):
        user, cents, card, terminal, at, _ = made
        assert row["amount"] == Decimal(cents).scaleb(-2)
        assert (row["user_id"], row["merchant_id"]) == (user + 1, terminal + 1)
        assert row["card_type"] == ("VISA", "MASTERCARD", "AMEX")[card]
        assert row["created_at"] == first + timedelta(microseconds=at)
    assert [row["created_at"] for row in found] == sorted(row["created_at"] for row in found)
    kinds = kind_of(world)
    labels = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    assert [row["transaction_id"] for row in labels] == [place + 1 for place, kind in enumerate(kinds) if kind]
    for row in labels:
        assert row["kind"] == kinds[row["transaction_id"] - 1]
        assert row["label"] == ("confirmed" if row["kind"] in FRAUDS else "dismissed")
        assert row["labelled_at"] == found[row["transaction_id"] - 1]["created_at"] + timedelta(hours=36)
    summary = json.loads((tmp_path / "world.json").read_text())
    assert summary["transactions"] == len(found)
    assert summary["fraud"] == sum(row["label"] == "confirmed" for row in labels)


@pytest.mark.parametrize("options", [["--customers", "0"], ["--days", "9999"], ["--seed", "-1"], ["--start", "x"]])
def test_what_cannot_be_made_is_refused_with_what_is_allowed(options, tmp_path: Path):
    with pytest.raises(FraudstreamError, match=r"must lie between|write a time like"):
        simulate_world.main([*options, "--home", str(tmp_path)])
