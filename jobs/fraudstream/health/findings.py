"""What the facts say is wrong: each with the runbook of docs/operations.md that has its name. Causes come before what
follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from fraudstream.errors import Runbook
from fraudstream.health.limits import Limits
from fraudstream.stack.connect import has_failed
from fraudstream.stack.processes import TITLES

Facts = Mapping[str, Any]
Severity = Literal["broken", "warning"]


class Finding(NamedTuple):
    """`part` is what it is about (a component, a slot, a query), `found` says it with its figure, `next` the step."""

    name: Runbook
    severity: Severity
    part: str
    found: str
    next: str


def findings(facts: Facts, limits: Limits, budgets: Mapping[str, int] | None = None) -> list[Finding]:
    """All that is wrong, the broken before the warnings; none when the pipeline is healthy. `budgets`: the alerts a day
    that people can look at, by rule."""
    found = [each for check in _CHECKS for each in check(facts, limits)]
    found += _budgets(facts, budgets or {})
    return sorted(found, key=lambda each: each.severity != "broken")


def _components(facts: Facts, limits: Limits) -> Iterator[Finding]:
    names: dict[str, Runbook] = {"postgres": "postgres-down", "kafka": "kafka-down", "connect": "connect-down"}
    for part, each in facts["components"].items():
        if each["state"] == "crashed":
            last = " | ".join(each["last_lines"]) or "nothing"
            found = f"{TITLES[part]} has ended by itself; its log says last: {last}"
            yield Finding(names[part], "broken", part, found, f"`make up` starts it again; the log is {each['log']}")
        elif each["state"] == "not answering":
            found = f"{TITLES[part]} runs (pid {each['pid']}) but does not answer within 10 s"
            step = f"see {each['log']}; `kill -CONT {each['pid']}` if it was frozen, else `make down` and `make up`"
            yield Finding(names[part], "broken", part, found, step)
        elif each["state"] == "stopped":
            found = f"{TITLES[part]} does not run here, and does not answer on port {each['port']}"
            yield Finding(names[part], "broken", part, found, "`make up` starts it")


def _versions(facts: Facts, limits: Limits) -> Iterator[Finding]:
    if facts["locked"]:
        yield Finding("wrong-versions", "broken", "docker/.env", facts["locked"], "`make setup` after the correction")
    for part, each in facts["versions"].items():
        if each["found"] != each["expected"]:
            found = f"{part} is {each['found']}, docker/.env asks for {each['expected']}"
            yield Finding("wrong-versions", "broken", part, found, "`make setup`, then `make down` and `make up`")


def _disks(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for folder, free in facts["disks"].items():
        if free < limits.disk_free_bytes:
            found = f"{_bytes(free)} are free, less than {_bytes(limits.disk_free_bytes)}"
            yield Finding("disk-low", "broken", folder, found, "make room (`df -h` shows where)")


def _slots(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for name, each in facts["ahead"].items():
        found = f"its slot stands at {each['slot']}, past {each['stored']}, which is what the connector has stored"
        step = "do not start it; `make up UP=--accept-gap` goes on, `make repair` brings what is missing"
        yield Finding("slot-ahead", "broken", name, found, step)
    for name, each in facts["restored"].items():
        found = (
            f"PostgreSQL's log ends at {each['end']}, before {each['stored']}, which is what the connector has stored"
        )
        step = "stop it before anything is written (see the runbook); `make up UP=--renew-slot`, then `make repair`"
        yield Finding("database-restored", "broken", name, found, step)
    slots = {slot["name"]: slot for slot in facts["slots"]}
    if facts["components"]["postgres"]["state"] == "running":
        for name, each in facts["captures"].items():
            if each["slot"] not in slots:
                found = f"its slot {each['slot']} is not in PostgreSQL"
                yield Finding("slot-lost", "broken", name, found, "`make up UP=--renew-slot` makes a new one")
    for name, slot in slots.items():
        yield from _slot(name, slot, limits)


def _slot(name: str, slot: Mapping[str, Any], limits: Limits) -> Iterator[Finding]:
    if slot["wal_status"] == "lost":
        found = "PostgreSQL has removed the log that it needs"
        yield Finding("slot-lost", "broken", name, found, "`make up UP=--renew-slot` makes a new one")
        return
    left, cap = slot["left_bytes"], slot["cap_bytes"]
    if cap and left is not None and left * 100 < cap * limits.slot_left_percent:
        found = f"it is lost after {_bytes(max(0, left))} more of log; it retains {_bytes(slot['retained_bytes'] or 0)}"
        step = "see to it that the connector reads; raise max_slot_wal_keep_size if there is room"
        yield Finding("slot-near-cap", "broken", name, found, step)
    idle = slot["inactive_s"]
    if not slot["active"] and idle is not None and idle > limits.slot_inactive_s:
        found = f"nobody has read it for {idle:.0f} s; it retains {_bytes(slot['retained_bytes'] or 0)}"
        yield Finding(
            "slot-inactive", "warning", name, found, "start its connector, or drop the slot if nobody needs it"
        )


def _connectors(facts: Facts, limits: Limits) -> Iterator[Finding]:
    if facts["components"]["connect"]["state"] != "running":
        return
    if not any(facts["topic"].startswith(f"{each['prefix']}.") for each in facts["captures"].values()):
        found = f"no connector is registered that writes {facts['topic']}"
        yield Finding("connector-missing", "broken", "connect", found, "`make up` registers it")
    for name, each in facts["connectors"].items():
        if has_failed(each):
            step = f"mend the cause, then `make up CONNECTORS={name}` starts it again"
            yield Finding("connector-failed", "broken", name, str(each["trace"]), step)
        elif each["connector"] in ("PAUSED", "STOPPED"):
            step = f"`make up CONNECTORS={name}` resumes it"
            yield Finding("connector-paused", "broken", name, f"it is {each['connector']}", step)
        elif not each["tasks"]:
            found = "it has no task: Connect has not started one, or is moving it"
            yield Finding("connector-failed", "warning", name, found, "see again in a minute, then the log of Connect")


def _heartbeats(facts: Facts, limits: Limits) -> Iterator[Finding]:
    slots = {slot["name"]: slot for slot in facts["slots"]}
    for name, each in facts["captures"].items():
        slot = slots.get(each["slot"])
        if name not in facts["heartbeats"] or slot is None:
            continue  # another finding says why
        age = facts["heartbeats"][name]
        if age is None:
            found = f"dbz.heartbeat of {each['database']} has no row {each['heartbeat']}, which it is to write"
            step = f"as the table's owner: INSERT INTO dbz.heartbeat (id) VALUES ({each['heartbeat']})"
            yield Finding("heartbeat-stale", "broken", name, found, step)
            continue
        # A connector that has just come back has not had its first beat yet; a slot that is not read is told elsewhere.
        silent = min(age, slot["active_s"] or 0)
        if silent > limits.heartbeat_s:
            found = f"it reads its slot, but has not written its heartbeat for {silent:.0f} s"
            step = "see the log of Connect; a lock on dbz.heartbeat, a frozen worker or a topic made anew stops it"
            yield Finding("heartbeat-stale", "broken", name, found, step)


def _topics(facts: Facts, limits: Limits) -> Iterator[Finding]:
    if facts["components"]["kafka"]["state"] != "running":
        return
    read = {each["topic"]: name for name, each in facts["queries"].items() if each["position"]}
    for topic in sorted({facts["alerts_topic"], *read} - facts["topics"].keys()):
        by = f"; {read[topic]} has read it" if topic in read else ""
        yield Finding("topic-missing", "broken", topic, f"there is no such topic{by}", "`make up` makes what it can")
    for name, each in facts["queries"].items():
        if each["topic"] in facts["topics"]:
            yield from _position(name, each, facts["topics"][each["topic"]])


def _position(name: str, query: Mapping[str, Any], topic: Mapping[str, Any]) -> Iterator[Finding]:
    severity = _severity(query)
    anew = f"do not repair before it is started over: `--reset {name}`, or bring the old topic back (see the runbook)"
    if None not in (query["made_of"], topic["id"]) and query["made_of"] != topic["id"]:
        text = f"{query['topic']} was deleted and made anew: its id was {query['made_of']} and is {topic['id']}"
        yield Finding("topic-replaced", severity, name, text, anew)
        return
    for partition, offset in query["position"].items():
        start, end = topic["starts"].get(partition, 0), topic["ends"].get(partition, 0)
        text = f"it goes on at offset {offset:,} of partition {partition}, which holds {start:,} to {end:,}"
        if offset < start:
            yield Finding("records-gone", severity, name, text, "`make audit` says what is missing; see the runbook")
        elif offset > end:
            yield Finding("topic-replaced", severity, name, text, anew)


def _severity(query: Mapping[str, Any]) -> Severity:
    """Of what keeps a query from starting: a rule that nobody runs any more may be wanted again."""
    return "broken" if query["told"] else "warning"


def _drivers(facts: Facts, limits: Limits) -> Iterator[Finding]:
    driver = facts["driver"]
    if driver["dead"]:
        found = f"the driver (pid {driver['pid']}) has ended without a word; it ran {', '.join(driver['dead'])}"
        step = "start detect_fraud again with the same options; it goes on where it was"
        yield Finding("driver-dead", "broken", "driver", found, step)
    if driver["frozen"]:
        pids = " ".join(map(str, driver["frozen"]))
        found = f"the driver (pid {driver['pid']}) or a part of it is stopped by a signal: {pids}"
        yield Finding("driver-frozen", "broken", "driver", found, f"`kill -CONT {pids}`, or kill it and start it again")
        return
    running = [each for each in facts["queries"].values() if each["state"] == "running"]
    waiting = max((each["lag_s"] or 0 for each in running), default=0)
    quiet = facts["at"] - max((each["last_at"] or 0 for each in running), default=0)
    silent = min(quiet, waiting, driver["uptime_s"] or 0)
    if running and silent > limits.silent_s:
        found = f"records wait, and no query of the driver (pid {driver['pid']}) has ended a batch for {silent:.0f} s"
        yield Finding("driver-frozen", "broken", "driver", found, "see its log; kill it (pid) and start it again")


def _queries(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for name, each in facts["queries"].items():
        state, _, why = each["state"].partition(": ")
        if "failed" in state:
            severity: Severity = "warning" if state.startswith("shadow") else "broken"
            step = "mend the cause, then start detect_fraud again; the others run on"
            yield Finding("query-failed", severity, name, why or state, step)
        elif each["told"] and name not in facts["driver"]["dead"]:
            yield from _behind(name, each, limits)
        if each["damaged"]:
            step = f"put the file back, or start it over: `--reset {name}`"
            yield Finding("checkpoint-damaged", _severity(each), name, each["damaged"], step)
        if each["holds"] is False:
            found = f"read {each['read']:,}, but its parts sum up to {sum(each['parts'].values()):,}"
            yield Finding("records-unaccounted", "broken", name, found, "`make audit` names the records")
        if each["recent_unreadable"] > limits.quarantined and name == "mirror_transactions":
            found = f"{each['recent_unreadable']:,} messages that cannot be read in the last ten minutes"
            step = f"`{_LAKE_QUERY}` says why"
            yield Finding("quarantine-growing", "warning", name, found, step)


def _behind(name: str, query: Mapping[str, Any], limits: Limits) -> Iterator[Finding]:
    waiting, age = query["lag_records"], query["lag_s"]
    if not waiting or (age is not None and age <= limits.behind_s):
        return
    found = f"{waiting:,} offsets wait, " + (f"the oldest for {age:.0f} s" if age is not None else "who knows how long")
    step = "see its batch time; more cores, or fewer rules"
    if query["state"] != "running":
        found, step = f"nobody runs it; {found}", "start detect_fraud again; it goes on where it was"
    yield Finding("query-behind", "warning", name, found, step)


_LAKE_QUERY = "SELECT reason, count(*) FROM quarantine GROUP BY reason"


def _unjudged(facts: Facts, limits: Limits) -> Iterator[Finding]:
    # Each query counts the same rows, and any of them may be the one that runs.
    most = max((each["recent_unjudged"] for each in facts["queries"].values()), default=0)
    if most > limits.unjudged:
        found = f"{most:,} rows without an amount or a time that a rule can judge, in the last ten minutes"
        step = "name a renamed column back, then `make repair`; or correct who writes such rows (see the runbook)"
        yield Finding("rows-unjudged", "warning", facts["topic"], found, step)


def _tables(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for name, each in facts["tables"].items():
        if each["damaged"]:
            step = "do not start its writer over before the runbook is read: the table may tell more than the topic"
            yield Finding("table-damaged", "broken", name, each["damaged"], step)
        elif each["small_files"] > limits.small_files:
            found = f"{each['small_files']:,} of its {each['files']:,} files are under 1 MiB"
            step = "its writer joins them while it runs; if it does, shorten `upkeep.every` and start it again"
            yield Finding("small-files", "warning", name, found, step)


def _canaries(facts: Facts, limits: Limits) -> Iterator[Finding]:
    canary = facts["canary"]
    if canary is None:
        return
    arrived = canary["arrived_at"]
    age = facts["at"] - arrived if arrived else None
    since = "none ever has" if age is None else f"the last one did {age:.0f} s ago"
    is_overdue = canary["every_s"] is not None and (age is None or age > limits.canary_s)
    if arrived != canary["at"] or is_overdue:
        found = f"no canary has come out as an alert in time; {since}"
        step = "`./spark-submit.sh send_canary` tries again; see what else is found"
        yield Finding("canary-late", "broken", "canary", found, step)


def _budgets(facts: Facts, budgets: Mapping[str, int]) -> Iterator[Finding]:
    for rule, budget in budgets.items():
        made = facts["alerts"].get(rule, {}).get("last_day", 0)
        if made > budget:
            found = f"{made:,} alerts in 24 hours, its budget is {budget:,} a day"
            yield Finding("alerts-over-budget", "warning", rule, found, "`./spark-submit.sh triage_alerts budget`")


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


_CHECKS: tuple[Callable[[Facts, Limits], Iterator[Finding]], ...] = (
    _components, _versions, _disks, _slots, _connectors, _heartbeats, _topics, _drivers, _queries, _unjudged,
    _tables, _canaries,
)  # fmt: skip
