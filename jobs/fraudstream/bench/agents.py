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
    fewest = min(found.values(), key=lambda each: each["agents"])
    for step, each in found.items():
        for name in _SAME:
            before, now = fewest["database"][name], each["database"][name]
            if before != now:
                yield f"{step}: PostgreSQL has {now} {name}, with {fewest['agents']} it had {before}"


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a reader."""
    header = ["agents", "rows/s", "anomaly p50 ms", "p95", "slowest p50", "p95", "its rule", "batch p50", "CPU idle",
              "PostgreSQL CPU s/s", "connections", "senders", "sent MiB/s", "verdict"]  # fmt: skip
    caption = (
        "Milliseconds from a row's commit in PostgreSQL to its alert in Kafka in the last minute of a run, with "
        "archive and mirror, all on one machine: of the first agent and of the one with the greatest median; the batch "
        "is the first's. PostgreSQL: CPU seconds of its processes a second, clients' connections, senders of its log."
    )
    return Table("Agents over one topic", header, [_row(each) for each in found.values()], caption)


def _row(each: Mapping[str, Any]) -> list[object]:
    rules, load = each["rules"], each["database"]
    known = [name for name, rule in rules.items() if rule["latency_ms"]["p50"] is not None]
    slowest = max(known, key=lambda name: rules[name]["latency_ms"]["p50"], default=None)
    first = rules[next(iter(AGENTS))]
    last = rules[slowest]["latency_ms"] if slowest else {"p50": None, "p95": None}
    return [
        each["agents"], round(each["changes_per_s"]), first["latency_ms"]["p50"], first["latency_ms"]["p95"],
        last["p50"], last["p95"], slowest, first["batch_ms"]["p50"], share(each["idle_share"]), load["cpu_s_per_s"],
        load["connections"], load["senders"], load["sent_mib_per_s"], "failed" if each["failures"] else "equal",
    ]  # fmt: skip
