"""Each rule of the library on a scenario of its own: what it finds, and how often it is wrong.

The parameters were chosen on seeds 1 to 3 and the bounds on 101 to 104; what is stated here holds for others.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fraudstream.input.rows import RowArray
from fraudstream.input.scenarios import COMPROMISED, EPISODES, labelled_scenario, scenario
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import fold
from unit.histories import TOPIC, rule_of

SEEDS = (201, 202, 203, 204)
# Rule: the least share of frauds found (an alert on one of their rows), and the most alerts per 10,000 honest rows.
STATED = {
    "card_testing": (0.90, 1.0),
    "repeated_amount": (0.95, 25.0),
    "dormant_burst": (0.75, 1.0),
    "many_merchants": (0.80, 16.0),
    "spending_limit": (0.90, 9.0),
}


def alerting(rule: Rule, rows: RowArray) -> np.ndarray:
    """Places of the rows that alert."""
    count = len(rows)
    zeros = np.zeros(count, dtype=np.int64)
    batch = dict.fromkeys(("partition", "lsn", "tx_id", "committed_ms", "captured_ms"), zeros)
    batch |= {"id": np.arange(1, count + 1), "offset": np.arange(count), "judge": np.ones(count, dtype=bool)}
    batch |= {name: rows[name] for name in ("user_id", "cents", "merchant_id")} | {"created_at": rows["at"]}
    batch["card_type"] = np.full(count, "VISA", dtype=object)
    found = fold(rule, None, batch, TOPIC).alerts
    return np.array(sorted(alert["transaction_id"] - 1 for alert in found), dtype=np.int64)


@cache
def outcome(name: str, seed: int) -> tuple[float, float]:
    """Share of the frauds found, alerts per 10,000 honest rows."""
    world = scenario(name, seed)
    hits = world.episode[alerting(rule_of(f"{name}: {{}}"), world.rows)]
    found = len(np.unique(hits[hits > 0]))
    return found / EPISODES, 10_000 * np.count_nonzero(hits == 0) / np.count_nonzero(world.episode == 0)


@pytest.mark.parametrize("name", STATED)
def test_a_rule_finds_its_frauds_on_seeds_it_was_not_tuned_on(name):
    assert np.mean([outcome(name, seed)[0] for seed in SEEDS]) >= STATED[name][0]


@pytest.mark.parametrize("name", STATED)
def test_a_rule_is_seldom_wrong_about_honest_rows(name):
    assert np.mean([outcome(name, seed)[1] for seed in SEEDS]) <= STATED[name][1]


@pytest.mark.parametrize("name", STATED)
def test_without_its_frauds_a_rule_alerts_only_where_it_is_wrong_about_honest_rows(name):
    rule, world = rule_of(f"{name}: {{}}"), scenario(name, SEEDS[0])
    honest = world.rows[world.episode == 0]
    off = scenario(name, SEEDS[0], fraud=False)
    assert np.array_equal(off.rows, honest)
    assert not off.episode.any()
    victims = set(world.rows["user_id"][world.episode > 0].tolist())
    wrong = world.rows[[place for place in alerting(rule, world.rows) if world.episode[place] == 0]]
    quiet = off.rows[alerting(rule, off.rows)]
    # Where a user has no fraud, every alert is there with it and without; the frauds' own alerts are gone.
    assert [row for row in quiet.tolist() if row[0] not in victims] == [
        row for row in wrong.tolist() if row[0] not in victims
    ]


def with_labels(seed: int, fraud: bool = True):
    world, labels = labelled_scenario(seed, fraud=fraud)
    plain = rule_of("compromised_merchant: {}")
    return replace(plain, parameters={**plain.parameters, "labels": labels}), world


def test_compromised_merchants_are_found_once_labels_are_there():
    merchants, rows, wrong = [], [], []
    for seed in SEEDS:
        rule, world = with_labels(seed)
        hits = world.episode[alerting(rule, world.rows)]
        merchants.append(len(np.unique(hits[hits > 0])) / COMPROMISED)
        rows.append(np.count_nonzero(hits) / np.count_nonzero(world.episode))
        wrong.append(10_000 * np.count_nonzero(hits == 0) / np.count_nonzero(world.episode == 0))
    assert np.mean(merchants) >= 0.65
    assert np.mean(rows) >= 0.3  # the others came before the third label was there
    assert np.mean(wrong) <= 70  # honest payments at these merchants


def test_without_compromised_merchants_or_without_labels_there_is_no_alert():
    rule, world = with_labels(SEEDS[0], fraud=False)
    assert len(alerting(rule, world.rows)) == 0
    _, world = with_labels(SEEDS[0])
    assert len(alerting(rule_of("compromised_merchant: {}"), world.rows)) == 0
