"""The poller: ask for new rows, fold them into the rules' histories, commit, deliver; again after every interval."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream import alerts
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.masking import Mask
from fraudstream.polling.alert_table import TABLE as ALERT_TABLE
from fraudstream.polling.alert_table import deliver
from fraudstream.polling.rows import TABLE, Ask, entering, new_rows_sql
from fraudstream.polling.store import Position, Store
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import fold
from fraudstream.streams.manifest import claim_checkpoint, masked_with

NAME = "poll_transactions"
COUNTS = ("judged", "history", "redelivered", "superseded")


@dataclass(frozen=True, kw_only=True)
class Polling:
    """How to poll. `interval` seconds; at most `limit` rows at once; `overlap` ids before the position are asked for
    anew, for rows that were committed after rows with greater ids. `existing` says what the rows are that are there at
    the first start: judged, or only joined to the histories as those of a snapshot are."""

    interval: float = 5.0
    limit: int = 100_000
    overlap: int = 0
    existing: str = "judge"

    def __post_init__(self) -> None:
        for option, value, low, high in (
            ("--interval", self.interval, 0.0, 86_400.0),
            ("--limit", self.limit, 1, 10_000_000),
            ("--overlap", self.overlap, 0, 1_000_000),
        ):
            if not low <= value <= high:
                raise FraudstreamError(f"{option} is {value:g}; it must lie between {low:g} and {high:g}.")


@dataclass(frozen=True)
class Poller:
    """A poller in its place: what `run` needs."""

    store: Store
    writer: str
    table: str
    rules: Sequence[Rule]
    ask: Ask
    polling: Polling
    mask: Mask | None = None

    def poll(self) -> dict[str, Any]:
        """Ask once, commit what was found, and deliver it. Returns the poll's figures: `asked_at`, epoch seconds when
        the rows were there; `query_s` and `fold_s`; `read`, new rows, of which `unjudged`; `first_id`, `last_id`;
        `late`, rows below the position; and per rule the counts of its fold and its alerts."""
        position = self.store.position() or Position()
        began = time.time()
        asked = self.ask(new_rows_sql(position.id, self.polling.overlap, self.polling.limit))
        asked_at = time.time()
        rows: list[Any] = sorted(asked, key=lambda row: row[0])
        new = [row for row in rows if row[0] not in position.seen]
        figures: dict[str, Any] = {"asked_at": asked_at, "query_s": asked_at - began, "read": len(new)}
        if new:
            figures |= self._enter(new, rows, position, figures)
            self.deliver()
        return figures

    def deliver(self) -> None:
        """Append what is pending to the table of alerts."""
        pending = self.store.pending()
        if pending:
            deliver(self.table, self.writer, pending)
            self.store.delivered(pending[-1][0])

    def _enter(
        self, new: list[Any], rows: Sequence[Sequence[Any]], position: Position, figures: Mapping[str, Any]
    ) -> dict[str, Any]:
        began = time.time()
        batch, unjudged = entering(new, position.read, position.joining, self.mask)
        states = self.store.states()
        folded = {rule.name: fold(rule, states.get(rule.name), batch, TABLE) for rule in self.rules}
        values = [alerts.message(payload)[1] for each in folded.values() for payload in each.alerts]
        now = time.time()
        last = max(position.id, new[-1][0])
        found = {
            "first_id": new[0][0], "last_id": new[-1][0], "late": sum(row[0] <= position.id for row in new),
            "unjudged": unjudged, "fold_s": now - began,
            "rules": {
                name: {count: getattr(each, count) for count in COUNTS} | {"alerts": len(each.alerts)}
                for name, each in folded.items()
            },
        }  # fmt: skip
        seen = frozenset(row[0] for row in rows if row[0] > last - self.polling.overlap)
        reached = Position(last, position.read + len(new), position.joining, seen)
        self.store.commit(
            reached, {name: each.state for name, each in folded.items()}, values, {**figures, **found}, now
        )
        return found


def open_poller(pipeline: Pipeline, rules: Sequence[Rule], ask: Ask, polling: Polling) -> Poller:
    """The poller of the pipeline's checkpoint folder, alerts that were pending delivered.

    Raises GuardError when another poller runs there, or when it was begun with other rules or another `existing`.
    """
    folder = pipeline.checkpoint(NAME)
    made_with: dict[str, str | int] = {f"version of {rule.name}": rule.version for rule in rules}
    made_with |= {"existing": polling.existing, "rules": len(rules), **masked_with(pipeline.mask)}
    generation = claim_checkpoint(folder, made_with)
    store = Store(Path(folder))
    if store.position() is None:
        existing = ask(f"SELECT coalesce(max(id), 0)::bigint FROM {TABLE}") if polling.existing == "join" else [(0,)]
        store.begin(Position(joining=existing[0][0]))
    poller = Poller(store, generation, pipeline.table(ALERT_TABLE), rules, ask, polling, pipeline.mask)
    poller.deliver()
    return poller


def run(
    poller: Poller, stop: threading.Event, show: Callable[[Mapping[str, Any]], None],
    fail: Callable[[FraudstreamError], None], *, once: bool = False,
) -> None:  # fmt: skip
    """Poll at every interval until `stop`; while there are more rows than the limit, at once. `once`: until no more
    rows are found. What the database does not answer is told to `fail` and asked again (`once`: raised)."""
    due = time.monotonic()
    while not stop.is_set():
        try:
            figures = poller.poll()
            show(figures)
            if figures["read"] >= poller.polling.limit:
                continue
        except FraudstreamError as error:
            if once:
                raise
            fail(error)
        if once:
            return
        due = max(due + poller.polling.interval, time.monotonic())
        stop.wait(due - time.monotonic())
