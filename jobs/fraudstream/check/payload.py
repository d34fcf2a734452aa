"""What the fields of an alert's message have to be, from the message that was judged and the oracle's figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from fraudstream.check.oracle import Judgement, Number

_WHOLE = ("n", "count", "tests", "payments", "merchants", "confirmed")  # figures that are no money


def wrong_fields(
    judgement: Judgement, value: bytes, rule: str, version: str, severity: str, topic: str, corrections: bool = False
) -> dict[str, Any]:
    """The fields of the alert message `value` that are wrong, each with what it should be; empty if all is right."""
    payload: dict[str, Any] = json.loads(value)
    row = judgement.arrival.row
    expected = _expected(judgement, topic) | {
        "alert_id": hashlib.sha256(f"{rule}|{version}|{row.id}".encode()).hexdigest(),
        "rule": rule,
        "rule_version": version,
        "severity": severity,
    }
    if corrections:
        expected |= _revision(judgement, topic)
    wrong = {name: right for name, right in expected.items() if payload.get(name, "absent") != right}
    if judgement.status != "withdrawn":
        wrong |= _wrong_figures(judgement.figures, row.cents or 0, payload)
    elif (payload.get("evidence"), payload.get("score", "absent")) != ({}, None):
        wrong["evidence"] = {}
    wrong |= dict.fromkeys(payload.keys() - expected.keys() - {"score", "evidence", "reason"}, "absent")
    if not payload.get("reason"):
        wrong["reason"] = "a sentence"
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if value != canonical:
        wrong["value"] = canonical.decode()
    return wrong


def _expected(judgement: Judgement, topic: str) -> dict[str, Any]:
    """What the alert copies from the message that was judged."""
    event, row = judgement.arrival.event, judgement.arrival.row
    assert event is not None
    return {
        "user_id": row.user_id,
        "transaction_id": row.id,
        "amount": None if row.cents is None else _amount(row.cents),
        "card_type": row.card_type,
        "merchant_id": row.merchant_id,
        "event_time": None if row.created_at is None else _moment(row.created_at, "microseconds"),
        "lsn": event.lsn,
        "tx_id": event.tx_id,
        "topic": topic,
        "partition": judgement.arrival.partition,
        "offset": judgement.arrival.offset,
        "committed_at": None if event.committed_ms is None else _moment(event.committed_ms * 1000, "milliseconds"),
        "captured_at": None if event.captured_ms is None else _moment(event.captured_ms * 1000, "milliseconds"),
    }


def _revision(judgement: Judgement, topic: str) -> dict[str, Any]:
    arrival = judgement.arrival
    change = f"{topic}-{arrival.partition}-{arrival.offset}" if judgement.revision else None
    return {"status": judgement.status, "revision": judgement.revision, "changed_by": change}


def _wrong_figures(figures: Mapping[str, Number], cents: int, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the oracle's figures that the alert states otherwise, or not at all."""
    evidence = payload.get("evidence") or {}
    exact = {f"evidence.{name}": Fraction(figures[name]) for name in _WHOLE if name in figures}
    if "sum" in figures:
        exact["evidence.sum"] = Fraction(figures["sum"]) / 100
    if "sum" in figures and "n" in figures:
        exact["evidence.mean"] = exact["evidence.sum"] / figures["n"]
        if "ratio" in evidence and figures["sum"]:
            exact["evidence.ratio"] = Fraction(cents) * figures["n"] / figures["sum"]
    if "score" in figures:
        exact["score"] = Fraction(figures["score"])
    elif payload.get("score", "absent") is not None:
        return {"score": None}
    stated = {**{f"evidence.{name}": value for name, value in evidence.items()}, "score": payload.get("score")}
    return {name: str(right) for name, right in exact.items() if not _rounds_to(stated.get(name), right)}


def _rounds_to(stated: Any, exact: Fraction) -> bool:
    """Whether `stated`, a number or its text, is `exact` to its last digit."""
    try:
        number = Decimal(str(stated))
    except InvalidOperation:
        return False
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return abs(Fraction(number) - exact) <= Fraction(10) ** min(exponent, 0) / 2


def _amount(cents: int) -> str:
    return str(Decimal(cents).scaleb(-2).quantize(Decimal("0.01")))


def _moment(micros: int, precision: str) -> str:
    return (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat(timespec=precision) + "Z"
