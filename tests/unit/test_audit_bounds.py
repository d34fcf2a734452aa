"""Where an audit begins, and the refusal to compare offsets with those of another topic."""

from __future__ import annotations

import base64
import json
import struct
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from fraudstream.audit import bounds
from fraudstream.config import Pipeline, load_pipeline
from fraudstream.errors import GuardError
from fraudstream.stack.kafka import topic_ids

IDS = {"dbserver1.public.transactions": "aaa", "fraud.alerts": "bbb"}


class Broker:
    """A consumer of two topics with 10 records each."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def list_topics(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(topics={name: SimpleNamespace(error=None, partitions={0: None}) for name in IDS})

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return 0, 10

    def close(self) -> None:
        pass


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(bounds, "Consumer", Broker)
    monkeypatch.setattr(bounds, "topic_ids", lambda _, names: {name: IDS[name] for name in names})
    return replace(load_pipeline(), lake=str(tmp_path / "lake"), checkpoints=str(tmp_path / "checkpoints"))


def committed(pipeline: Pipeline, query: str, topic: str, **made_with: str) -> None:
    """A checkpoint whose last batch ended at offset 8."""
    folder = Path(pipeline.checkpoint(query))
    for part, text in (("offsets", f'v1\n{{}}\n{{"{topic}": {{"0": 8}}}}'), ("commits", "v1\n{}")):
        (folder / part).mkdir(parents=True)
        (folder / part / "0").write_text(text)
    (folder / "fraudstream.json").write_text(json.dumps({"generation": "one", "topic": topic, **made_with}))


def test_queries_stand_where_their_checkpoints_say_in_the_topics_that_they_were_made_with(pipeline: Pipeline):
    committed(pipeline, "mirror_transactions", "dbserver1.public.transactions", topic_id="aaa")
    committed(pipeline, "archive_alerts", "fraud.alerts")  # made before ids were kept
    found = bounds.take_bounds(pipeline, [], None)
    assert found.positions == {"mirror_transactions": {0: 8}, "archive_alerts": {0: 8}}
    assert found.transactions.low == {0: 0}


@pytest.mark.parametrize(
    ("query", "topic"),
    [("mirror_transactions", "dbserver1.public.transactions"), ("archive_alerts", "fraud.alerts")],
)
def test_nothing_is_compared_with_a_topic_that_was_made_anew_though_its_offsets_look_right(pipeline, query, topic):
    committed(pipeline, query, topic, topic_id="former")
    with pytest.raises(GuardError, match=f"{topic} was deleted and made anew.*--reset {query}") as refusal:
        bounds.take_bounds(pipeline, [], None)
    assert refusal.value.runbook == "topic-replaced"


def test_a_topic_of_another_name_is_not_said_to_be_made_anew(pipeline: Pipeline):
    committed(pipeline, "mirror_transactions", "elsewhere.public.transactions", topic_id="former")
    with pytest.raises(GuardError, match=r"topic = elsewhere\.public\.transactions, now it is dbs") as refusal:
        bounds.take_bounds(pipeline, [], None)
    assert refusal.value.runbook == "checkpoint-mismatch"


def test_the_id_of_a_topic_is_written_as_java_writes_it_and_a_topic_that_is_gone_has_none():
    # Java: Base64.getUrlEncoder().withoutPadding() of the 16 bytes.
    most, least = -0x0401_0801_0401_0801, 0x3E3E_3F3F_3E3E_3F3F
    expected = base64.urlsafe_b64encode(struct.pack(">qq", most, least)).decode().rstrip("=")
    assert {"-", "_"} <= {*expected}

    def described(topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        found: dict[str, Future[Any]] = {name: Future() for name in ("t", "gone")}
        found["t"].set_result(SimpleNamespace(topic_id=Uuid(most, least)))
        found["gone"].set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return found

    assert topic_ids(SimpleNamespace(describe_topics=described), ["t", "gone"]) == {"t": expected}
