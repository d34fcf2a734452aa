"""The columnar reader on the real components: the same world, judged by both readers, ends the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from pyspark.errors import StreamingQueryException

from fraudstream.config import State
from fraudstream.errors import GuardError
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.stack import kafka
from fraudstream.streams import queries
from stack.world import NOON, ROW, World, rows, topic_values, world

pytestmark = pytest.mark.stack
POISON = (b"\xff\xfe", b"{}", b"[]", b'{"op": "c"', b"[" * 2000 + b"]" * 2000, b'{"a": "' + b"x" * 300_000 + b'"}')


@pytest.fixture
def columnar(stack, spark, tmp_path: Path, request: pytest.FixtureRequest):
    """A world whose stateful rules read by columns."""
    name = request.node.name.removeprefix("test_")[:40]
    with world(stack, spark, tmp_path, name, reader="columnar") as made:
        made.sql(rows(8, "10", "10", "10"))  # of the snapshot
        made.capture()
        yield made


def beside(made: World, folder: Path) -> World:
    """The same topic judged by Spark's own source, with everything else of its own."""
    kafka_ = replace(made.pipeline.kafka, reader="built-in", alerts_topic=f"{made.pipeline.kafka.alerts_topic}.beside")
    places = {name: str(folder / f"beside_{name}") for name in ("lake", "checkpoints", "progress")}
    return replace(made, pipeline=replace(made.pipeline, kafka=kafka_, **places))


def messages(made: World) -> list[str]:
    """The alerts in Kafka, whole."""
    return sorted(map(str, topic_values(made.settings, made.pipeline.kafka.alerts_topic)))


def write_badly(made: World) -> None:
    """Every change once more, and poison."""
    producer = Producer({**kafka.client(made.settings), "message.max.bytes": 2_000_000})
    topic = made.pipeline.kafka.transactions_topic
    for record in [record for record in made.records() if record.value]:
        producer.produce(topic, record.value, record.key, record.partition, headers=list(record.headers))
    for value in POISON:
        producer.produce(topic, value, key=b'{"user_id":1}')
    assert producer.flush(30) == 0


def test_both_readers_end_with_the_same_alerts_counts_and_quarantine(columnar, tmp_path: Path):
    other = beside(columnar, tmp_path)
    columnar.sql(
        rows(1, "10", "10", "10", "600"), rows(2, *["4600"] * 6, apart=1), rows(8, "600", start=1000),
        "update transactions set amount = 11 where user_id = 1 and amount = 10",
        "update transactions set user_id = 3 where user_id = 2 and id % 2 = 0",
        f"{ROW} (4, 'NaN', 'VISA', 7, {NOON}), (4, 5000, 'VISA', 7, timestamp '2999-01-01')",
        "delete from transactions where user_id = 3", rows(9, "1"),
    )  # fmt: skip
    columnar.wait_for_row(17)
    columnar.run_rules()
    write_badly(columnar)
    columnar.sql(rows(1, "700", "900", start=2000), rows(9, "2"))  # ids 18 to 20
    columnar.wait_for_row(20)
    columnar.judge()
    other.judge()
    found = columnar.assert_exact()
    assert found == other.assert_exact()
    assert found["anomaly"] >= 3
    assert messages(columnar) == messages(other)
    for rule in columnar.rules:
        assert columnar.parts(rule.name) == other.parts(rule.name)
        if not rule.stateless:
            assert columnar.parts(rule.name)["unreadable"] == len(POISON)


def test_rules_that_share_a_query_end_as_with_queries_of_their_own_by_sparks_source(columnar, tmp_path: Path):
    """A version takes over from one that kept less, and the lines of batches were lost, which are counted again."""
    other = beside(columnar, tmp_path)
    shared = replace(columnar.pipeline, shared_queries={"windows": ["velocity", "anomaly"]})
    sessions = [(columnar.session.newSession(), pipeline) for pipeline in (shared, other.pipeline)]
    columnar.sql(rows(1, "300", "300", "300", "700"), rows(2, *["4600"] * 6, apart=1))
    columnar.wait_for_row(13)
    for row, factor in enumerate(("3", "2", "2"), start=14):
        anomaly = f"anomaly: {{parameters: {{factor: {factor}, history: 5{factor}}}}}"
        (tmp_path / "changed.yaml").write_text(f"{anomaly}\nvelocity: {{parameters: {{more_than: 3}}}}")
        changed = load_rules(tmp_path / "changed.yaml")
        started = [
            queries.start_rules(session, changed, pipeline, until_caught_up=True) for session, pipeline in sessions
        ]
        assert [len(each) for each in started] == [1, 2]
        for query in chain(*started):
            query.awaitTermination()
        columnar.sql(rows(1, "1000", start=1000 * row), rows(2, "4600", start=10))
        columnar.wait_for_row(2 * row - 13)
        for rule in changed if factor == "3" else ():
            Path(shared.progress, f"{rule.name}.jsonl").unlink()
    assert messages(columnar) == messages(other)
    assert {rule for rule, _ in columnar.alerts_in_kafka()} == {"anomaly", "velocity"}
    for rule in changed:
        assert columnar.parts(rule.name) == other.parts(rule.name)
        assert columnar.parts(rule.name)["read"] > 0


def test_records_that_are_gone_before_the_first_batch_was_committed_are_not_passed_over(columnar):
    columnar.sql(rows(1, "10", "10", "10", "600"))
    columnar.wait_for_row(7)
    rule = anomaly_of(columnar)
    run_to_the_end(columnar, rule)
    # As a driver leaves it that dies in its first batch.
    for folder in ("commits", "state"):
        shutil.rmtree(Path(columnar.pipeline.checkpoint(rule.name), folder))
    topic = columnar.pipeline.kafka.transactions_topic
    gone = [TopicPartition(topic, number, 2) for number in {record.partition for record in columnar.records()}]
    admin = kafka.admin(columnar.settings)  # the answer does not come to a client that is gone
    for deleted in admin.delete_records(gone).values():
        deleted.result(30)
    with pytest.raises(StreamingQueryException, match=r"are gone before they were judged|records-gone"):
        run_to_the_end(columnar, rule)


@pytest.fixture(scope="module")
def begun(stack, spark, tmp_path_factory: pytest.TempPathFactory):
    """A world in which anomaly has read some rows, with a state of three partitions."""
    with world(stack, spark, tmp_path_factory.mktemp("begun"), "begun", reader="columnar") as made:
        made.capture()
        made.sql(rows(1, *["10"] * 4))
        made.wait_for_row(4)
        cut = replace(made, pipeline=replace(made.pipeline, state=State(buckets=6, partitions=3)))
        run_to_the_end(cut, anomaly_of(cut))
        yield cut


def test_a_rules_shuffle_has_the_partitions_of_its_state(begun: World):
    parts = Path(begun.pipeline.checkpoint("anomaly"), "state", "0").iterdir()
    assert sorted(path.name for path in parts if path.name.isdigit()) == ["0", "1", "2"]


def test_a_checkpoint_of_the_other_reader_is_refused(begun: World):
    plain = replace(begun.pipeline, kafka=replace(begun.pipeline.kafka, reader="built-in"))
    with pytest.raises(GuardError, match=r"reader = columnar.*checkpoint-mismatch"):
        run_to_the_end(replace(begun, pipeline=plain), anomaly_of(begun))


def anomaly_of(made: World) -> Rule:
    return next(rule for rule in made.rules if rule.name == "anomaly")


def run_to_the_end(made: World, rule: Rule) -> None:
    """Run the rule until it has caught up."""
    for query in queries.start_rules(made.session.newSession(), [rule], made.pipeline, until_caught_up=True):
        query.awaitTermination()
