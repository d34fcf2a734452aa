"""The goals that the project has set itself, held against the figures of a report. Pure.

A goal is met (True), not met (False), or was not measured in full (None): of what has failed no figure counts."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fraudstream.bench.agents import MORE, load_of
from fraudstream.bench.dataset import PROFILES, USERS, Form
from fraudstream.bench.needs import growth_factor
from fraudstream.bench.systems import RAW_READ
from fraudstream.bench.tables import Table

LIVE = "together, mirror every 10 s"
"""The step of the part `latency` that has everything running."""
PLAIN = "high_amount alone, plain producer"
"""The one whose records are there to be read as soon as the broker has them: the connector's wait for a commit."""
_LONG = "batches of two minutes"
REAL_TIME = {LIVE: "everything running", PLAIN: "plain producer", f"{PLAIN}, {_LONG}": f"plain producer, {_LONG}"}
"""The steps whose real-time rule is asked from record to alert, in words."""
_BUILT_IN = ("ours_built_in", "ours_built_in_large")
_ONE_RULE = ("ours", *_BUILT_IN)
_RECOVERING = ("bytewax_recovery", "bytewax_packed_recovery", "pathway_recovery")
_HOLDS = {"at least": operator.ge, "more than": operator.gt, "at most": operator.le, "under": operator.lt}


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The best of ours must be so many times as fast as the best of the others, which all must have been raced; on the
    longest topic that both have read."""

    goal: str
    others: Sequence[str]
    times: float
    ours: Sequence[str] = _ONE_RULE
    needed: str = "at least"
    form: Form = "envelope"
    others_form: Form | None = None
    """Where it is another."""
    queries: int = 1
    """Of ours, each of which has the rate of the whole: their sum counts."""


CONTESTS = (
    Contest(goal="one rule with state against PyFlink SQL", others=["pyflink"], times=2.5),
    Contest(goal="against the best of Bytewax and Pathway with recovery", others=_RECOVERING, times=1.8),
    Contest(goal="against two plain Python processes, nothing of which survives", others=["python_2"], times=1,
            needed="more than"),
    Contest(goal="against Kafka Streams, exactly once", others=["streams"], times=0.6),
    Contest(goal="the same on compact messages (stretch)", others=["streams"], times=1, needed="more than",
            form="compact"),
    Contest(goal="against Spark's own raw read", others=[RAW_READ], times=0.65),
    Contest(goal="the same (stretch)", others=[RAW_READ], times=0.8),
    Contest(goal="with Spark's own reader, against its raw read", ours=_BUILT_IN, others=[RAW_READ], times=0.65),
    Contest(goal="two rules in queries of their own, in sum, against one rule", ours=["ours_both"], others=["ours"],
            times=0.6, queries=2),
    Contest(goal="compact messages against envelopes", ours=["ours"], others=["ours"], times=1,
            needed="more than", form="compact", others_form="envelope"),
)  # fmt: skip


def goals(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{goal, needed, found, met} of each; `found` is None where there is no figure."""
    return [*_contests(report), *_growing(report), *_waiting(report), *_capture(report), *_mirror(report)]


def _judged(goal: str, needed: str, limit: float, unit: str, found: float | None, how: str = "") -> dict[str, Any]:
    shown = None if found is None else f"{_text(found)} {unit}{f': {how}' if how else ''}"
    met = None if found is None else _HOLDS[needed](found, limit)
    return {"goal": goal, "needed": f"{needed} {_text(limit)} {unit}", "found": shown, "met": met}


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _contests(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for contest in CONTESTS:
        met = _met(contest, report)
        yield met or _judged(contest.goal, contest.needed, contest.times, "x", None)


def _met(contest: Contest, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The contest's outcome on the longest topic; None where there is none that both have read."""
    for events in sorted({entry["events"] for entry in report["systems"]}, reverse=True):
        own = _best(_rates(report, contest.form, events), contest.ours)
        rates = _rates(report, contest.others_form or contest.form, events)
        other = _best(rates, contest.others)
        if own is None or other is None:
            continue
        missing = [name for name in contest.others if name not in rates]
        how = f"{own[0]} {_text(own[1] * contest.queries)}/s, {other[0]} {_text(other[1])}/s"
        how += f"; not measured: {', '.join(missing)}" if missing else ""
        found = own[1] * contest.queries / other[1]
        judged = _judged(contest.goal, contest.needed, contest.times, "x", found, how)
        return {**judged, "met": None} if judged["met"] and missing else judged
    return None


def _rates(report: Mapping[str, Any], form: Form, events: int) -> dict[str, float]:
    """Steady medians by system: the exercise's fewest users, messages of this form, all alerts equal."""
    data = {"profile": PROFILES[0], "form": form, "users": USERS[0], "events": events}
    return {
        entry["system"]: entry["steady_per_s"]["median"] for entry in (*report["systems"], *report["raw_read"])
        if entry["steady_per_s"] and not entry["failed"] and entry.get("equal", True)
        and all(entry[name] == value for name, value in data.items())
    }  # fmt: skip


def _best(rates: Mapping[str, float], names: Sequence[str]) -> tuple[str, float] | None:
    return max(((name, rates[name]) for name in names if name in rates), key=lambda pair: pair[1], default=None)


def _growing(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    cores = report["scaling"]["cores"].get("ours", {})
    one, two = (cores[name]["median"] if name in cores else None for name in ("1 core", "2 cores"))
    yield _judged("a second core", "at least", 1.7, "x", two / one if one and two else None)
    factor = growth_factor(_sound(report["growth"]))
    yield _judged(f"cost of an event, {USERS[-1]:,} users against {USERS[0]:,}", "at most", 2, "x", factor)
    agents = sorted(_sound(report["agents"]).values(), key=lambda each: each["agents"])
    cost = load_of(agents[-1], "cpu_s_per_s") if len(agents) > 1 else None
    before = load_of(agents[0], "cpu_s_per_s") if agents else None
    times = cost / before if cost and before else None
    yield _judged("the database's CPU for a row, 8 rules against 1", "at most", MORE, "x", times)


def _waiting(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    sound = _sound(report["latency_ms"])
    rules = sound.get(LIVE, {}).get("rules", {})
    for rule in ("anomaly", "velocity"):
        found = rules.get(rule, {}).get("latency_ms", {})
        for name, limit in (("p50", 600), ("p99", 1500)):
            yield _judged(f"{rule}, commit to alert, everything running, {name}", "under", limit, "ms", found.get(name))
    for step, where in REAL_TIME.items():
        found = sound.get(step, {}).get("rules", {}).get("high_amount", {}).get("record_to_alert_ms", {})
        for name, limit in (("p50", 5), ("p99", 50)):
            yield _judged(f"real time, record to alert, {where}, {name}", "under", limit, "ms", found.get(name))
    first = [entry["first_alert_s"] for entry in report["systems"] if entry["system"] == "ours" and entry["equal"]]
    yield _judged("the first alert after a start", "at most", 20, "s", first[0] if first else None)
    everything = [each for each in sound.get(LIVE, {}).get("first_alert_s", {}).values() if each is not None]
    yield _judged("the same, everything running", "at most", 20, "s", min(everything, default=None))


def _capture(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    steps = _sound(report["capture"])
    tuned, usual = (
        (steps.get(step, {}).get("events_per_s") or {}).get("median") for step in ("tuned", "defaults")
    )  # fmt: skip
    yield _judged("the connector", "at least", 45_000, "events/s", tuned)
    times = tuned / usual if tuned and usual else None
    yield _judged("the connector against its defaults", "at least", 1.6, "x", times)


def _mirror(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    rates = [each["rows_per_s"] for each in _sound(report["mirror"]).values() if not each["alerts"]]
    yield _judged("the mirror, the slowest of all sizes", "at least", 2000, "rows/s", min(rates, default=None))


def _sound(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Those of a part's steps in which nothing failed."""
    return {step: each for step, each in steps.items() if not each.get("failures")}


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """The goals for a reader."""
    said = {True: "met", False: "NOT MET", None: "not measured"}
    rows = [[each["goal"], each["needed"], each["found"], said[each["met"]]] for each in found]
    caption = (
        "What the project wants to be, in the steady medians of systems whose alerts are all equal, on the same topic; "
        "of several of ours, and of several others, the fastest."
    )
    return Table("Goals", ["goal", "needed", "found", ""], rows, caption)
