"""What windows see where event times are out of order, and that many rows of one user stay affordable."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.disorder import running_sums
from fraudstream.rulebook.fold import fold
from unit.histories import NOON, SECOND, TOPIC, batch, folded, row, rule_file, rule_of


def columns(*lists: list[int]) -> list[np.ndarray]:
    return [np.array(each, dtype=np.int64) for each in lists]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 10**13), st.integers(-3, 12), st.booleans()), max_size=30),
)
def test_running_sums_are_those_of_a_look_at_every_row(rows):
    asked = [place for place, each in enumerate(rows) if each[3]]
    expected = [
        sum(value for then, value, _, _ in rows[:place] if rows[place][2] < then <= rows[place][0]) for place in asked
    ]
    found = running_sums(
        *columns([each[0] for each in rows], [each[1] for each in rows], asked, [rows[place][2] for place in asked])
    )
    assert found == expected


@pytest.mark.parametrize("cuts", [(), range(30)], ids=["one batch", "a batch per row"])
def test_all_figures_of_a_window_are_of_the_visible_rows(monkeypatch, cuts):
    def figures(tx):
        past = tx.within("60s")
        evidence = {
            "n": past.count(), "sum": past.sum("amount"), "least": past.min("amount"), "most": past.max("amount"),
            "mean": past.mean("amount"), "deviation": past.std("amount"),
        }  # fmt: skip
        return tx.alert(when=tx.amount > 0, reason="", evidence=evidence)

    rows = [row(1, 1, at=50), row(2, 2, at=10), row(3, 4, at=90), row(4, 8, at=60), row(5, 16, at=70)]
    rows += [row(6, 32, at=9), row(7, 64, at=700), row(8, 128, at=60), row(9, 3, at=100), row(10, 1, at=120)]
    # 5 sees 10 < t <= 70, so not row 2. From 7 on only what is later than 700 - 660 = 40 is visible.
    # 10 sees 60 < t <= 120, so neither 4 nor 8.
    seen = [[], [], [1], [1, 2], [1, 8], [], [], [1, 8], [1, 4, 8, 16, 128], [4, 16, 3]]
    for alert, amounts in zip(folded(rule_file(monkeypatch, figures), rows, cuts)[0], seen, strict=True):
        found = alert["evidence"]
        assert (found["n"], found["sum"]) == (len(amounts), f"{sum(amounts)}.00")
        if not amounts:
            assert found["least"] is found["most"] is found["mean"] is found["deviation"] is None
        else:
            assert (found["least"], found["most"]) == (f"{min(amounts)}.00", f"{max(amounts)}.00")
            assert abs(Fraction(found["mean"]) - Fraction(sum(amounts), len(amounts))) <= Fraction(1, 200)


def test_one_user_with_very_many_rows_out_of_order_is_affordable():
    # A look at all 60,000 rows for each of them would take minutes.
    count = 60_000
    moments = NOON + np.arange(count) * 1000 * (1 - 2 * (np.arange(count) % 2))
    rows = batch([row(0, offset=0)] * count) | {
        "id": np.arange(count),
        "offset": np.arange(count),
        "created_at": moments,
    }
    began = time.process_time()
    result = fold(rule_of("velocity: {}"), None, rows, TOPIC)
    assert time.process_time() - began < 20
    assert (result.judged, result.alerts) == (count, [])
    assert moments.max() - moments.min() < 660 * SECOND
