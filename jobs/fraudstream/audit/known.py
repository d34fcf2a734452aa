"""lake/repairs: what was repaired or acknowledged, when and by whom. Rows are only ever added."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from fraudstream import alerts, lake
from fraudstream.audit.finding import Position

TABLE = "repairs"
ACKNOWLEDGED = ("message_doubled", "alert_extra")  # kinds that cannot be taken back, only known
_SCHEMA = pa.schema(
    [
        pa.field("at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("by", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("where", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("ids", pa.string(), nullable=False),  # JSON lists
        pa.field("positions", pa.string(), nullable=False),
    ]
)


class Repair(NamedTuple):
    """A repair: the kind of what was found and where, what was done, and to which ids or positions of a topic."""

    kind: str
    where: str
    action: str
    ids: Sequence[int | str] = ()
    positions: Sequence[Position] = ()


def record(folder: str, repair: Repair) -> None:
    """Add a repair to the record."""
    deltalake, path = lake.library(), f"{folder}/{TABLE}"
    row = {
        "at": alerts.now(), "by": _user(), "kind": repair.kind, "where": repair.where, "action": repair.action,
        "ids": json.dumps(list(repair.ids)), "positions": json.dumps([list(each) for each in repair.positions]),
    }  # fmt: skip
    deltalake.write_deltalake(path, pa.Table.from_pylist([row], schema=_SCHEMA), mode="append")


def repairs(folder: str) -> list[dict[str, Any]]:
    """Every repair, in order."""
    if lake.open_table(folder, TABLE) is None:
        return []
    found: list[dict[str, Any]] = lake.query(folder, TABLE, f"SELECT * FROM {TABLE} ORDER BY at").to_pylist()
    for each in found:
        each |= {"ids": json.loads(each["ids"]), "positions": [tuple(at) for at in json.loads(each["positions"])]}
    return found


def acknowledged(folder: str, kind: str) -> dict[str, set[Position]]:
    """The positions of messages that are known to be of that kind, by topic."""
    found: dict[str, set[Position]] = {}
    for each in repairs(folder):
        if each["kind"] == kind and each["action"] == "acknowledged":
            found.setdefault(each["where"], set()).update(each["positions"])
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
