"""One repair: audit, close what was found, audit again, until nothing is left that a repair can close."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fraudstream.audit import known, records, rows
from fraudstream.audit.bounds import ARCHIVE, MIRROR, SHADOW_ARCHIVE
from fraudstream.audit.finding import KINDS, REPAIR, Finding, Position
from fraudstream.audit.run import Audit, Options, audit
from fraudstream.config import Pipeline
from fraudstream.errors import GuardError
from fraudstream.repair.catch_up import catch_up, ends_of
from fraudstream.repair.publish import Outgoing, beyond_topic, publish, readable_again
from fraudstream.repair.snapshot import bring_rows
from fraudstream.rulebook.catalog import Rule
from fraudstream.stack.settings import StackSettings
from fraudstream.streams.manifest import hold_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROUNDS = 3
_SNAPSHOT_S = 60.0
_OF_MIRROR = (
    "change_missing", "change_doubled", "change_unknown", "quarantine_missing", "quarantine_doubled",
    "quarantine_unknown", "row_not_mirrored", "row_ghost",
)  # fmt: skip
_OF_ALERTS = ("alert_missing", "alert_differs", "alert_extra")
_OF_ARCHIVE = ("archived_missing", "archived_doubled", "archived_extra", "archived_differs")
_SAID = {
    "row_not_captured": "bring {n} rows by an incremental snapshot",
    "row_not_mirrored": "make {n} rows anew from lake/transaction_changes",
    "row_ghost": "mark {n} rows as deleted",
    "message_doubled": "acknowledge {n} messages that repeat others",
    "alert_missing": "publish {n} alerts",
    "alert_differs": "publish {n} alerts with the right bytes, and acknowledge those with others",
    "alert_extra": "acknowledge {n} alerts that no rule made",
    **dict.fromkeys(_OF_MIRROR[:6], "replay {n} records of the topic into the tables"),
    **dict.fromkeys(_OF_ARCHIVE, "archive {n} alerts anew from their topic"),
}


@dataclass
class Repair:
    """What a repair did, in words and in order; and the audits before and after (None: a dry run)."""

    before: Audit
    done: list[str] = field(default_factory=list)
    after: Audit | None = None


@dataclass(frozen=True)
class Workshop:
    """What repairing takes: where, with what, and how to say so. `session` starts Spark when it is first needed."""

    pipeline: Pipeline
    rules: Sequence[Rule]
    settings: StackSettings
    session: Callable[[], SparkSession]
    say: Callable[[str], None]


def closable(found: Audit) -> list[Finding]:
    """The findings that a repair closes, in the order in which it does."""
    order = list(_SAID)
    chosen = [each for each in found.findings if KINDS[each.kind].remedy == REPAIR and each.kind in _SAID]
    return sorted(chosen, key=lambda each: order.index(each.kind))


def due(steps: Sequence[Finding]) -> list[Finding]:
    """Those of `steps` that a round closes: an archive, which may be running, follows its topic, so alerts are put in
    order there first."""
    is_first = any(each.kind in _OF_ALERTS for each in steps)
    return [each for each in steps if not (is_first and each.kind in _OF_ARCHIVE)]


def said(finding: Finding) -> str:
    """What a repair does about the finding."""
    return f"{finding.kind} in {finding.where}: {_SAID[finding.kind].format(n=f'{finding.count:,}')}"


def repair(shop: Workshop, options: Options, *, dry_run: bool = False, quarantine: bool = False) -> Repair:
    """Close what an audit finds. Raises GuardError, before a round does anything, while a driver writes a table that it
    has to mend, FraudstreamError where something cannot be read or written; starting it again goes on."""
    _hold_repairs(shop.pipeline)
    found = _audit(shop, options)
    values = _quarantined(shop, found) if quarantine else {}
    back, gone = readable_again(shop.pipeline, values), beyond_topic(shop.pipeline, values, found.bounds.transactions)
    result = Repair(found, [_said_gone(gone)] if gone else [])
    if dry_run:
        result.done += [f"to do: {said(each)}" for each in closable(found)]
        result.done += [f"to do: {_said_back(back)}"] if back else []
        return result
    for _ in range(ROUNDS):
        steps = due(closable(found))
        if not steps and not back:
            break
        _require_free(shop.pipeline, steps)
        for finding in steps:
            shop.say(said(finding))
            _close(shop, finding, found)
            result.done.append(said(finding))
        if back:
            publish(shop.pipeline, back)
            origins = [_origin(each) for each in back]
            known.record(
                shop.pipeline.lake, known.Repair("quarantine", "lake/quarantine", "put back", positions=origins)
            )
            result.done.append(_said_back(back))
        catch_up(shop, {each.kind for each in steps} | ({"quarantine"} if back else set()))
        back = []
        found = _audit(shop, options)
    result.after = found
    return result


def _hold_repairs(pipeline: Pipeline) -> None:
    """Two repairs at once would do everything twice."""
    try:
        hold_table(pipeline.table(known.TABLE))
    except GuardError as error:
        raise GuardError(
            "another repair is running: nothing was repaired. Wait until it has ended, and start this one again.",
            error.runbook,
        ) from error


def _audit(shop: Workshop, options: Options) -> Audit:
    return audit(shop.pipeline, shop.rules, shop.settings, options, shop.say)


def _require_free(pipeline: Pipeline, steps: Sequence[Finding]) -> None:
    """Hold for this process what the steps have to write. Raises GuardError while a driver does."""
    from fraudstream.streams import replay

    kinds = {each.kind for each in steps}
    if kinds & set(_OF_MIRROR):
        with _plainly("mirror_transactions"):
            replay.hold_mirror(pipeline)
    for query, table in ((ARCHIVE, "alerts"), (SHADOW_ARCHIVE, "shadow_alerts")):
        if any(each.kind in _OF_ARCHIVE and each.where == f"lake/{table}" for each in steps):
            with _plainly(query):
                replay.hold_archive(pipeline, query, table)


@contextmanager
def _plainly(query: str) -> Iterator[None]:
    try:
        yield
    except GuardError as error:
        raise GuardError(
            f"{query} is running, and one process writes a table: nothing was repaired. Stop it (Ctrl-C, or kill the "
            "pid of `make status`), repair, and start it again.",
            error.runbook,
        ) from error


def _close(shop: Workshop, finding: Finding, found: Audit) -> None:
    kind = finding.kind
    if kind == "row_not_captured":
        _bring(shop, finding, found)
    elif kind in ("alert_missing", "alert_differs"):
        _publish_alerts(shop, finding)
    elif kind in ("message_doubled", "alert_extra"):
        _acknowledge(shop, finding)
    else:
        _mend_tables(shop, finding, found)
        action = {"row_ghost": "deleted", "archived_extra": "removed"}.get(kind, "made anew")
        done = known.Repair(kind, finding.where, action, finding.ids, finding.positions)
        known.record(shop.pipeline.lake, done)


def _bring(shop: Workshop, finding: Finding, found: Audit) -> None:
    ids = [int(each) for each in finding.ids]
    users = {number: stored.row[0] for number, stored in rows.stored_rows(shop.settings.dsn("batch"), ids).items()}
    start = ends_of(shop, found.bounds.transactions.name, found.bounds.of(MIRROR))
    bring_rows(shop.settings, shop.pipeline, users, start, _SNAPSHOT_S, shop.say)
    known.record(shop.pipeline.lake, known.Repair(finding.kind, finding.where, "incremental snapshot", ids))


def _publish_alerts(shop: Workshop, finding: Finding) -> None:
    kafka = shop.pipeline.kafka
    missing, wrong = finding.about if finding.kind == "alert_differs" else (finding.about, [])
    topics = {True: kafka.shadow_topic, False: kafka.alerts_topic}
    publish(shop.pipeline, (Outgoing(topics[a.shadow], a.key.encode(), a.value.encode()) for a in missing))
    known.record(shop.pipeline.lake, known.Repair(finding.kind, finding.where, "published", finding.ids))
    _acknowledge_alerts(shop, wrong)


def _acknowledge(shop: Workshop, finding: Finding) -> None:
    if finding.kind == "alert_extra":
        _acknowledge_alerts(shop, finding.about)
        return
    repeated = known.Repair(finding.kind, finding.where, "acknowledged", positions=finding.positions)
    known.record(shop.pipeline.lake, repeated)


def _acknowledge_alerts(shop: Workshop, messages: Sequence[Any]) -> None:
    kafka = shop.pipeline.kafka
    for shadow, topic in ((True, kafka.shadow_topic), (False, kafka.alerts_topic)):
        places = [each.at for each in messages if (each.alert is not None and each.alert.shadow) == shadow]
        if places:
            known.record(shop.pipeline.lake, known.Repair("alert_extra", topic, "acknowledged", positions=places))


def _mend_tables(shop: Workshop, finding: Finding, found: Audit) -> None:
    from fraudstream.streams import replay

    spark, pipeline = shop.session(), shop.pipeline
    numbers = [each for each in finding.ids if isinstance(each, int)]
    if finding.kind == "row_not_mirrored":
        replay.derive_rows(spark, pipeline, numbers)
    elif finding.kind == "row_ghost":
        replay.mark_deleted(spark, pipeline, numbers)
    elif finding.kind in _OF_ARCHIVE:
        query = ARCHIVE if finding.where == "lake/alerts" else SHADOW_ARCHIVE
        topic = found.bounds.alerts[query].name
        without = known.acknowledged(pipeline.lake, "alert_extra").get(topic, set())
        ids = [str(each) for each in finding.ids]
        table = finding.where.removeprefix("lake/")
        replay.derive_alerts(spark, pipeline, table, topic, ids, found.bounds.of(query), without)
    else:
        replay.replay_records(spark, pipeline, finding.positions)


def _quarantined(shop: Workshop, found: Audit) -> dict[Position, bytes | None]:
    rows_of = records.quarantine_of(shop.pipeline.lake, found.bounds.transactions.name).to_pylist()
    return {(row["partition"], row["offset"]): row["value"] for row in rows_of}


def _origin(message: Outgoing) -> tuple[int, int]:
    partition, offset = message.headers[-1][1].decode().rsplit("-", 2)[1:]
    return int(partition), int(offset)


def _said_back(messages: Sequence[Outgoing]) -> str:
    return f"put {len(messages):,} quarantined records that can be read now back into the topic"


def _said_gone(count: int) -> str:
    return f"not put back: {count:,} quarantined records that can be read now, but are not in the topic any more"
