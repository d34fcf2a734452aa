"""Having the mirror and the archives process what a repair has put into their topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from fraudstream.audit.bounds import ARCHIVE, MIRROR, SHADOW_ARCHIVE
from fraudstream.check.topic import read_topic
from fraudstream.errors import FraudstreamError, GuardError, with_runbook
from fraudstream.streams.progress import by_number, position

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

    from fraudstream.repair.run import Workshop

_CATCH_UP_S = 180.0


def catch_up(shop: Workshop, kinds: set[str]) -> None:
    """Have the mirror and the archives process what the repair has put into the topics."""
    from fraudstream.streams import queries, replay

    pipeline, kafka = shop.pipeline, shop.pipeline.kafka
    if kinds & {"row_not_captured", "quarantine"}:
        hold = partial(replay.hold_mirror, pipeline)
        _run_out(shop, MIRROR, kafka.transactions_topic, hold, queries.start_mirror)
    if kinds & {"alert_missing", "alert_differs"}:
        for query, table, topic, start in (
            (ARCHIVE, "alerts", kafka.alerts_topic, queries.start_archive),
            (SHADOW_ARCHIVE, "shadow_alerts", kafka.shadow_topic, queries.start_shadow_archive),
        ):
            _run_out(shop, query, topic, partial(replay.hold_archive, pipeline, query, table), start)


def _run_out(
    shop: Workshop, query: str, topic: str, hold: Callable[[], None], start: Callable[..., StreamingQuery | None]
) -> None:
    """Have the query commit what is in its topic: the driver that runs it does, else this process."""
    from pyspark.errors import PySparkException

    try:
        hold()
    except GuardError:
        _wait_for(shop, query, topic)
        return
    running = start(shop.session(), shop.pipeline, until_caught_up=True)
    try:
        if running is not None:
            running.awaitTermination()
    except PySparkException as error:
        raise FraudstreamError(f"{query} failed: {with_runbook(str(error))}") from error


def _wait_for(shop: Workshop, query: str, topic: str) -> None:
    """Wait until the running query has committed what is in the topic now; what it does not in time is in flight."""
    checkpoint = shop.pipeline.checkpoint(query)
    ends = ends_of(shop, topic, by_number(position(checkpoint)))
    limit = time.monotonic() + _CATCH_UP_S
    shop.say(f"waiting until {query} has written it")
    while time.monotonic() < limit:
        now = by_number(position(checkpoint))
        if all(now.get(number, 0) >= end for number, end in ends.items()):
            return
        time.sleep(0.3)


def ends_of(shop: Workshop, topic: str, start: Mapping[int, int]) -> dict[int, int]:
    """Behind the topic's last records, which are read from `start` on."""
    kafka = shop.pipeline.kafka
    ends = dict(start)
    for record in read_topic(kafka.bootstrap_servers, topic, kafka.client_options, start):
        ends[record.partition] = record.offset + 1
    return ends
