"""A rule that starts late, from a seed, goes on as one that has read everything."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from fraudstream.cdc.columns import change_events
from fraudstream.config import load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams.rule_query import Judge, rule_messages
from fraudstream.streams.seed import seed_states
from golden.topics import TOPIC, goldens
from spark.streams import records, stream, write_batches

pytestmark = pytest.mark.spark


def alerts_of(spark, folder: Path, batches, rule, pipeline, seeds=None) -> list[list[tuple[str, str]]]:
    """Key and value of every alert of a new query over the batches, by batch."""
    folder.mkdir()
    write_batches(spark, folder, TOPIC, batches)
    found: list[list[tuple[str, str]]] = []
    query = (
        rule_messages(stream(spark, folder), [Judge(rule, seeds=seeds or {})], pipeline)
        .writeStream.outputMode("update")
        .foreachBatch(lambda batch, number: found.append([(row.key, row.value) for row in batch.collect()]))
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    assert len(found) == len(batches)
    return found


@pytest.mark.parametrize("name", ["anomaly", "velocity"])
def test_a_seeded_rule_alerts_as_one_that_has_read_the_history(spark, tmp_path: Path, name: str):
    (tmp_path / "rules.yaml").write_text(f"{name}: {{}}")
    (rule,) = load_rules(tmp_path / "rules.yaml")
    plain = load_pipeline()
    pipeline = replace(plain, kafka=replace(plain.kafka, transactions_topic=TOPIC))
    history, rest = [], []
    # A topic of its own per golden file, each cut in the middle, so that the second half depends on the first.
    for golden in goldens():
        if not golden.parameters and golden.alerts[name]:
            middle = len(golden.messages) // 2
            history += golden.messages[:middle]
            rest += golden.messages[middle:]
    half = len(rest) // 2
    cuts = [rest[:half], rest[half:]]

    before, *later = alerts_of(spark, tmp_path / "whole", [history, *cuts], rule, pipeline)
    expected = sorted(set(chain(*later)) - set(before))
    seeds = {0: seed_states(change_events(records(spark, TOPIC, history)), rule, pipeline)}

    assert expected
    seeded = alerts_of(spark, tmp_path / "seeded", cuts, rule, pipeline, seeds)
    assert sorted(chain(*seeded)) == expected
    unseeded = alerts_of(spark, tmp_path / "unseeded", cuts, rule, pipeline)
    assert sorted(chain(*unseeded)) != expected
