"""Every rule as a stream over a topic, and as a batch over what the mirror made of it: the same alerts, to the byte."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream import alerts
from fraudstream.backtest.runtime import judge
from fraudstream.backtest.source import history_of_lake
from fraudstream.cdc.columns import connector_events
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import arrivals, judge_topic
from fraudstream.check.settings import settings_for
from fraudstream.config import Pipeline, State, load_pipeline
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.streams.mirror import mirror_batch
from fraudstream.streams.rule_query import Judge, rule_messages
from golden.topics import FOLDER, TOPIC, corrected_goldens, goldens, pour
from spark.streams import records, stream, write_batches

pytestmark = pytest.mark.spark
# One partition, so that merchants have an order too.
FILES = [
    golden for golden in (*goldens(), *corrected_goldens()) if {message.partition for message in golden.messages} == {0}
]
RULES = f"""
anomaly: {{}}
velocity: {{}}
high_amount: {{}}
card_testing: {{}}
repeated_amount: {{}}
dormant_burst: {{}}
many_merchants: {{}}
spending_limit: {{}}
compromised_merchant: {{parameters: {{labels: {FOLDER / "45_labels.csv"}, at_least: 2, share_over: 0.01}}}}
corrected: {{rule: anomaly, corrections: on}}
corrected_velocity: {{rule: velocity, corrections: on, snapshot: judge}}
"""
NAMES = [line.split(":")[0] for line in RULES.strip().splitlines()]
# Without state, with another key, with corrections. The others share a query, which sends what each would send alone
# (test_golden_streams.py): eleven queries for a few hundred messages took a minute.
ALONE = ("high_amount", "compromised_merchant", "corrected", "corrected_velocity")
SHARING = [name for name in NAMES if name not in ALONE]


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory: pytest.TempPathFactory):
    """The rules, what each says on the stream and what in a batch over the history in the lake, and the topic."""
    folder = tmp_path_factory.mktemp("parity")
    (folder / "rules.yaml").write_text(RULES)
    rules = {rule.name: rule for rule in load_rules(folder / "rules.yaml")}
    plain = load_pipeline()
    pipeline = replace(
        plain, kafka=replace(plain.kafka, transactions_topic=TOPIC), lake=str(folder / "lake"),
        progress=str(folder / "progress"), state=State(buckets=1, partitions=1),
    )  # fmt: skip
    messages = pour(FILES)
    write_batches(spark, folder, TOPIC, [messages])  # test_golden_streams has several micro-batches
    mirror_batch(spark, pipeline, "one")(
        connector_events(records(spark, TOPIC, messages), pipeline.max_message_bytes), 0
    )
    streamed: dict[str, list[tuple[str, str]]] = {name: [] for name in rules}
    started = [
        start(spark, folder, [rules[name] for name in names], pipeline, streamed)
        for names in (SHARING, *([name] for name in ALONE))
    ]
    for query in started:
        query.awaitTermination()
    history = history_of_lake(pipeline.lake)
    return rules, streamed, {name: judge(rule, history).messages for name, rule in rules.items()}, messages


def start(spark, folder: Path, rules: list[Rule], pipeline: Pipeline, streamed: dict[str, list[tuple[str, str]]]):
    """The running query of the rules, whose messages go to `streamed` by rule."""

    def keep(batch, number):
        for row in batch.collect():
            streamed[json.loads(row.value)["rule"]].append((row.key, row.value))

    writer = rule_messages(stream(spark, folder), [Judge(rule) for rule in rules], pipeline).writeStream
    writer = writer.outputMode("update").foreachBatch(keep).trigger(availableNow=True)
    return writer.option("checkpointLocation", str(folder / "checkpoints" / rules[0].name)).start()


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_says_in_a_batch_what_it_says_on_the_stream(world, name):
    rules, streamed, batched, _ = world
    found = [alerts.message(payload) for payload in batched[name]]
    assert found
    if rules[name].stateless:
        # A redelivered change is judged again on the stream: a copy of the alert, from another offset.
        assert {key for key, _ in found} == {key for key, _ in streamed[name]}
        assert set(found) <= set(streamed[name])
    else:
        assert sorted(found) == sorted(streamed[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_finds_the_same_transactions(world, name):
    rules, _, batched, messages = world
    rule = rules[name]
    verdict = (judge_corrected if rule.corrections == "on" else judge_topic)(
        arrivals(messages, 262_144), settings_for(rule.rule, rule.parameters), judge_snapshot=rule.snapshot == "judge"
    )
    expected = {(alert.transaction_id, alert.status, alert.revision) for alert in verdict.alerts}
    found = {(each["transaction_id"], each.get("status", "open"), each.get("revision", 0)) for each in batched[name]}
    assert found == expected
