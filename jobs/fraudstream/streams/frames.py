"""A bucket's rows as Arrow hands them to Python, made into the columns that a rule's fold takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.cdc import envelope, shape
from fraudstream.cdc.columns import OTHER
from fraudstream.masking import Mask
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.payload import NULL

_NUMBERS = (
    "partition", "offset", "id", "user_id", "cents", "created_at", "merchant_id", "lsn", "tx_id", "committed_ms",
    "captured_ms",
)  # fmt: skip
_OF_EVENT = ("lsn", "tx_id", "committed_ms", "captured_ms")
_OTHER_ENTRIES = ("unjudged", "unreadable", "ignored")


def frame_columns() -> list[Column]:
    """What `read_frame` takes, of cdc.columns.connector_events."""
    # Arrow gives nullable integers to pandas as floats; payload.NULL stands for null instead.
    numbers = (F.coalesce(name, F.lit(NULL)).alias(name) for name in _NUMBERS)
    message = F.when(F.col("entry") == OTHER, F.col("value")).alias("message")
    return [*numbers, F.col("card_type"), (F.col("entry") == "judge").alias("judge"), message, F.col("moved")]


def read_frame(frame: pd.DataFrame, max_bytes: int, mask: Mask | None = None) -> tuple[Batch, dict[str, int]]:
    """The columns for `fold`, and how many messages of other forms were unjudged, unreadable or ignored. With a column
    `change` (rules with corrections) there are none of those."""
    is_other = frame["message"].notna().to_numpy()
    counts = dict.fromkeys(_OTHER_ENTRIES, 0)
    columns = {name: frame[name].to_numpy() for name in (*_NUMBERS, "card_type", "judge")}
    if "change" in frame:
        return {**columns, "change": frame["change"].to_numpy()}, counts
    if not is_other.any():
        return columns, counts
    entered = []
    for partition, offset, message, moved in frame[["partition", "offset", "message", "moved"]][is_other].to_numpy():
        entry, event = _read(bytes(message), moved, max_bytes, mask)
        if event is None:
            counts[entry] += 1
        else:
            entered.append((partition, offset, entry == "judge", event))
    values = {name: _values(name, entered) for name in (*_NUMBERS, "card_type", "judge")}
    return {name: np.append(column[~is_other], values[name]) for name, column in columns.items()}, counts


def _read(message: bytes, moved: bool, max_bytes: int, mask: Mask | None) -> tuple[str, envelope.ChangeEvent | None]:
    """The entry of a message, and the event if it enters a history."""
    headers = [(shape.MOVED_HEADERS[0], b"")] if moved else []
    try:
        event = envelope.read_change_event(message, headers, max_bytes, mask)
    except envelope.UnreadableMessage:
        return "unreadable", None
    entry = envelope.entry(event)
    return entry, event if entry in ("judge", "history") else None


def _values(name: str, entered: list[tuple[int, int, bool, envelope.ChangeEvent]]) -> np.ndarray:
    if name in ("partition", "offset", "judge"):
        place = ("partition", "offset", "judge").index(name)
        return np.array([each[place] for each in entered], bool if name == "judge" else np.int64)
    found = [getattr(event if name in _OF_EVENT else event.row, name) for *_, event in entered]
    if name == "card_type":
        return np.array(found, object)
    return np.array([NULL if value is None else value for value in found], np.int64)
