"""Figures and sentences of an alert."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from math import floor, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.rulebook.deviation import rounded
from fraudstream.rulebook.payload import NULL, figure, sentence
from unit.histories import NOON, folded, row, rule_of

PAIRS = st.tuples(st.integers(-9, 9), st.integers(1, 9)).map(lambda pair: Fraction(*pair))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1/3", "0.33"), ("2/3", "0.67"), ("-1/3", "-0.33"), ("-2/3", "-0.67"), ("1/200", "0.01"), ("-1/200", "0.00"),
        ("3/200", "0.02"), ("4", "4.00"), ("123456789012345678901/100", "1234567890123456789.01"),
    ],
)  # fmt: skip
def test_a_figure_has_two_decimals_and_half_a_cent_rounds_up(value, shown):
    assert figure(Fraction(value), whole=False) == shown


def test_whole_figures_are_numbers_and_null_is_null():
    assert figure(Fraction(7), whole=True) == 7
    assert figure(None, whole=True) is figure(None, whole=False) is None


@given(PAIRS, PAIRS, PAIRS.map(abs))
def test_a_root_is_rounded_like_a_number(rest, factor, variance):
    # Floating point is exact enough here unless the value lies next to a half.
    close = float(rest) + float(factor) * sqrt(float(variance)) + 0.5
    if abs(close - round(close)) > 1e-9:
        assert rounded(rest, factor, variance) == floor(close)


@pytest.mark.parametrize(
    ("rest", "factor", "variance", "whole"),
    [("1/2", 1, 4, 3), ("1/2", -1, 4, -1), ("0", "1/4", 4, 1), ("0", "-1/4", 4, 0), ("0", "-1/4", "401/100", -1)],
)
def test_halves_with_roots_round_up(rest, factor, variance, whole):
    assert rounded(Fraction(rest), Fraction(factor), Fraction(variance)) == whole


def test_a_sentence_shows_the_figures_as_they_stand():
    assert sentence("{a} of {b}: {c}.", {"a": 1, "b": "2.00", "c": None}) == "1 of 2.00: nothing."


def test_an_alert_has_all_fields_of_its_transaction_and_nulls_are_kept():
    rule = rule_of("high_amount: {severity: critical, parameters: {over: 0.10}}")
    more = {"merchant_id": NULL, "lsn": NULL, "tx_id": 8, "committed_ms": NOON // 1000 + 5, "captured_ms": NULL}
    alert = folded(rule, [row(77, "0.11", at=0.25, user=5, card_type=None, partition=3, **more)])[0][0]
    assert alert.pop("alert_id")
    assert alert == {
        "rule": "high_amount", "rule_version": rule.version, "severity": "critical", "user_id": 5, "transaction_id": 77,
        "amount": "0.11", "card_type": None, "merchant_id": None, "score": None, "reason": "0.11 is over 0.10",
        "evidence": {"limit": "0.10"}, "event_time": "2026-03-01T12:00:00.250000Z", "lsn": None, "tx_id": 8,
        "topic": "topic", "partition": 3, "offset": 0, "committed_at": "2026-03-01T12:00:00.005Z", "captured_at": None,
    }  # fmt: skip


def test_the_alert_id_names_rule_version_and_transaction():
    rule = rule_of("high_amount: {}")
    alert = folded(rule, [row(77, 5000)])[0][0]
    assert alert["alert_id"] == hashlib.sha256(f"high_amount|{rule.version}|77".encode()).hexdigest()
