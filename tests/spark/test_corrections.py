"""Rules with corrections as streaming queries, and their alerts in the archive."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fraudstream import alerts
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.oracle import arrivals
from fraudstream.check.payload import wrong_fields
from fraudstream.check.settings import settings_for
from fraudstream.config import load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.streams.archive import alert_rows, archive_batch
from fraudstream.streams.progress import PARTS, counted, parts_of
from fraudstream.streams.rule_query import Judge, entry_counts, rule_events, rule_messages
from golden.topics import TOPIC, corrected_goldens, messages_of, pour
from spark.streams import records, stream, write_batches

pytestmark = pytest.mark.spark
FILES = [golden for golden in corrected_goldens() if not golden.parameters]
NAMES = ("anomaly", "velocity")
# In other forms: 4 alerts and moves to user 2; 3 and 2 are deleted (the flat update of 2 has no before image), so that
# 7 sees 10, 10, 10.
FORMS = """
  c 1..3 u1   10.00 +0/120 form=double
  c 4    u1  600.00 +360   form=precise shape=wrapped
  u 4    u2  700.00 +360   form=precise shape=wrapped was=600.00 from=u1
  d 3    u1   10.00 +240   form=double
  u 2    u1  400.00 +120   shape=flat
  d 2    u1  400.00 +120   shape=flat
  c 5..6 u1   10.00 +480/120
  c 7    u1  600.00 +720
"""
ALERTS_OF_FORMS = {
    "anomaly": [(9000004, "open", 0), (9000004, "withdrawn", 1), (9000007, "open", 0)],
    "velocity": [],
}
COUNTS_OF_FORMS = {"read": 11, "judged": 7, "corrected": 3, "uncorrected": 1}
MESSAGES = pour([*FILES, SimpleNamespace(messages=messages_of(FORMS, 90))])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory):
    plain, folder = load_pipeline(), tmp_path_factory.mktemp("corrections")
    kafka = replace(plain.kafka, transactions_topic=TOPIC)
    return replace(plain, kafka=kafka, lake=str(folder / "lake"), progress=str(folder / "progress"))


@pytest.fixture(scope="module")
def judged(spark, pipeline, tmp_path_factory: pytest.TempPathFactory):
    """Per rule, key and value of every message of its query over all files poured into one topic, with the query
    of anomaly started anew in the middle; and the fold's counts per batch."""
    folder = tmp_path_factory.mktemp("judged")
    middle = len(MESSAGES) // 2
    write_batches(spark, folder, TOPIC, [MESSAGES[:middle], MESSAGES[middle:]])
    later, held = folder / "topic" / "00001.parquet", folder / "later.parquet"
    later.rename(held)
    found, counts = {name: [] for name in NAMES}, {name: [] for name in NAMES}
    run(spark, folder, rules(folder)[0], pipeline, found["anomaly"], counts["anomaly"])
    held.rename(later)
    for rule in rules(folder):
        run(spark, folder, rule, pipeline, found[rule.name], counts[rule.name])
    return found, counts


def rules(folder: Path):
    path = folder / "rules.yaml"
    path.write_text("\n".join(f"{name}: {{corrections: on}}" for name in NAMES))
    return load_rules(path)


def run(spark, folder: Path, rule, pipeline, found: list, counts: list) -> None:
    query = (
        rule_messages(stream(spark, folder), [Judge(rule)], pipeline)
        .writeStream.outputMode("update")
        .foreachBatch(lambda batch, number: found.extend((row.key, row.value) for row in batch.collect()))
        .option("checkpointLocation", str(folder / "checkpoints" / rule.name))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    for report in query.recentProgress:
        if report["numInputRows"]:
            metrics = json.loads(report.json)["observedMetrics"]
            counts.append(parts_of(*counted(metrics, rule.name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_stream_finds_what_was_worked_out_by_hand_over_a_restart(judged, name):
    found = [json.loads(value) for _, value in judged[0][name]]
    revisions = sorted((alert["transaction_id"], alert["status"], alert["revision"]) for alert in found)
    assert revisions == sorted([*(a for golden in FILES for a in golden.alerts[name]), *ALERTS_OF_FORMS[name]])
    assert len(judged[1][name]) == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_message_is_canonical_and_says_what_the_oracle_saw(judged, name, tmp_path: Path):
    rule = next(rule for rule in rules(tmp_path) if rule.name == name)
    expected = judge_corrected(arrivals(MESSAGES, 262_144), settings_for(name, {})).alerts
    found = {(p["transaction_id"], p["revision"]): (key, value) for key, value, p in parsed(judged[0][name])}
    assert expected
    for judgement in expected:
        key, value = found[judgement.transaction_id, judgement.revision]
        assert alerts.message(json.loads(value)) == (key, value)
        wrong = wrong_fields(
            judgement, value.encode(), rule=name, version=rule.version, severity=rule.severity, topic=TOPIC,
            corrections=True,
        )  # fmt: skip
        assert wrong == {}


def parsed(messages):
    return [(key, value, json.loads(value)) for key, value in messages]


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_add_up_to_what_was_read(judged, name):
    stated = dict(COUNTS_OF_FORMS)
    for golden in FILES:
        for part, count in {**golden.counts[name], **golden.counts[name]["ignored"]}.items():
            if part != "ignored":
                stated[part] = stated.get(part, 0) + count
    batches = judged[1][name]
    assert all(line["read"] == line["corrected"] + sum(line[part] for part in PARTS) for line in batches)
    counted = {part: sum(line[part] for line in batches) for part in batches[0]}
    names = ("read", "judged", "history", "corrected", "unjudged", "redelivered", "not_kept", "uncorrected")
    assert {part: counted[part] for part in names} == {part: stated.get(part, 0) for part in names}


def test_a_rule_without_corrections_takes_no_change(spark, pipeline, tmp_path: Path):
    (tmp_path / "rules.yaml").write_text("anomaly: {}")
    rule = load_rules(tmp_path / "rules.yaml")[0]
    events = rule_events(records(spark, TOPIC, messages_of(FORMS, 90)), rule, pipeline)
    assert "change" not in events.columns
    assert events.agg(*entry_counts()).collect()[0]["read"] == 11


@dataclass(frozen=True)
class Logged:
    """A record of fraud.alerts."""

    offset: int
    key: bytes
    value: bytes
    partition: int = 0
    headers: tuple[()] = ()


def archived_rows(spark, pipeline) -> dict[tuple[str, int], tuple[int, str, str | None, int | None]]:
    """Revision, status and change of each row, and the revision of the message that it shows."""
    rows = spark.read.format("delta").load(pipeline.table("alerts")).collect()
    shown = {(row.rule, row.transaction_id): json.loads(row.payload).get("revision") for row in rows}
    assert len(shown) == len(rows)
    return {(r.rule, r.transaction_id): (r.revision, r.status, r.changed_by, shown[r.rule, r.transaction_id])
            for r in rows}  # fmt: skip


def expected_archive(messages) -> dict[tuple[str, int], tuple[int, str, str | None, int]]:
    """The highest revision of each alert, and of those that stood the last one, which the row shows."""
    found: dict[tuple[str, int], tuple[int, str, str | None, int]] = {}
    for _, _, p in sorted(parsed(messages), key=lambda message: message[2]["revision"]):
        place = (p["rule"], p["transaction_id"])
        shown = found[place][3] if p["status"] == "withdrawn" and place in found else p["revision"]
        found[place] = (p["revision"], p["status"], p["changed_by"], shown)
    return found


def test_the_archive_has_the_highest_revision_however_often_a_batch_is_repeated(spark, pipeline, judged, tmp_path):
    place = replace(pipeline, lake=str(tmp_path / "lake"), progress=str(tmp_path / "progress"))
    messages = [message for name in NAMES for message in judged[0][name]]
    plain = json.dumps({**json.loads(messages[0][1]), "alert_id": "plain", "rule": "plain"})
    without = {name: value for name, value in json.loads(plain).items() if name not in alerts.REVISION_FIELDS}
    log = [(key.encode(), value.encode()) for key, value in messages] + [(b"plain", json.dumps(without).encode())]
    archive, middle = archive_batch(spark, place), len(log) // 2
    topic = [Logged(offset, *each) for offset, each in enumerate(log)]
    for number, batch in ((0, topic[:middle]), (1, topic[middle:]), (1, topic[middle:])):
        counts = archive(alert_rows(records(spark, "fraud.alerts", batch)), number)
        assert (counts["read"], counts["unreadable"]) == (len(batch), 0)
    found = archived_rows(spark, place)
    assert found.pop(("plain", 5000004)) == (0, "open", None, None)
    assert found == expected_archive(messages)
    assert {status for _, status, _, _ in found.values()} == {"open", "amended", "withdrawn"}
