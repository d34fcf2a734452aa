"""The rules as streaming queries over the golden topics: the alerts worked out by hand, in canonical bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream import alerts
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.streams.rule_query import Judge, rule_messages
from golden.topics import TOPIC, goldens, pour
from spark.streams import eager_bases, records, stream, write_batches

pytestmark = pytest.mark.spark
FILES = [golden for golden in goldens() if not golden.parameters]
NAMES = ("anomaly", "velocity", "high_amount")
SHARED = "windows"
Messages = list[tuple[str, str]]


@pytest.fixture(scope="module")
def judged(spark, tmp_path_factory: pytest.TempPathFactory):
    """Key and value of every message of each rule's query, and of one that both rules with state share (SHARED) and
    whose states keep their rows in bases, over all files poured into one topic, in five batches, with the query started
    anew after the second."""
    folder = tmp_path_factory.mktemp("golden")
    rules_file = folder / "rules.yaml"
    rules_file.write_text("\n".join(f"{name}: {{}}" for name in NAMES))
    plain = load_pipeline()
    pipeline = replace(plain, kafka=replace(plain.kafka, transactions_topic=TOPIC))
    messages = pour(FILES)
    size = len(messages) // 5 + 1
    batches = [messages[start : start + size] for start in range(0, len(messages), size)]
    write_batches(spark, folder, TOPIC, batches[:2])
    before = run(spark, folder, queries_of(rules_file), pipeline)
    write_batches_from(spark, folder, batches)
    after = run(spark, folder, queries_of(rules_file), pipeline)
    return {name: before[name] + after[name] for name in before}


def queries_of(rules_file: Path):
    rules = load_rules(rules_file)
    return {rule.name: [rule] for rule in rules} | {SHARED: [rule for rule in rules if not rule.stateless]}


def write_batches_from(spark, folder: Path, batches) -> None:
    later = folder / "later"
    later.mkdir()
    write_batches(spark, later, TOPIC, batches[2:])
    for number, path in enumerate(sorted((later / "topic").iterdir()), start=2):
        path.rename(folder / "topic" / f"{number:05}.parquet")


def run(spark, folder: Path, rules_of: Mapping[str, Sequence[Rule]], pipeline: Pipeline) -> dict[str, Messages]:
    """Key and value of every message of the queries, which run beside each other until they have caught up."""
    found: dict[str, Messages] = {name: [] for name in rules_of}
    started = [start(spark, folder, name, rules, pipeline, found[name]) for name, rules in rules_of.items()]
    for query in started:
        query.awaitTermination()
    assert SHARED not in found or any(path.is_file() for path in Path(eager_bases(folder).folder).glob("**/*"))
    return found


def start(spark, folder: Path, name: str, rules: Sequence[Rule], pipeline: Pipeline, found: Messages):
    def collect(batch, number):
        found.extend((row.key, row.value) for row in batch.collect())

    bases = eager_bases(folder) if name == SHARED else None
    judges = [Judge(rule, bases=bases and bases.of(rule.name)) for rule in rules]
    return (
        rule_messages(stream(spark, folder), judges, pipeline)
        .writeStream.outputMode("update")
        .foreachBatch(collect)
        .option("checkpointLocation", str(folder / "checkpoints" / name))
        .trigger(availableNow=True)
        .start()
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_stream_finds_what_was_worked_out_by_hand_over_a_restart(judged, name):
    found = sorted(json.loads(value)["transaction_id"] for _, value in judged[name])
    assert found == sorted(transaction for golden in FILES for transaction in golden.alerts[name])


def test_rules_that_share_a_query_send_what_each_sends_alone(judged):
    assert min(len(judged[name]) for name in ("anomaly", "velocity")) >= 10
    assert sorted(judged[SHARED]) == sorted(judged["anomaly"] + judged["velocity"])


@pytest.mark.parametrize("name", NAMES)
def test_every_message_is_canonical_and_keyed_by_its_alert_id(judged, name):
    assert judged[name]
    for key, value in judged[name]:
        payload = json.loads(value)
        assert alerts.message(payload) == (key, value)
        expected = alerts.alert_id(payload["rule"], payload["rule_version"], payload["transaction_id"])
        assert key == payload["alert_id"] == expected


@pytest.mark.parametrize(("file", "name"), [(43, "many_merchants"), (45, "compromised_merchant")])
def test_a_rule_of_the_library_finds_its_alerts_on_the_stream(spark, tmp_path: Path, file, name):
    golden = next(golden for golden in goldens() if golden.number == file)
    (tmp_path / "rules.yaml").write_text(f"{name}: {{parameters: {dict(golden.parameters.get(name, {}))!r}}}")
    (rule,) = load_rules(tmp_path / "rules.yaml")
    plain = load_pipeline()
    pipeline = replace(plain, kafka=replace(plain.kafka, transactions_topic=TOPIC))
    write_batches(spark, tmp_path, TOPIC, [golden.messages])
    messages = run(spark, tmp_path, {name: [rule]}, pipeline)[name]
    found = sorted(json.loads(value)["transaction_id"] for _, value in messages)
    assert found == sorted(golden.alerts[name])


def test_a_large_amounts_message_has_exactly_these_bytes(spark, tmp_path: Path):
    (tmp_path / "rules.yaml").write_text("high_amount: {severity: low, parameters: {over: 0.005}}")
    rule = load_rules(tmp_path / "rules.yaml")[0]
    envelope = {
        "op": "c",
        "before": None,
        "after": {"id": 7, "user_id": 3, "amount": "1234567.05", "card_type": 'VI"SÄ\n/', "merchant_id": None,
                  "created_at": 1772366400000001},
        "source": {"lsn": 12, "txId": None, "ts_ms": 1772366400123, "snapshot": "false"},
        "ts_ms": 1772366400200,
    }  # fmt: skip
    message = type(
        "M", (), {"key": None, "value": json.dumps(envelope).encode(), "headers": (), "partition": 1, "offset": 9}
    )
    row = rule_messages(records(spark, "t", [message]), [Judge(rule)], load_pipeline()).collect()[0]
    identity = f"high_amount|{rule.version}|7"
    alert_id = spark.sql(f"select sha2('{identity}', 256)").collect()[0][0]
    assert row.key == alert_id
    assert row.value == (
        '{"alert_id":"' + alert_id + '","amount":"1234567.05","captured_at":"2026-03-01T12:00:00.200Z",'
        '"card_type":"VI\\"SÄ\\n/","committed_at":"2026-03-01T12:00:00.123Z",'
        '"event_time":"2026-03-01T12:00:00.000001Z","evidence":{"limit":"0.01"},"lsn":12,"merchant_id":null,'
        '"offset":9,"partition":1,"reason":"1234567.05 is over 0.01","rule":"high_amount","rule_version":"'
        + rule.version
        + '","score":null,"severity":"low","topic":"t","transaction_id":7,"tx_id":null,"user_id":3}'
    )
