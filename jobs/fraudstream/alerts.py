"""The alert: its id, its fields and its one canonical form on the wire."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

ALERT_FIELDS = (
    "alert_id", "amount", "captured_at", "card_type", "committed_at", "event_time", "evidence", "lsn", "merchant_id",
    "offset", "partition", "reason", "rule", "rule_version", "score", "severity", "topic", "transaction_id", "tx_id",
    "user_id",
)  # fmt: skip
# What the alerts of a rule with corrections have besides: which judgement of the transaction it is, and its change.
REVISION_FIELDS = ("changed_by", "revision", "status")
_EPOCH = datetime(1970, 1, 1)
_CYCLE_US = 146_097 * 86_400_000_000  # 400 years


def alert_id(rule: str, rule_version: str, transaction_id: int) -> str:
    """SHA-256 in hex of `rule|rule_version|transaction_id` in UTF-8."""
    return hashlib.sha256(f"{rule}|{rule_version}|{transaction_id}".encode()).hexdigest()


def message(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Kafka key and value of an alert. The value is canonical JSON (sorted keys, no spaces, nulls kept), so that a
    repeated batch repeats the same bytes."""
    if set(payload) - set(REVISION_FIELDS) != set(ALERT_FIELDS):
        raise ValueError(f"an alert has the fields {ALERT_FIELDS}, not {sorted(payload)}")
    value = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return payload["alert_id"], value


def format_cents(cents: int) -> str:
    """Cents as a decimal text with two digits: 123 -> "1.23", -1 -> "-0.01"."""
    sign, magnitude = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{magnitude // 100}.{magnitude % 100:02d}"


def format_micros(micros: int) -> str:
    """Microseconds since 1970 (UTC) as "2026-11-23T06:41:51.123456Z"; years beyond 9999 as "+10000-..."."""
    cycles = max(0, micros // _CYCLE_US - 19)  # a datetime ends with the year 9999; the calendar repeats
    text = (_EPOCH + timedelta(microseconds=micros - cycles * _CYCLE_US)).isoformat(timespec="microseconds")
    year = int(text[:4]) + 400 * cycles
    return f"{'+' if year > 9999 else ''}{year:04d}{text[4:]}Z"


def format_millis(millis: int) -> str:
    """Milliseconds since 1970 (UTC) as "2026-11-23T06:41:51.123Z"."""
    return (_EPOCH + timedelta(milliseconds=millis)).isoformat(timespec="milliseconds") + "Z"


def now() -> datetime:
    """The wall clock, in UTC: for progress and reports, never for a rule."""
    return datetime.now(UTC)
