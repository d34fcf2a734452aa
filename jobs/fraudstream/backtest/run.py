"""A backtest: history, labels and rules in, a report out."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fraudstream import alerts
from fraudstream.backtest import truth
from fraudstream.backtest.examples import examples
from fraudstream.backtest.figures import Bools, Period, card_precision, figures, period_of
from fraudstream.backtest.files import history_of_file
from fraudstream.backtest.live import compared, live_alerts
from fraudstream.backtest.runtime import Judgement, judge
from fraudstream.backtest.source import History, history_of_lake
from fraudstream.backtest.truth import FRAUD, HONEST, Label, Truth, Unlabelled
from fraudstream.backtest.variants import Variant, with_labels
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import definition_of
from fraudstream.triage.times import DAY_US

LAKE, NONE = "lake", "none"
BLIND = 0.05  # a rule that alerts on less of a kind of fraud does not see it
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to test on. Times in microseconds since 1970, None for all there is; `transactions` is LAKE or a file,
    `labels` LAKE, NONE or a file; `label_delay` in microseconds."""

    lake: str
    transactions: str = LAKE
    labels: str = LAKE
    unlabelled: Unlabelled = "honest"
    label_delay: int = 7 * DAY_US
    since: int | None = None
    until: int | None = None
    as_of: int | None = None
    k: int = 100
    examples: int = 3


@dataclass(frozen=True)
class Backtest:
    """The report, and the history whose problems are written beside it."""

    report: dict[str, Any]
    history: History


def backtest(variants: Sequence[Variant], options: Options, say: Say) -> Backtest:
    """Judge all of history with each variant and weigh the alerts of the period. Raises FraudstreamError for what
    cannot be read, and if no transaction lies in the period."""
    began = time.monotonic()
    say(f"reading {options.transactions}")
    whole = _history(options)
    history = whole.until(options.as_of)
    labels = _labels(options)
    known = truth.truth_at(history, labels, options.as_of, options.unlabelled, options.label_delay)
    period = _period(history, known, options, any(variant.rule.snapshot == "judge" for variant in variants))
    visible = truth.confirmed(truth.known(labels, options.as_of))
    read = time.monotonic()
    entries, configured = [], []
    for number, variant in enumerate(variants, start=1):
        say(f"{number} of {len(variants)}: {variant.name} over {history.rows:,} transactions")
        given = Variant(with_labels(variant.rule, visible), variant.changed)
        entry, alerted = _entry(given, history, period, options)
        entries.append(entry)
        if alerted is not None and not variant.changed:
            configured.append(alerted)
    report = {
        "period": _told(period, options),
        "source": _source(whole, history, period),
        "labels": {"source": options.labels, "unlabelled": options.unlabelled, **truth.counts(labels, options.as_of)},
        "known": _known(period),
        "rules": entries,
        "together": _together(period, configured, options.k) if configured else None,
        "seconds": {"read": round(read - began, 1), "all": round(time.monotonic() - began, 1)},
    }
    return Backtest(report, whole)


def _history(options: Options) -> History:
    if options.transactions == LAKE:
        return history_of_lake(options.lake)
    return history_of_file(Path(options.transactions))


def _labels(options: Options) -> list[Label]:
    if options.labels == NONE:
        return []
    return truth.labels_of_lake(options.lake) if options.labels == LAKE else truth.labels_of_file(Path(options.labels))


def _period(history: History, known: Truth, options: Options, snapshot: bool) -> Period:
    times = history.batch["created_at"]
    if not len(times):
        raise FraudstreamError(f"{history.source}: no transaction that can be judged; see problems.csv, or --as-of.")
    since = int(times.min()) // DAY_US * DAY_US if options.since is None else options.since
    until = (int(times.max()) // DAY_US + 1) * DAY_US if options.until is None else options.until
    found = period_of(history, known, since, until, snapshot) if since < until else None
    if found is None or not len(found.place):
        first, last = (alerts.format_micros(int(each))[:19] + "Z" for each in (times.min(), times.max()))
        raise FraudstreamError(
            f"{history.source}: no transaction from --from to --to; there are some from {first} to {last}."
        )
    return found


def _entry(variant: Variant, history: History, period: Period, options: Options) -> tuple[dict[str, Any], Bools | None]:
    rule, began = variant.rule, time.monotonic()
    head = {
        "rule": rule.name, "variant": variant.name, "changed": dict(variant.changed), "version": rule.version,
        "severity": rule.severity, "status": rule.status, "budget": rule.budget, "key": rule.key,
        "parameters": {name: _shown(value) for name, value in rule.parameters.items()},
        "about": inspect.cleandoc(definition_of(rule.rule).body.__doc__ or ""),
    }  # fmt: skip
    try:
        judged = judge(rule, history)
    except FraudstreamError as error:
        return {**head, "not_judged": str(error)}, None
    messages = judged.standing
    alerted, score = _alerted(history, period, judged)
    found = {
        **head,
        "counts": judged.counts,
        **figures(period, alerted),
        **card_precision(period, alerted, score, options.k),
        "examples": examples(history, period, alerted, messages, rule.key, options.examples),
        "live": _live(rule.name, history, period, alerted, options),
        "seconds": round(time.monotonic() - began, 1),
    }
    return {**found, "blind": blind(found)}, alerted


def _alerted(history: History, period: Period, judged: Judgement) -> tuple[Bools, Any]:
    """Which transactions of the period alert, and their scores (0 where the rule gives none)."""
    messages = judged.standing
    scores = np.full(history.rows, np.nan)
    scores[history.places(messages)] = [float(message["score"] or 0) for message in messages.values()]
    found = scores[period.place]
    return ~np.isnan(found), np.nan_to_num(found)


def blind(entry: Mapping[str, Any]) -> list[str]:
    """The kinds of fraud that the rule does not see: it alerts on less than BLIND of their payments and finds less than
    BLIND of their episodes."""
    return [
        name
        for name, kind in entry["kinds"].items()
        if kind["fraud"] and (kind["share"] or 0) < BLIND and (kind["episodes_share"] or 0) < BLIND
    ]


def _live(rule: str, history: History, period: Period, alerted: Bools, options: Options) -> dict[str, Any] | None:
    if options.transactions != LAKE or options.as_of is not None:
        return None  # the lake has the alerts of today, not those of a moment
    live = live_alerts(options.lake, rule)
    return compared(history, period, alerted, live) if live else None


def _together(period: Period, alerted: Sequence[Bools], k: int) -> dict[str, Any]:
    """What the rules find together, as they are configured; a transaction scores the number of rules that alert."""
    rules = np.sum(alerted, axis=0)
    found = {**figures(period, rules > 0), **card_precision(period, rules > 0, rules.astype(float), k)}
    return {**found, "rules": len(alerted), "blind": blind(found)}


def _told(period: Period, options: Options) -> dict[str, Any]:
    first = np.datetime64(period.since, "us").astype("M8[D]")
    return {
        "from": alerts.format_micros(period.since),
        "to": alerts.format_micros(period.until),
        "as_of": None if options.as_of is None else alerts.format_micros(options.as_of),
        "days": [str(first + day) for day in range(period.days)],
        "label_delay_s": options.label_delay // 1_000_000,
    }


def _source(whole: History, history: History, period: Period) -> dict[str, Any]:
    """Rows of the source; read = those that enter + those left out."""
    times = history.batch["created_at"]
    return {
        "name": whole.source,
        "read": whole.read,
        "enter": whole.rows,
        **whole.left_out,
        "known": history.rows,
        "in_period": len(period.place),
        "before": int((times < period.since).sum()),
        "problems": whole.reasons,
    }


def _known(period: Period) -> dict[str, int]:
    fraud, honest = period.is_state(FRAUD), period.is_state(HONEST)
    return {
        "fraud": int(fraud.sum()),
        "fraud_cents": int(period.cents[fraud].sum()),
        "honest": int(honest.sum()),
        "unknown": int((~fraud & ~honest).sum()),
    }


def _shown(value: Any) -> str:
    ids = getattr(value, "ids", None)
    return str(value) if ids is None else f"{len(ids):,} confirmed frauds"
