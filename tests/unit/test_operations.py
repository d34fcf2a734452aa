"""docs/operations.md: a runbook for every name that an error can end with, and none that nothing leads to."""

from __future__ import annotations

import re
from typing import get_args

from fraudstream.errors import GuardError, Runbook, with_runbook
from fraudstream.stack.settings import REPOSITORY

TEXT = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")


def runbooks() -> list[str]:
    section = TEXT.split("\n## Runbooks\n")[1].split("\n## ")[0]
    return [line.removeprefix("### ") for line in section.splitlines() if line.startswith("### ")]


def test_every_name_of_a_runbook_has_one_heading_in_order():
    assert runbooks() == sorted(get_args(Runbook))


def test_an_error_ends_with_the_name_of_its_runbook():
    assert (
        str(GuardError("The slot was moved.", "slot-ahead")) == "The slot was moved. [docs/operations.md: slot-ahead]"
    )


def test_what_spark_says_leads_to_a_runbook_and_what_is_unknown_to_none():
    assert with_runbook("[KAFKA_DATA_LOSS.COULD_NOT_READ_OFFSET_RANGE] gone").endswith(
        "[docs/operations.md: records-gone]"
    )
    assert with_runbook("java.io.IOException: No space left on device").endswith("[docs/operations.md: disk-full]")
    assert with_runbook("division by zero") == "division by zero"


OF_A_BATCH_FUNCTION = """An exception was raised by the Python Proxy. Return Message: Traceback (most recent call last):
  File "mirror.py", line 111, in mirror
py4j.protocol.Py4JJavaError: An error occurred while calling o1062.isEmpty.
: org.apache.spark.sql.kafka010.KafkaIllegalStateException: Some data may have been lost because they are not available
either the data was aged out by Kafka or the topic may have been deleted
\tat org.apache.spark.sql.kafka010.KafkaExceptions$.couldNotReadOffsetRange(KafkaExceptions.scala:94)
WriteToMicroBatchDataSource
+- ~StreamingDataSourceV2ScanRelation[key#188, value#189] KafkaTable"""
IN_REAL_TIME = """Job aborted due to stage failure: org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch
+- ~StreamingDataSourceV2ScanRelation[key#188, value#189] KafkaTable"""


def test_records_that_are_gone_are_named_in_every_way_in_which_spark_says_it():
    assert with_runbook(OF_A_BATCH_FUNCTION) == (
        "An exception was raised by the Python Proxy. Return Message: Traceback (most recent call last): ... "
        "org.apache.spark.sql.kafka010.KafkaIllegalStateException: Some data may have been lost because they are not "
        "available [docs/operations.md: records-gone]"
    )
    assert with_runbook(IN_REAL_TIME) == (
        "Job aborted due to stage failure: org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch "
        "[docs/operations.md: records-gone]"
    )


def test_what_looks_before_capture_starts_and_compose_does_not_is_said_with_what_to_ask_instead():
    limits = TEXT.split("\n## Limits\n")[1].split("\n## ")[0].split("\n- ")
    (limit,) = (each for each in limits if "Compose" in each)
    guards = (REPOSITORY / "jobs/fraudstream/stack/guard.py").read_text(encoding="utf-8")
    assert set(re.findall(r"`([a-z]+-[a-z]+)`", limit)) == {each for each in get_args(Runbook) if f'"{each}"' in guards}
    assert "make doctor" in limit
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    steps = readme[readme.index("docker/compose.yaml` starts") :].split("```")[1].splitlines()[1:]
    assert [step.partition("#")[0].strip() for step in steps] == [
        "docker compose --project-directory docker up --detach --wait postgres kafka",
        "make doctor",
        "docker compose --project-directory docker up --detach",
    ]


def test_every_runbook_is_named_by_the_code():
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "jobs").rglob("*.py")]
    texts = [text.partition("\n]\n")[2] if "Runbook = Literal[" in text else text for text in texts]
    assert [name for name in runbooks() if not any(f'"{name}"' in text for text in texts)] == []
