"""The state of a new rule, made from history, so that it starts as if it had always been running.

applyInPandasWithState takes no initial state. A bucket that has no state yet therefore begins with its seed, and the
stream with the first record behind the history; the state is the same bytes as if the rule had read it all.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from pyspark.sql import DataFrame

from fraudstream.config import Pipeline
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import state_of
from fraudstream.streams.frames import read_frame
from fraudstream.streams.rule_query import bucketed_rows, rule_events


def seed_states(history: DataFrame, rule: Rule, pipeline: Pipeline) -> Mapping[int, bytes]:
    """The state of each bucket after the Kafka records of `history`."""
    max_bytes = pipeline.max_message_bytes

    def state_of_bucket(rows: pd.DataFrame) -> pd.DataFrame:
        batch, _ = read_frame(rows, max_bytes)
        return pd.DataFrame({"bucket": rows["bucket"].iloc[:1], "histories": [state_of(rule, batch)]})

    rows = bucketed_rows(rule_events(history, rule, pipeline), rule, pipeline)
    states = rows.groupBy("bucket").applyInPandas(state_of_bucket, "bucket int, histories binary")
    return {row.bucket: bytes(row.histories) for row in states.collect()}
