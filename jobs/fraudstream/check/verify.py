"""The check of a run: everything it left behind against the ledger, PostgreSQL and the oracle."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fraudstream import canary
from fraudstream.check import places
from fraudstream.check.capture import captured_changes, compare_capture, read_copies, read_ledger
from fraudstream.check.compare import (
    AlertMessage,
    ArchivedAlert,
    compare_alerts,
    compare_counts,
    compare_quarantine,
    compare_rows,
    precision_recall,
)
from fraudstream.check.corrected import judge_corrected
from fraudstream.check.mistakes import power
from fraudstream.check.oracle import Arrival, HighAmount, Settings, Verdict, arrivals, judge_topic
from fraudstream.check.payload import wrong_fields
from fraudstream.check.settings import DEFINED, settings_for
from fraudstream.check.topic import Record, read_topic
from fraudstream.config import Pipeline
from fraudstream.rulebook.catalog import Rule
from fraudstream.stack.queries import progress_lines
from fraudstream.stack.settings import StackSettings


def verify(
    settings: StackSettings,
    pipeline: Pipeline,
    rules: Sequence[Rule],
    ledger: Path,
    *,
    profile: str,
    copies: Path | None = None,
    power_rows: int | None = None,
) -> dict[str, Any]:
    """The checked part of report.json: `passed`, `failures` in words and the figures. To be called when the producer
    has ended and every query has caught up. `copies` is the log of redelivered messages. What the
    check could have found is tried on whole users of about `power_rows` records (None: on all).

    Rules that the oracle has no definition of are named under `unchecked_rules`.

    Raises FraudstreamError where something cannot be read.
    """
    live = [rule for rule in rules if rule.status == "live"]
    kafka = pipeline.kafka
    records = list(read_topic(kafka.bootstrap_servers, kafka.transactions_topic, kafka.client_options))
    topic = list(arrivals(records, pipeline.max_message_bytes, pipeline.mask))
    # The producer's ledger has the ids as they are.
    plain = list(arrivals(records, pipeline.max_message_bytes)) if pipeline.mask else topic
    verdicts = {rule.name: _judged(topic, rule) for rule in live if rule.rule in DEFINED}
    messages, no_alerts = alert_messages(read_topic(kafka.bootstrap_servers, kafka.alerts_topic, kafka.client_options))
    committed = read_ledger(ledger)
    report: dict[str, Any] = {
        "committed": {name: committed.counts[name] for name in ("inserts", "updates", "deletes")},
        "redelivered_copies": len(read_copies(copies)),
        "unchecked_rules": [rule.name for rule in live if rule.name not in verdicts],
    }
    report["capture"], failures = compare_capture(committed, captured_changes(plain, read_copies(copies)))
    for figures, failed in (
        _check_counts(pipeline, topic, verdicts),
        _check_mirror(settings, pipeline),
        _check_rules(pipeline, live, verdicts, messages),
        _check_quarantine(pipeline, topic, records),
        _check_archive(pipeline, sum(map(len, messages.values())), no_alerts),
        _check_power(topic, live, verdicts, power_rows, required=profile == "hot"),
    ):
        report |= figures
        failures += failed
    if profile == "realistic":
        report["precision_recall"] = _precision_recall(settings, verdicts)
    return {"passed": not failures, "failures": failures, **report}


def _judged(topic: Sequence[Arrival], rule: Rule) -> tuple[Settings, Verdict]:
    settings = settings_for(rule.rule, rule.parameters)
    judge = judge_corrected if rule.corrections == "on" else judge_topic
    return settings, judge(topic, settings, judge_snapshot=rule.snapshot == "judge")


def alert_messages(records: Iterable[Record]) -> tuple[dict[str, list[AlertMessage]], int]:
    """The messages of fraud.alerts per rule, and the number of those that are no alerts."""
    by_rule: dict[str, list[AlertMessage]] = defaultdict(list)
    no_alerts = 0
    for record in records:
        try:
            payload = json.loads(record.value or b"")
            message = AlertMessage(record.key, record.value or b"", payload, record.offset, record.timestamp)
            _ = (message.position, payload["alert_id"])
            by_rule[payload["rule"]].append(message)
        except (ValueError, KeyError, TypeError):
            no_alerts += 1
    return dict(by_rule), no_alerts


def _check_counts(
    pipeline: Pipeline, topic: Sequence[Arrival], verdicts: Mapping[str, tuple[Settings, Verdict]]
) -> tuple[dict[str, Any], list[str]]:
    entries = judge_topic(topic, HighAmount())  # a rule without state counts what the messages are
    ignored = sum(entries.ignored.values())
    parts = {name: count for name, count in entries.parts.items() if name != "unreadable"}
    counted: dict[str, Any] = {
        "read": len(topic), **parts, "quarantined": entries.parts["unreadable"], "ignored": ignored
    }  # fmt: skip
    failures = []
    queries = {"mirror_transactions": entries, **{name: verdict for name, (_, verdict) in verdicts.items()}}
    conservation = {}
    for query, verdict in queries.items():
        lines = progress_lines(pipeline.progress, query)
        conservation[query], failed = compare_counts(query, verdict.parts, sum(verdict.ignored.values()), lines)
        failures += failed
    ignored_as = {name: dict(verdict.ignored) for name, verdict in queries.items()}
    return {"topic": counted, "conservation": conservation, "ignored_as": ignored_as}, failures


def _check_mirror(settings: StackSettings, pipeline: Pipeline) -> tuple[dict[str, Any], list[str]]:
    figures, failures = compare_rows(
        places.postgres_rows(settings.dsn("batch"), pipeline.mask),
        places.current_rows(pipeline.table("transactions")),
    )
    return {"mirror": figures}, failures


def _check_rules(
    pipeline: Pipeline,
    rules: Sequence[Rule],
    verdicts: Mapping[str, tuple[Settings, Verdict]],
    messages: Mapping[str, Sequence[AlertMessage]],
) -> tuple[dict[str, Any], list[str]]:
    archived: dict[str, list[ArchivedAlert]] = defaultdict(list)
    for row in places.archived_alerts(pipeline.table("alerts")):
        archived[row[0]].append(ArchivedAlert(*row[1:]))
    report: dict[str, Any] = {}
    failures: list[str] = []
    for rule in (rule for rule in rules if rule.name in verdicts):
        verdict, found = verdicts[rule.name][1], messages.get(rule.name, [])
        check = partial(
            wrong_fields, rule=rule.name, version=rule.version, severity=rule.severity,
            topic=pipeline.kafka.transactions_topic, corrections=rule.corrections == "on",
        )  # fmt: skip
        report[rule.name], failed = compare_alerts(rule.name, verdict, found, archived.get(rule.name, []), check)
        failures += failed
    strangers = sorted((messages.keys() | archived.keys()) - {rule.name for rule in rules})
    failures += [f"{name}: alerts of a rule that is not live in the rules file" for name in strangers]
    return {"rules": report}, failures


def _check_quarantine(
    pipeline: Pipeline, topic: Sequence[Arrival], records: Sequence[Record]
) -> tuple[dict[str, Any], list[str]]:
    unreadable = {
        (arrival.partition, arrival.offset): record.value
        for arrival, record in zip(topic, records, strict=True)
        if arrival.entry == "unreadable"
    }
    rows = places.quarantined(pipeline.table("quarantine"))
    return {"quarantine_rows": len(rows)}, compare_quarantine(unreadable, rows)


def _check_archive(pipeline: Pipeline, alerts: int, no_alerts: int) -> tuple[dict[str, Any], list[str]]:
    topic = pipeline.kafka.alerts_topic
    read = sum(line["read"] for line in progress_lines(pipeline.progress, "archive_alerts"))
    failures = []
    if read != alerts + no_alerts:
        failures.append(f"archive_alerts: {read} messages read, {topic} has {alerts + no_alerts}")
    if no_alerts:
        failures.append(f"{topic}: {no_alerts} messages are no alerts")
    return {}, failures


def _precision_recall(settings: StackSettings, verdicts: Mapping[str, tuple[Settings, Verdict]]) -> dict[str, Any]:
    found = {name: _standing(verdict) for name, (_, verdict) in verdicts.items()}
    return precision_recall(found, places.frauds(settings.dsn("postgres")))


def _standing(verdict: Verdict) -> set[int]:
    """The transactions whose alert is not withdrawn in the end, the canary's left out."""
    alerts = [alert for alert in verdict.alerts if alert.arrival.row.user_id != canary.USER]
    last = {alert.transaction_id: alert.status for alert in alerts}
    return {transaction for transaction, status in last.items() if status != "withdrawn"}


def _some_users(topic: Sequence[Arrival], rows: int | None) -> Sequence[Arrival]:
    """All records of some users, about `rows` of them: users are judged apart from each other."""
    share = len(topic) // rows + 1 if rows else 1
    if share == 1:
        return topic
    return [each for each in topic if each.event and each.event.row and each.event.row.user_id % share == 0]


def _check_power(
    topic: Sequence[Arrival],
    rules: Sequence[Rule],
    verdicts: Mapping[str, tuple[Settings, Verdict]],
    rows: int | None,
    *,
    required: bool,
) -> tuple[dict[str, Any], list[str]]:
    tried = _some_users(topic, rows)
    # The mistakes are tried on first judgements.
    anew = verdicts.keys() if tried is not topic else {rule.name for rule in rules if rule.corrections == "on"}
    first = {name: (verdicts[name][0], judge_topic(tried, verdicts[name][0])) for name in anew & verdicts.keys()}
    figures = power(tried, {**verdicts, **first})
    return {"power": figures}, figures["reasons"] if required else []
