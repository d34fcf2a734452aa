"""The batch runtime: the fold that runs on the stream, over all of history at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fraudstream.backtest.source import History, Ints
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.arrivals import Batch
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import fold

COUNTS = ("judged", "history", "redelivered", "superseded", "corrected", "not_kept", "uncorrected")
_ROWS_AT_ONCE = 2_000_000  # about 1 GB of memory; the keys of more rows are folded in several parts


@dataclass(frozen=True)
class Judgement:
    """What a rule makes of history: its messages as the stream would send them, in the order of the topic, and what
    became of the rows (COUNTS)."""

    messages: list[dict[str, Any]]
    counts: dict[str, int]

    @property
    def standing(self) -> dict[int, dict[str, Any]]:
        """By transaction, what lake/alerts has of each alert that is not withdrawn: the highest revision, of several
        the first."""
        found: dict[int, dict[str, Any]] = {}
        for message in self.messages:
            known = found.setdefault(message["transaction_id"], message)
            if message.get("revision", 0) > known.get("revision", 0):
                found[message["transaction_id"]] = message
        return {number: message for number, message in found.items() if message.get("status") != "withdrawn"}


def judge(rule: Rule, history: History, rows_at_once: int = _ROWS_AT_ONCE) -> Judgement:
    """The rule over all of history. The alerts, and their ids, are those of the stream; of a redelivered change that a
    rule without state judges again there is one message here, and a copy of it there. Raises FraudstreamError where
    the rows of the rule's key have no order."""
    if rule.stateless and rule.corrections == "off":
        return _each_by_itself(rule, history)
    batch = history.batch if rule.corrections == "off" or history.corrected is None else history.corrected
    _require_order(batch, rule.key)
    messages, counts = [], dict.fromkeys(COUNTS, 0)
    for part in parts(batch, rule.key, rows_at_once):
        found = fold(rule, None, part, history.topic)
        messages += found.alerts
        counts = {name: count + getattr(found, name) for name, count in counts.items()}
    messages.sort(key=lambda message: (message["partition"], message["offset"]))
    return Judgement(messages, counts)


def _each_by_itself(rule: Rule, history: History) -> Judgement:
    """A rule without state keeps nothing, so that it knows neither redelivered nor superseded rows."""
    rows = np.arange(history.rows)
    judged = history.batch["judge"] | (rule.snapshot == "judge")
    alone = replace(rule, key="row")
    found = fold(alone, None, {**history.batch, "row": rows, "judge": judged}, history.topic)
    first: dict[str, dict[str, Any]] = {}
    for message in sorted(found.alerts, key=lambda message: (message["partition"], message["offset"])):
        first.setdefault(message["alert_id"], message)
    counts = Counter({"judged": int(judged.sum()), "history": int((~judged).sum())})
    return Judgement(list(first.values()), {name: counts[name] for name in COUNTS})


def _require_order(batch: Batch, key: str) -> None:
    partitions, keys = batch["partition"], batch[key]
    if len(keys) and partitions.min() < partitions.max():
        apart = len(np.unique(np.stack([keys, partitions]), axis=1).T) - len(np.unique(keys))
        if apart:
            raise FraudstreamError(
                f"the transactions of {apart:,} {key}s lie in several partitions of the topic, which have no order "
                f"among each other; the rule needs a topic of one partition, or one keyed by {key}."
            )


def parts(batch: Batch, key: str, rows_at_once: int) -> Iterator[Batch]:
    """The batch in parts of about so many rows; all rows of a key are in one part, in their order."""
    count = -(-len(batch[key]) // rows_at_once)
    if count <= 1:
        yield batch
        return
    numbers = _scattered(batch[key]) % count
    for number in range(count):
        chosen = numbers == number
        yield {name: column[chosen] for name, column in batch.items()}


def _scattered(keys: Ints) -> Ints:
    """A number >= 0 for each key, so that neighbouring keys fall into different parts whatever their steps."""
    mixed = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing
    found: Ints = (mixed >> np.uint64(33)).astype(np.int64)
    return found
