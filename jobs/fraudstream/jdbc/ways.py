"""The ways to an answer about people_big: JDBC naively, JDBC partitioned, JDBC that leaves the work to PostgreSQL, and
the mirror in Delta that the change stream keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from fraudstream.errors import FraudstreamError
from fraudstream.jdbc.load import database_load, named
from fraudstream.jdbc.questions import QUESTIONS, TABLE, Question
from fraudstream.jdbc.source import exported_snapshot, in_snapshot, naive_table, pushed_down, table_of

Answer = list[tuple[Any, ...]]
Ask = Callable[[Question], DataFrame]
WAYS = ("naive", "partitioned", "pushed", "mirror")


def ask_all(
    spark: SparkSession, dsn: str, mirror: str, ways: Sequence[str], questions: Sequence[Question] = QUESTIONS,
    show: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every question in every way, one after the other: {way, question, seconds, answer, and the fields of Load}.

    `mirror` is the path of the mirror. Raises FraudstreamError when the database does not answer or no mirror is there.
    """
    found = []
    for way in ways:
        for question in questions:
            show(f"{way}: {question.name}")
            with database_load(dsn) as load:
                began = time.monotonic()
                with _asking(spark, named(dsn), mirror, way) as ask:
                    answer = in_order(tuple(row) for row in ask(question).collect())
                seconds = time.monotonic() - began
            found.append({"way": way, "question": question.name, "seconds": seconds, "answer": answer, **asdict(load)})
    return found


def in_order(rows: Iterable[tuple[Any, ...]]) -> Answer:
    """The rows of an answer as a list that does not depend on the order in which they were found."""
    return sorted(rows, key=lambda row: tuple(map(str, row)))


def differing(results: Sequence[dict[str, Any]]) -> list[str]:
    """Questions to which two ways found different answers; numbers are compared exactly, by value."""
    names = dict.fromkeys(result["question"] for result in results)
    answers = {name: [each["answer"] for each in results if each["question"] == name] for name in names}
    return [name for name, found in answers.items() if any(each != found[0] for each in found)]


@contextmanager
def _asking(spark: SparkSession, dsn: str, mirror: str, way: str) -> Iterator[Ask]:
    if way == "pushed":
        with exported_snapshot(dsn, TABLE, "id") as snapshot:
            yield lambda question: pushed_down(spark, dsn, question.better, in_snapshot(snapshot))
    elif way == "partitioned":
        with exported_snapshot(dsn, TABLE, "id") as snapshot:
            table = table_of(spark, dsn, TABLE, "id", snapshot, partitions=os.cpu_count() or 2)
            yield lambda question: _over(spark, table, question.better)
    elif way == "naive":
        yield lambda question: _over(spark, naive_table(spark, dsn, TABLE), question.sql)
    else:
        if not DeltaTable.isDeltaTable(spark, mirror):
            raise FraudstreamError(
                f"{mirror} is not there yet; keep it with `make up CONNECTORS=people` and "
                "`./spark-submit.sh mirror_people --until-caught-up`."
            )
        kept = spark.read.format("delta").load(mirror).where("not deleted")
        columns = ("id", "first_name", "last_name", "gender", "department", "salary", "country")
        yield lambda question: _over(spark, kept.select(*columns), question.better)


def _over(spark: SparkSession, table: DataFrame, sql: str) -> DataFrame:
    table.createOrReplaceTempView(TABLE)
    return spark.sql(sql)
