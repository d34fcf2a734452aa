"""Rules without state as Spark's expressions: the bytes that fraudstream.alerts.message would write."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest

from fraudstream import alerts
from fraudstream.errors import ConfigError
from fraudstream.rulebook.sql import alert_columns
from fraudstream.rulebook.transaction import points
from unit.histories import rule_file

pytestmark = pytest.mark.spark
EVENTS = (
    "id long, user_id long, cents long, card_type string, merchant_id long, created_at long, lsn long, tx_id long, "
    "topic string, partition int, offset long, committed_ms long, captured_ms long"
)
CARDS = [
    "VISA", None, "", 'a "quoted" one', "back\\slash", "\\u001F as text", "\\\\u001F as text", "\\\x1f", "\\\\\x1f\x1f",
    "".join(map(chr, range(1, 0x21))), "\x7f\x80\x9f", "Ä ñ 漢字 \U0001f4b3", "\u2028\u2029\ufeff", "</script>&'", "$1",
]  # fmt: skip
CENTS = [0, 1, 99, 100, 12345, -1, -99, -100, -12345, 10**15 - 1, 1 - 10**15]
NOON = "2026-03-01T12:00:00"
NOON_US = 1_772_366_400_000_000


def shared(tx):
    """Uses all that a rule without state may use."""
    score = points(tx.amount > 100, Decimal("0.5")) + tx.card_points({"VISA": 1, "\\\x1f": Decimal("2.25")})
    return tx.alert(
        when=~(tx.amount * 2 - 1 > Decimal("9999999999999")) | tx.merchant_id.is_in(-5, 7),
        reason="{{{amount}}} of {third} 'is' \"{count}\" at {score}\n",
        evidence={"third": tx.amount / 3, "count": points(tx.amount >= 1, 3) - 1, "large": Decimal("4500")},
        score=score,
    )


def money(value: Fraction) -> str:
    cents = floor(value * 100 + Fraction(1, 2))
    return f"{Decimal(cents).scaleb(-2):.2f}" if cents else "0.00"


def payload(rule, row) -> dict:
    amount, card = Fraction(row[2], 100), row[3]
    count = 2 if amount >= 1 else -1
    half = Fraction(1, 2) if amount > 100 else 0
    score = money(half + {"VISA": 1, "\\\x1f": Fraction(9, 4)}.get(card, Fraction(0)))
    return {
        "alert_id": hashlib.sha256(f"{rule.name}|{rule.version}|{row[0]}".encode()).hexdigest(),
        "rule": rule.name, "rule_version": rule.version, "severity": "medium", "user_id": row[1],
        "transaction_id": row[0], "amount": money(amount), "card_type": card, "merchant_id": row[4], "score": score,
        "reason": f"{{{money(amount)}}} of {money(amount / 3)} 'is' \"{count}\" at {score}\n",
        "evidence": {"count": count, "large": 4500, "third": money(amount / 3)},
        "event_time": f"{NOON}.000001Z", "lsn": row[6], "tx_id": row[7], "topic": 't"\\', "partition": 1,
        "offset": row[10], "committed_at": row[11] and f"{NOON}.007Z", "captured_at": row[12] and f"{NOON}.120Z",
    }  # fmt: skip


def test_every_odd_alert_has_the_bytes_of_its_canonical_message(spark, monkeypatch):
    rule = rule_file(monkeypatch, shared)
    rows = [
        (number, -number, cents, card, merchant, NOON_US + 1, lsn, lsn and 5, 't"\\', 1, 2**40 + number,
         lsn and NOON_US // 1000 + 7, NOON_US // 1000 + 120 if lsn is None else None)
        for number, (cents, card, merchant, lsn) in enumerate(
            [(12345, card, None, 9) for card in CARDS] + [(cents, "VISA", 7, None) for cents in CENTS]
        )
    ]  # fmt: skip
    columns = alert_columns(rule)
    found = spark.createDataFrame(rows, EVENTS).where(columns.when).select(columns.key, columns.value).collect()
    assert [tuple(each) for each in found] == [alerts.message(payload(rule, row)) for row in rows]


def test_only_rows_for_which_the_condition_holds_alert(spark, monkeypatch):
    def some(tx):
        when = (tx.amount > Decimal("0.5")) & (tx.amount <= 7) & ~tx.card_type.is_in("AMEX") & ~tx.merchant_id.is_in(3)
        return tx.alert(when=when, reason="some", evidence={})

    rows = [(50, None, None), (51, None, None), (700, "VISA", 4), (701, None, None), (600, "AMEX", 4), (600, "MC", 3)]
    frame = spark.createDataFrame(rows, "cents long, card_type string, merchant_id long")
    found = frame.where(alert_columns(rule_file(monkeypatch, some)).when).select("cents").collect()
    assert [row.cents for row in found] == [51, 700]


def test_a_far_event_time_has_its_year_whole(spark, monkeypatch):
    def far(tx):
        return tx.alert(when=tx.amount > 0, reason="far", evidence={})

    rule = rule_file(monkeypatch, far)
    times = [0, 253_402_300_799_999_999, 253_402_300_800_000_000, 2**63 - 1]
    row = (1, "VISA", 1, None, None, "t", 0, 0, None, None)
    frame = spark.createDataFrame(
        [(number, 100, time, *row) for number, time in enumerate(times)],
        "id long, cents long, created_at long, user_id long, card_type string, merchant_id long, lsn long, tx_id long, "
        "topic string, partition int, offset long, committed_ms long, captured_ms long",
    )
    found = frame.selectExpr("*").select(alert_columns(rule).value.alias("value")).collect()
    for row, time in zip(found, times, strict=True):
        assert f'"event_time":"{alerts.format_micros(time)}"' in row.value
    assert alerts.format_micros(253_402_300_800_000_000) == "+10000-01-01T00:00:00.000000Z"
    assert alerts.format_micros(2**63 - 1) == "+294247-01-10T04:00:54.775807Z"


def test_what_has_no_form_in_sql_is_refused(spark, monkeypatch):
    def inverse(tx):
        return tx.alert(when=1 / tx.amount > 1, reason="inverse", evidence={})

    rule = rule_file(monkeypatch, inverse)
    with pytest.raises(ConfigError, match="a rule without state divides by numbers only"):
        alert_columns(rule)
