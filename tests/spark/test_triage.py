"""The streams' alerts on the golden topics, in tables that the pipeline wrote: explained, labelled, read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import explain_alert
import triage_alerts
from fraudstream import lake
from fraudstream.cdc.columns import connector_events
from fraudstream.config import load_pipeline
from fraudstream.explain.explanation import explain
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams.archive import alert_rows, archive_batch
from fraudstream.streams.mirror import mirror_batch
from fraudstream.streams.rule_query import Judge, rule_messages
from golden.topics import TOPIC, goldens, pour
from spark.streams import RECORD, records, stream, write_batches

pytestmark = pytest.mark.spark
FILES = [golden for golden in goldens() if not golden.parameters]
NAMES = ("anomaly", "velocity", "high_amount")


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A lake as the jobs leave it after all golden topics, and the rules file."""
    folder = tmp_path_factory.mktemp("triage")
    rules_file = folder / "rules.yaml"
    rules_file.write_text("\n".join(f"{name}: {{}}" for name in NAMES))
    plain = load_pipeline()
    pipeline = replace(
        plain, kafka=replace(plain.kafka, transactions_topic=TOPIC), lake=str(folder / "lake"),
        progress=str(folder / "progress"),
    )  # fmt: skip
    messages = pour(FILES)
    write_batches(spark, folder, TOPIC, [messages])
    events = connector_events(records(spark, TOPIC, messages), pipeline.max_message_bytes)
    mirror_batch(spark, pipeline, "one")(events, 0)
    found: list[tuple[str, str]] = []
    started = []
    for rule in load_rules(rules_file):
        writer = rule_messages(stream(spark, folder), [Judge(rule)], pipeline).writeStream.outputMode("update")
        query = writer.foreachBatch(lambda batch, _: found.extend([(row.key, row.value) for row in batch.collect()]))
        checkpoint = str(folder / "checkpoints" / rule.name)
        started.append(query.option("checkpointLocation", checkpoint).trigger(availableNow=True).start())
    for query in started:
        query.awaitTermination()
    rows = [(key.encode(), value.encode(), "a", 0, at, None, None) for at, (key, value) in enumerate(found)]
    archive_batch(spark, pipeline)(alert_rows(spark.createDataFrame(rows, RECORD)), 0)
    return pipeline.lake, rules_file


def test_every_alert_of_the_streams_is_the_same_when_recomputed_from_the_lake(world):
    folder, rules_file = world
    alerts = lake.query(folder, "alerts", "SELECT * FROM alerts").to_pylist()
    stated = {name: len({number for golden in FILES for number in golden.alerts.get(name, ())}) for name in NAMES}
    assert Counter(alert["rule"] for alert in alerts) == stated
    found = [explain(folder, alert, rules_file) for alert in alerts]
    assert [(each.alert["transaction_id"], each.checks) for each in found if each.verdict != "match"] == []


def test_what_a_golden_file_counts_is_what_is_shown(world, capsys):
    folder, rules_file = world
    sql = "SELECT alert_id, transaction_id FROM alerts WHERE rule = 'anomaly' AND transaction_id = 100251"
    (alert,) = lake.query(folder, "alerts", sql).to_pylist()
    # 01_history_of_50.yaml, transaction 251: 50 amounts before it, the first of them 2700.00, 12500.00 together.
    code = explain_alert.main([alert["alert_id"], "--lake", folder, "--rules-file", str(rules_file), "--rows", "0"])
    lines = capsys.readouterr().out.splitlines()
    counted = [line.split() for line in lines if line.endswith(" counted")]
    assert (code, len(counted), counted[0][2]) == (0, 50, "2700.00")
    assert ["sum", "12500.00", "12500.00"] in [line.split() for line in lines]


def test_labels_and_snoozes_are_tables_that_spark_reads(world, spark, capsys):
    folder, _ = world
    one = "SELECT * FROM alerts WHERE rule = 'anomaly' ORDER BY alert_id LIMIT 1"
    (alert,) = lake.query(folder, "alerts", one).to_pylist()
    at = ["--lake", folder, "--by", "ana", "--at", "2026-03-01T00:00:00Z"]
    triage_alerts.main(["label", alert["alert_id"], "--confirmed", *at])
    triage_alerts.main(["label", "--transaction", str(alert["transaction_id"]), "--dismissed", "--note", "no", *at])
    triage_alerts.main(["snooze", str(alert["user_id"]), "--rule", "anomaly", "--for", "7d", *at])
    labels, snoozes = (spark.read.format("delta").load(f"{folder}/{name}") for name in ("labels", "snoozes"))
    joined = labels.join(spark.read.format("delta").load(f"{folder}/alerts"), "alert_id", "left")
    rows = sorted(tuple(row) for row in joined.select("label", "rule").collect())
    assert rows == [("confirmed", "anomaly"), ("dismissed", None)]
    (row,) = snoozes.selectExpr("user_id", "rule", "unix_micros(until) - unix_micros(since) as length").collect()
    assert tuple(row) == (alert["user_id"], "anomaly", 7 * 86_400_000_000)
    capsys.readouterr()
    triage_alerts.main(["cases", "--lake", folder, "--user", str(alert["user_id"])])
    assert "1 alert is snoozed" in capsys.readouterr().out
