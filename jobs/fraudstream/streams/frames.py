"""A bucket's rows as Arrow hands them to Python, made into the columns that a rule's fold takes."""

from __future__ import annotations

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.payload import NULL

_NUMBERS = (
    "partition", "offset", "id", "user_id", "cents", "created_at", "merchant_id", "lsn", "tx_id", "committed_ms",
    "captured_ms",
)  # fmt: skip


def frame_columns() -> list[Column]:
    """What `read_frame` takes, of change events that enter a history."""
    # Arrow gives nullable integers to pandas as floats; payload.NULL stands for null instead.
    numbers = (F.coalesce(name, F.lit(NULL)).alias(name) for name in _NUMBERS)
    return [*numbers, F.col("card_type"), (F.col("entry") == "judge").alias("judge")]


def read_frame(frame: pd.DataFrame) -> Batch:
    """The columns for `fold`; with a column `change` of rules with corrections, that too."""
    names = (*_NUMBERS, "card_type", "judge", *(["change"] if "change" in frame else []))
    return {name: frame[name].to_numpy() for name in names}
