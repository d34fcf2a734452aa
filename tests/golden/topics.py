"""Golden topics: the small YAML files of this folder as real change event messages, with what they must give.

README.md describes the lines of a file. Nothing here knows a rule or reads a change event.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
RULES = ("anomaly", "velocity", "high_amount")  # every file states their alerts; other rules' only where it says so
TOPIC = "dbserver1.public.transactions"
BASE_US = 1_772_366_400_000_000  # 2026-03-01 12:00:00 UTC: "+0" in the files
_DAY_US = 86_400_000_000
_SEQUENCE = re.compile(r"^(\d+)(?:\.\.(\d+))?$")


@dataclass(frozen=True)
class Message:
    """A record of the topic, as a consumer gets it; `timestamp` in ms."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


@dataclass(frozen=True)
class Golden:
    """A golden file. Ids are full ones (number * 100000 + n), so that files do not meet in one topic."""

    name: str
    number: int
    point: str
    parameters: Mapping[str, Mapping[str, Any]]  # rule -> parameters other than the exercise's
    messages: tuple[Message, ...]
    alerts: Mapping[str, tuple[int, ...]]  # rule -> transaction ids in the order of their judgements
    evidence: Mapping[str, Mapping[int, Mapping[str, Any]]]  # rule -> transaction id -> figures worked out by hand
    counts: Mapping[str, Mapping[str, Any]]  # "entries" (mirror, rules without state), "anomaly", "velocity"
    rows: Mapping[int, tuple[int, str]] | None  # the mirror's current rows: id -> (user, amount); None: not stated


@dataclass(frozen=True)
class Corrected:
    """A golden file for rules with corrections; ids as in Golden."""

    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    messages: tuple[Message, ...]
    alerts: Mapping[str, tuple[tuple[int, str, int], ...]]  # rule -> (transaction id, status, revision) in their order
    evidence: Mapping[str, Mapping[tuple[int, str, int], Mapping[str, Any]]]
    counts: Mapping[str, Mapping[str, Any]]  # "entries", and those of each rule with corrections


def goldens() -> list[Golden]:
    """All golden files by number, without those for rules with corrections."""
    return [load(path) for path in sorted(FOLDER.glob("[0-9]*.yaml")) if not _read(path).get("corrections")]


def corrected_goldens() -> list[Corrected]:
    """The golden files for rules with corrections, by number."""
    paths = (path for path in sorted(FOLDER.glob("[0-9]*.yaml")) if _read(path).get("corrections"))
    return [load_corrected(path) for path in paths]


def load_corrected(path: Path) -> Corrected:
    """The golden file at `path`, for rules with corrections."""
    found = _read(path)
    unknown = set(found) - {"point", "corrections", "rules", "topic", "messages", "evidence", "counts"}
    if unknown:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}")
    number = int(path.name.split("_")[0])

    def alert(text: str) -> tuple[int, str, int]:
        n, status, revision = text.split()
        return number * 100_000 + int(n), status, int(revision)

    return Corrected(
        name=path.stem,
        parameters=found.get("rules") or {},
        messages=tuple(messages_of(found["topic"], number)),
        alerts={rule: tuple(map(alert, found["messages"][rule])) for rule in RULES},
        evidence={
            rule: {alert(text): figures for text, figures in by_alert.items()}
            for rule, by_alert in (found.get("evidence") or {}).items()
        },
        counts={
            "entries": found["counts"]["entries"],
            **{rule: found["counts"].get(rule, found["counts"]["rules"]) for rule in RULES},
        },
    )


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def load(path: Path) -> Golden:
    """The golden file at `path`."""
    found = _read(path)
    unknown = set(found) - {"point", "rules", "topic", "alerts", "evidence", "counts", "rows"}
    if unknown:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}")
    number = int(path.name.split("_")[0])
    base = number * 100_000
    rules = (*RULES, *(rule for rule in found["alerts"] if rule not in RULES))
    entries = found["counts"]["entries"]
    return Golden(
        name=path.stem,
        number=number,
        point=found["point"],
        parameters=found.get("rules") or {},
        messages=tuple(messages_of(found["topic"], number)),
        alerts={rule: tuple(base + n for n in found["alerts"][rule]) for rule in rules},
        evidence={
            rule: {base + int(n): figures for n, figures in by_id.items()}
            for rule, by_id in (found.get("evidence") or {}).items()
        },
        counts={name: found["counts"].get(name, entries) for name in ("entries", *rules)},
        rows=_rows(found["rows"], number) if "rows" in found else None,
    )


def pour(files: Sequence[Golden | Corrected]) -> list[Message]:
    """The messages of several files in one topic, one file after the other, offsets counted on."""
    next_offset: dict[int, int] = {}
    poured = []
    for message in (message for file in files for message in file.messages):
        offset = next_offset.get(message.partition, 0)
        next_offset[message.partition] = offset + 1
        poured.append(replace(message, offset=offset))
    return poured


def _rows(text: str, number: int) -> dict[int, tuple[int, str]]:
    rows = [line.split() for line in text.splitlines()]
    return {number * 100_000 + int(n): (number * 1000 + int(user[1:]), amount) for n, user, amount in rows}


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What a line's message needs besides the line: its place in the file."""

    number: int
    position: int
    options: Mapping[str, str]

    @property
    def captured_ms(self) -> int:
        stated = self.options.get("captured")
        return (_time(stated, 0) or 0) // 1000 if stated else BASE_US // 1000 + 1000 * self.position

    @property
    def lsn(self) -> int:
        return self.number * 1_000_000 + int(self.options.get("lsn") or 100 * (self.position + 1))

    @property
    def source(self) -> dict[str, Any]:
        options = self.options
        return {
            "version": "3.7.0.Final", "connector": "postgresql", "name": "dbserver1", "ts_ms": self.captured_ms - 20,
            "snapshot": options.get("snapshot", "false"), "db": "mydb", "sequence": None, "schema": "public",
            "table": "transactions", "txId": int(options.get("tx", 1000 * self.number + self.position)),
            "lsn": None if options.get("snapshot") == "incremental" else self.lsn, "xmin": None,
        }  # fmt: skip


@dataclass
class _Topic:
    messages: list[Message] = field(default_factory=list)
    by_id: dict[int, Message] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def add(self, partition: int, key: bytes | None, value: bytes | None, headers: Any = (), row: int = -1) -> None:
        offset = self.ends.get(partition, 0)
        self.ends[partition] = offset + 1
        timestamp = BASE_US // 1000 + 1000 * len(self.messages)
        message = Message(partition, offset, key, value, tuple(headers), timestamp)
        self.messages.append(message)
        self.by_id[row] = message


def messages_of(text: str, number: int) -> list[Message]:
    """The messages of a file's `topic`, with the ids of file `number`."""
    topic = _Topic()
    for line in text.splitlines():
        stripped = line.split(" #")[0].strip()
        if stripped and not stripped.startswith("#"):
            _add_line(topic, stripped, number)
    return topic.messages


def _add_line(topic: _Topic, line: str, number: int) -> None:
    word, _, rest = line.partition(" ")
    if word == "raw":
        topic.add(0, _key(number, "u1"), rest.encode())
        return
    plain = [part for part in rest.split() if "=" not in part]
    options = dict(part.split("=", 1) for part in rest.split() if "=" in part)
    partition = int(options.pop("p", "0"))
    context = _Context(number=number, position=len(topic.messages), options=options)
    if word == "hex":
        topic.add(partition, _key(number, "u1"), bytes.fromhex("".join(plain)))
    elif word == "copy":
        original = topic.by_id[number * 100_000 + int(plain[0])]
        topic.add(original.partition, original.key, original.value, original.headers)
    elif word == "tombstone":
        topic.add(partition, _key(number, plain[0]), None)
    elif word == "heartbeat":
        topic.add(partition, None, json.dumps({"ts_ms": context.captured_ms}).encode())
    elif word == "t":
        topic.add(partition, None, _value(context, "t", None, None))
    elif word == "move":
        _add_move(topic, plain, context)
    elif word in ("c", "r", "u", "d"):
        for n, at in _expanded(plain[0], plain[3]):
            here = replace(context, position=len(topic.messages))
            _add_row(topic, word, [n, plain[1], plain[2], at], partition, here)
    else:
        raise ValueError(f"{number}: no such line: {line}")


def _expanded(ids: str, time: str) -> Iterator[tuple[str, str]]:
    """`1..3` at `+0/120` is 1 at +0, 2 at +120, 3 at +240."""
    found = _SEQUENCE.match(ids)
    if not found:
        raise ValueError(f"no ids: {ids}")
    first, last = int(found[1]), int(found[2] or found[1])
    start, _, step = time.partition("/")
    for i, n in enumerate(range(first, last + 1)):
        yield str(n), start if i == 0 or not step else f"+{Decimal(start) + i * Decimal(step)}"


def _add_row(topic: _Topic, op: str, plain: Sequence[str], partition: int, context: _Context) -> None:
    row = _row(plain, context)
    was, user = context.options.get("was", plain[2]), context.options.get("from", plain[1])
    old = None if was == "none" else _row([plain[0], user, was, plain[3]], context)
    before, after = {"c": (None, row), "r": (None, row), "u": (old, row), "d": (row, None)}[op]
    snapshot = {"snapshot": "true"} if op == "r" else {}
    stated = replace(context, options={**snapshot, **context.options})
    topic.add(partition, _key(context.number, plain[1]), _value(stated, op, before, after), row=row["id"])


def _add_move(topic: _Topic, plain: Sequence[str], context: _Context) -> None:
    """An update of user_id: `move 3 u1>u2 10.00 +240 p0>p1`, d and c with the headers that name the other's key."""
    old_user, _, new_user = plain[1].partition(">")
    old_partition, _, new_partition = (plain[4] if len(plain) > 4 else "p0>p0").partition(">")
    old = _row([plain[0], old_user, context.options.get("was", plain[2]), plain[3]], context)
    new = _row([plain[0], new_user, *plain[2:4]], context)
    old_key, new_key = _key(context.number, old_user), _key(context.number, new_user)
    deleted, created = _value(context, "d", old, None), _value(context, "c", None, new)
    topic.add(int(old_partition[1:]), old_key, deleted, [("__debezium.newkey", new_key)])
    topic.add(int(new_partition[1:]), new_key, created, [("__debezium.oldkey", old_key)], row=new["id"])


def _key(number: int, user: str) -> bytes:
    return json.dumps({"user_id": number * 1000 + int(user[1:])}).encode()


def _row(plain: Sequence[str], context: _Context) -> dict[str, Any]:
    n, user, amount, time = plain
    form = context.options.get("form", "string")
    return {
        "id": context.number * 100_000 + int(n),
        "user_id": context.number * 1000 + int(user[1:]),
        "amount": _amount(amount, form),
        "card_type": context.options.get("card", "VISA") + "x" * int(context.options.get("pad", 0)),
        "merchant_id": json.loads(context.options.get("merchant", "17")),
        "created_at": _time(time, context.captured_ms),
    }


def _amount(text: str, form: str) -> Any:
    if text == "null":
        return None
    if form == "precise":  # big-endian two's complement of the whole cents
        cents = int(Decimal(text) * 100)
        return base64.b64encode(cents.to_bytes((cents.bit_length() // 8) + 1, "big", signed=True)).decode()
    if form == "exponent":  # as Java writes a double of 10,000,000 or more; @ is taken off with the quotes
        return f"@{Decimal(text).normalize():E}@".replace("E+", "E")
    return float(text) if form == "double" and text != "NaN" else text


def _time(text: str, captured_ms: int) -> int | None:
    """Microseconds since 1970: `+90.5` after 12:00, `captured+1` after the capture, an ISO time, or null."""
    if text == "null":
        return None
    if text.startswith("captured"):
        return captured_ms * 1000 + int(Decimal(text.removeprefix("captured")) * 1_000_000)
    if text[0] in "+-":
        return BASE_US + int(Decimal(text) * 1_000_000)
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return moment.days * _DAY_US + moment.seconds * 1_000_000 + moment.microseconds


def _value(context: _Context, op: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bytes:
    source = context.source
    shape = context.options.get("shape", "envelope")
    if shape == "flat":
        added = {"op": op, "source_lsn": source["lsn"], "source_txId": source["txId"], "source_ts_ms": source["ts_ms"]}
        added |= {"source_snapshot": source["snapshot"], "deleted": str(op == "d").lower()}
        return json.dumps({**(after or before or {}), **{f"__{name}": value for name, value in added.items()}}).encode()
    envelope = {"before": before, "after": after, "source": source, "op": op, "ts_ms": context.captured_ms}
    depth = int(context.options.get("nest", 0))
    envelope["transaction"] = f"@{'[' * depth}{']' * depth}@" if depth else None
    message = {"schema": _schema(context), "payload": envelope} if shape == "wrapped" else envelope
    return re.sub(r'"@([^"]*)@"', r"\1", json.dumps(message)).encode()


def _schema(context: _Context) -> dict[str, Any]:
    amount: dict[str, Any] = {"type": {"double": "double"}.get(context.options.get("form", "string"), "string")}
    if context.options.get("form") == "precise":
        amount = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "version": 1}
        amount["parameters"] = {"scale": "2", "connect.decimal.precision": "10"}
    types = {"id": "int32", "user_id": "int32", "card_type": "string", "merchant_id": "int32"}
    columns = [{"type": kind, "optional": False, "field": name} for name, kind in types.items()]
    columns.insert(2, {**amount, "optional": False, "field": "amount"})
    created_at = {"type": "int64", "name": "io.debezium.time.MicroTimestamp", "version": 1, "field": "created_at"}
    columns.append({**created_at, "optional": True})
    images = [{"type": "struct", "fields": columns, "optional": True, "field": name} for name in ("before", "after")]
    return {"type": "struct", "fields": images, "optional": False, "name": f"{TOPIC}.Envelope"}
