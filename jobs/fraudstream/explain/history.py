"""What a rule knew when it judged a transaction, from lake/transaction_changes, by the fold that runs on the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from fraudstream import lake
from fraudstream.changes import ENTERS, batch_of
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.arrivals import Batch, merged
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import fold
from fraudstream.rulebook.interpreter import Paid, seen
from fraudstream.rulebook.kept import nothing_kept
from fraudstream.rulebook.payload import NULL
from fraudstream.rulebook.redelivery import redelivered, superseded


@dataclass(frozen=True)
class History:
    """The changes of the alert's key up to the judged one, in the order of the topic, as columns of a batch."""

    rule: Rule
    batch: Batch
    topic: str

    @cached_property
    def entered(self) -> list[int]:
        """The places in the batch of the rows that entered the history, in order; the judged one is the last."""
        rows = merged(nothing_kept(self.rule.columns), self.batch, self.rule.key)
        rows = rows.where(~redelivered(rows, remembered=self.rule.remembered, span=self.rule.span))
        places: list[int] = rows.where(~superseded(rows)).place.tolist()
        return places

    @property
    def judged(self) -> int:
        """The judged row's place in the batch."""
        return len(self.batch["offset"]) - 1

    @cached_property
    def now(self) -> Paid:
        """The judged transaction."""
        return self._paid(self.judged)

    @cached_property
    def earlier(self) -> list[Paid]:
        """The transactions that had entered before it."""
        return [self._paid(place) for place in self.entered if place != self.judged]

    def windows(self) -> list[tuple[Any, list[int]]]:
        """Each window of the rule with the places of the rows it showed."""
        place_of = {id(paid): place for paid, place in zip(self.earlier, self.entered, strict=False)}
        windows = sorted(self.rule.windows, key=lambda window: (window.rows, window.span, repr(window)))
        return [(window, [place_of[id(row)] for row in seen(window, self.now, self.earlier)]) for window in windows]

    def judgement(self) -> dict[str, Any] | None:
        """The payload of the alert that the rule gives for the judged transaction; None if it gives none."""
        offset = int(self.batch["offset"][self.judged])
        alerts = fold(self.rule, None, self.batch, self.topic).alerts
        return next((alert for alert in alerts if alert["offset"] == offset), None)

    def _paid(self, place: int) -> Paid:
        row = {name: column[place] for name, column in self.batch.items()}
        return Paid(**{field.name: _plain(row[field.name]) for field in fields(Paid)})


def _plain(value: Any) -> Any:
    """A value of a batch as a rule sees it one transaction at a time."""
    if value is None or isinstance(value, str):
        return value
    return None if int(value) == NULL else int(value)


def history_of(folder: str, alert: Mapping[str, Any], rule: Rule) -> History:
    """What `rule` knew at the alert's change. Raises FraudstreamError if that change is not in the lake."""
    wanted = f'{of_partition(alert)} AND "offset" <= {alert["offset"]} AND {ENTERS}'
    wanted += f' AND "offset" = {alert["offset"]}' if rule.stateless else ""
    wanted += f" AND {rule.key} IS NOT DISTINCT FROM {lake.literal(alert[rule.key])}"
    changes = f'SELECT * FROM transaction_changes WHERE {wanted} ORDER BY "offset"'
    found = lake.query(folder, "transaction_changes", changes)
    if not len(found) or found["offset"][-1].as_py() != alert["offset"]:
        raise missing(folder, alert)
    if found["entry"][-1].as_py() == "history":
        rule = replace(rule, snapshot="judge")  # it was judged, so the rule judged rows of a snapshot then
    return History(rule, batch_of(found), str(alert["topic"]))


def of_partition(alert: Mapping[str, Any]) -> str:
    """The condition of a query for the changes of the alert's partition."""
    return f'topic = {lake.literal(alert["topic"])} AND "partition" = {alert["partition"]}'


def missing(folder: str, alert: Mapping[str, Any]) -> FraudstreamError:
    """Why an alert's change is not in the lake: the mirror is behind it, or its history has been removed."""
    where = f"{folder}/transaction_changes"
    change = f"offset {alert['offset']} of {alert['topic']}, partition {alert['partition']}"
    ends = f'SELECT min("offset") AS low, max("offset") AS high FROM transaction_changes WHERE {of_partition(alert)}'
    (found,) = lake.query(folder, "transaction_changes", ends).to_pylist()
    if found["high"] is None or found["high"] < alert["offset"]:
        end = "nothing of that partition" if found["high"] is None else f"that partition up to offset {found['high']}"
        return FraudstreamError(
            f"{where} has {end}, the alert is of {change}; run `./spark-submit.sh mirror_transactions` to catch up."
        )
    return FraudstreamError(
        f"{where} has lost {change}, which the alert is of, so it cannot be recomputed; what is there of that "
        f"partition begins at offset {found['low']}."
    )
