"""What one more agent costs: 1, 2, 4 and 8 rules, each a query of its own over the same topic, with the whole stack.
The database must not notice how many they are: it is read once, for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fraudstream.bench import latency
from fraudstream.bench.database import load_between, watching
from fraudstream.bench.ours import write_rules
from fraudstream.bench.tables import Table
from fraudstream.check.page import share
from fraudstream.stack.settings import StackSettings, load_settings

# Parameters over those of conf/rules.yaml, with which each rule but the last two alerts 5 to 80 times a second on the
# exercise's rows at 2,000 rows/s, until the end. With its own, anomaly alerts no more after four minutes, velocity
# on a fifth of all rows and many_merchants on nearly all: that would measure the alerts, not the agents.
AGENTS: Mapping[str, Mapping[str, Any]] = {
    "anomaly": {"factor": 1.95},
    "velocity": {"more_than": 20},
    "high_amount": {"over": 4950},
    "spending_limit": {"window": "60s", "limit": 55_000},
    "card_testing": {"window": "60s", "small": 50, "at_least": 1, "amount_over": 4900},
    "many_merchants": {"window": "5s", "merchants": 6},
    "repeated_amount": {},
    "dormant_burst": {},
}
STEPS: Mapping[str, int] = {f"{count} agent{'s' if count > 1 else ''}": count for count in (1, 2, 4, 8)}
"""How many of AGENTS run, from the first on."""
_SAME = ("connections", "senders")
_FLAT = ("cpu_s_per_s", "sent_mib_per_s")
MORE = 1.25
"""Times the load of a row with the fewest agents: up to there it is flat."""


def measure(user: StackSettings, home: Path, agents: int, seconds: int = latency.SECONDS) -> dict[str, Any]:
    """As latency.measure of so many agents, with their number and the load on the `database` in the last minute
    (database.load_between). Uses the stack's usual ports."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "rules.yaml"
    write_rules(file, list(AGENTS)[:agents], AGENTS)
    with watching(load_settings(home)) as readings:
        found, warm = latency.measured(user, home, file, seconds)
    return {"agents": agents, **found, "database": load_between(readings, *warm)}


def unequal(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """In words: the steps in which the database had another number of connections or senders than with the fewest
    agents."""
    if not found:
        return
    fewest = _fewest(found)
    for step, each in found.items():
        for name in _SAME:
            before, now = fewest["database"][name], each["database"][name]
            if before != now:
                yield f"{step}: PostgreSQL has {now} {name}, with {fewest['agents']} it had {before}"


def is_flat(each: Mapping[str, Any], fewest: Mapping[str, Any]) -> bool | None:
    """Whether PostgreSQL's CPU time and the log that it sends, for a row, are at most a quarter above those with the
    fewest agents; None where one was not seen."""
    pairs = [(load_of(fewest, name), load_of(each, name)) for name in _FLAT]
    known = [(before, now) for before, now in pairs if before is not None and now is not None]
    return all(now <= MORE * before for before, now in known) if len(known) == len(pairs) else None


def load_of(each: Mapping[str, Any], name: str) -> float | None:
    """A load of the database, for a row: many agents may slow down who writes the rows."""
    load: float | None = each["database"][name]
    return None if load is None or not each["changes_per_s"] else load / each["changes_per_s"]


def lag_s(each: Mapping[str, Any]) -> float | None:
    """How far the slowest rule in micro-batches was behind in the end: the mean of the last half minute."""
    return max((lag["second_half_s"] for lag in each["lag"].values() if lag["grows"] is not None), default=None)


def keeps_up(each: Mapping[str, Any]) -> bool | None:
    """Whether no rule's lag grew; None where it is not known."""
    return None if lag_s(each) is None else not any(lag["grows"] for lag in each["lag"].values())


def _fewest(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return min(found.values(), key=lambda each: each["agents"])


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a reader."""
    header = ["agents", "rows written/s", "lag s", "keeps up", "anomaly p50 ms", "p95", "slowest p50", "p95",
              "its rule", "batch p50", "CPU idle", "PostgreSQL CPU s/s", "connections", "senders", "sent MiB/s",
              "its load", "verdict"]  # fmt: skip
    caption = (
        "Milliseconds from a row's commit in PostgreSQL to its alert in Kafka in the last minute of a run, with "
        "archive and mirror, all on one machine: of the first agent and of the one with the greatest median; the batch "
        "is the first's. Lag: of the rule that is furthest behind, in the last half minute; they keep up where it does "
        "not grow. PostgreSQL: CPU seconds of its processes a second, clients' connections, senders of its log; flat "
        "where CPU and log of a row are at most 25 % above those with the fewest agents."
    )
    rows = [_row(each, _fewest(found)) for each in found.values()]
    return Table("Agents over one topic", header, rows, caption)


def _row(each: Mapping[str, Any], fewest: Mapping[str, Any]) -> list[object]:
    rules, load = each["rules"], each["database"]
    known = [name for name, rule in rules.items() if rule["latency_ms"]["p50"] is not None]
    slowest = max(known, key=lambda name: rules[name]["latency_ms"]["p50"], default=None)
    first = rules[next(iter(AGENTS))]
    last = rules[slowest]["latency_ms"] if slowest else {"p50": None, "p95": None}
    return [
        each["agents"], round(each["changes_per_s"]), lag_s(each), _said(keeps_up(each), "yes", "no"),
        first["latency_ms"]["p50"], first["latency_ms"]["p95"], last["p50"], last["p95"], slowest,
        first["batch_ms"]["p50"], share(each["idle_share"]), load["cpu_s_per_s"], load["connections"],
        load["senders"], load["sent_mib_per_s"], _said(is_flat(each, fewest), "flat", "not flat"),
        "failed" if each["failures"] else "equal",
    ]  # fmt: skip


def _said(holds: bool | None, yes: str, no: str) -> str | None:
    return None if holds is None else yes if holds else no
