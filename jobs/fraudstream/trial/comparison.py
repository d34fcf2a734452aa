"""A shadow rule against what is live: fired in both, by the new rule only, by the old rule only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fraudstream import alerts, lake
from fraudstream.canary import NOT_CANARY
from fraudstream.config import Pipeline
from fraudstream.errors import ConfigError, FraudstreamError
from fraudstream.rulebook.catalog import Rule
from fraudstream.streams import progress, record
from fraudstream.triage.desk import CONFIRMED, DISMISSED, desk_at, recorded_labels

CELLS = ("both", "only_new", "only_old")
_EXAMPLES = 5
_COLUMNS = (
    "transaction_id, user_id, CAST(coalesce(amount, 0) * 100 AS BIGINT) AS cents, event_time, reason, "
    '"partition", "offset"'
)
Offsets = Mapping[int, int]


@dataclass(frozen=True)
class Cell:
    """Transactions that alerted so, by their label, and what they come to."""

    alerts: int
    confirmed: int
    dismissed: int
    unlabelled: int
    amount: str


@dataclass(frozen=True)
class Comparison:
    """Of a shadow rule of one version with a live one (None: with none), over the records that both have judged with
    these versions: from `begin` up to before `end`, by partition."""

    rule: str
    version: str
    against: str | None
    against_version: str | None
    created_at: str
    begin: Offsets
    end: Offsets
    records: int
    cells: Mapping[str, Cell]
    examples: Mapping[str, Sequence[Mapping[str, Any]]]

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain JSON."""
        return asdict(self)


def shadow_rule(rules: Iterable[Rule], name: str, file: Path) -> Rule:
    """The rule of that name. Raises ConfigError, which names the rules `file`, if there is none or it is no shadow."""
    found = {rule.name: rule for rule in rules}
    if name not in found:
        shadows = [each for each, rule in found.items() if rule.status == "shadow"]
        raise ConfigError(f"{file} has no rule {name}; shadow rules are {', '.join(shadows) or 'none'}.")
    if found[name].status != "shadow":
        raise ConfigError(
            f"{file}: {name} is {found[name].status}; set its status to shadow to try it beside what is live."
        )
    return found[name]


def counterpart(rule: Rule, rules: Iterable[Rule], against: str | None = None) -> Rule | None:
    """The live rule that a shadow rule is compared with: `against`, else the one of the same rule file; None if there
    is none.

    Raises FraudstreamError if `against` is not live, or if several rules of that file are.
    """
    live = {each.name: each for each in rules if each.status == "live"}
    if against is not None:
        if against not in live:
            raise FraudstreamError(f"--against {against}: no such rule is live; live are {', '.join(live) or 'none'}.")
        return live[against]
    found = [each for each in live.values() if each.rule == rule.rule]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise FraudstreamError(f"{rule.name}: several live rules are of file {rule.rule}: {names}; say --against NAME.")
    return found[0] if found else None


def compare(rule: Rule, other: Rule | None, pipeline: Pipeline) -> Comparison:
    """Compare a shadow rule with a live one. Raises FraudstreamError where one of them has not run as it is now."""
    begin, end = _judged(rule, pipeline)
    if other is not None:
        theirs = _judged(other, pipeline)
        begin = {number: max(begin.get(number, 0), theirs[0].get(number, 0)) for number in {*begin, *theirs[0]}}
        end = {number: min(offset, theirs[1].get(number, 0)) for number, offset in end.items()}
    new = _alerts(rule, "shadow_alerts", pipeline.lake, begin, end)
    old = {} if other is None else _alerts(other, "alerts", pipeline.lake, begin, end)
    found = {
        "both": {number: row for number, row in new.items() if number in old},
        "only_new": {number: row for number, row in new.items() if number not in old},
        "only_old": {number: row for number, row in old.items() if number not in new},
    }
    given = desk_at(None, [], recorded_labels(pipeline.lake), []).labels
    labels = {number: label.label for number, label in given.items()}
    return Comparison(
        rule=rule.name, version=rule.version, against=other.name if other else None,
        against_version=other.version if other else None, created_at=alerts.now().isoformat(timespec="milliseconds"),
        begin=begin, end=end, records=sum(max(0, offset - begin.get(number, 0)) for number, offset in end.items()),
        cells={name: _cell(rows, labels) for name, rows in found.items()},
        examples={name: _examples(rows, labels) for name, rows in found.items()},
    )  # fmt: skip


def _judged(rule: Rule, pipeline: Pipeline) -> tuple[dict[int, int], dict[int, int]]:
    """Of the records that the rule has judged as it is now the first, and those behind the last, by partition."""
    known = record.entries(pipeline.lake, rule.name)
    if not known or not record.is_of(known[-1], rule):
        status = "shadow" if rule.status == "shadow" else "live"
        raise FraudstreamError(
            f"{rule.name}: version {rule.version} has not run as {status} yet; "
            "`./spark-submit.sh detect_fraud` runs it, and follows a rules file that changes meanwhile."
        )
    return record.since_of(known[-1]), progress.by_number(progress.position(pipeline.checkpoint(rule.name)))


def _alerts(rule: Rule, table: str, folder: str, begin: Offsets, end: Offsets) -> dict[int, dict[str, Any]]:
    columns = lake.columns(folder, table)
    if not columns:
        return {}  # it is made with the first alert
    stands = "coalesce(status, 'open') <> 'withdrawn'" if "status" in columns else "true"
    of_rule = f"rule = {lake.literal(rule.name)} AND rule_version = {lake.literal(rule.version)}"
    wanted = f"{of_rule} AND {stands} AND {NOT_CANARY}"
    rows = lake.query(folder, table, f"SELECT {_COLUMNS} FROM {table} WHERE {wanted}").to_pylist()
    return {
        row["transaction_id"]: row
        for row in rows
        if begin.get(row["partition"], 0) <= row["offset"] < end.get(row["partition"], 0)
    }


def _cell(rows: Mapping[int, Mapping[str, Any]], labels: Mapping[int, str]) -> Cell:
    given = [labels.get(number) for number in rows]
    return Cell(
        alerts=len(rows), confirmed=given.count(CONFIRMED), dismissed=given.count(DISMISSED),
        unlabelled=given.count(None), amount=alerts.format_cents(sum(row["cents"] for row in rows.values())),
    )  # fmt: skip


def _examples(rows: Mapping[int, Mapping[str, Any]], labels: Mapping[int, str]) -> list[dict[str, Any]]:
    """Some of the transactions, spread over all of them in order."""
    numbers = sorted(rows, key=lambda number: (rows[number]["event_time"] is None, rows[number]["event_time"], number))
    places = dict.fromkeys(len(numbers) * (2 * n + 1) // (2 * _EXAMPLES) for n in range(_EXAMPLES)) if numbers else {}
    chosen = (rows[numbers[place]] for place in places)
    return [
        {
            **{name: row[name] for name in ("transaction_id", "user_id", "reason")},
            "amount": alerts.format_cents(row["cents"]),
            "event_time": None if row["event_time"] is None else row["event_time"].isoformat(),
            "label": labels.get(row["transaction_id"]),
        }
        for row in chosen
    ]
