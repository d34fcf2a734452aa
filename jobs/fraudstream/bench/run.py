"""A run of the benchmark: a broker of its own, topics that are kept, and every result kept as soon as it is there."""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream.bench.broker import broker, own_settings
from fraudstream.bench.install import NotInstalled, install, remedy
from fraudstream.bench.measured import code
from fraudstream.bench.plan import Heat, Options, Step, planned, steps
from fraudstream.bench.race import race, race_raw_read
from fraudstream.bench.report import assembled, told, write_report
from fraudstream.bench.results import Results, is_done
from fraudstream.bench.systems import RAW_READ, SYSTEMS
from fraudstream.bench.topics import filled
from fraudstream.check.once import alone
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import StackSettings, load_settings

Say = Callable[[str], None]
# Of an event in Kafka; what the systems keep themselves.
_EVENT_BYTES, _SPARE_BYTES = 160, 4 * 1024**3


def run(options: Options, home: Path, say: Say) -> dict[str, Any]:
    """The report of all that the code as it is now has measured in `home`, of this plan and others; written as it
    grows. What is there is not measured again, unless it had failed or is to be measured afresh. What fails is a result
    too, and the rest goes on. Raises FraudstreamError where nothing can begin."""
    home.mkdir(parents=True, exist_ok=True)
    with alone(home, "benchmark"):
        user, settings = load_settings(), own_settings(home)  # a part changes the environment that they come from
        heats, more = planned(options), steps(options)
        plan: list[Heat | Step] = [*heats, *more]
        _require_room(home, heats)
        kept = Kept(Results(home / "results.jsonl"), settings)
        if options.fresh:
            kept.results.forget([each.key for each in plan])
        left = _left(kept.results, plan, say)
        _race_all(kept, [heat for heat in heats if heat.key in left], options.patience_s, say)
        for step in (step for step in more if step.key in left):
            say(step.key)
            described = {"key": step.key, "part": step.part.name, "step": step.name, "code": code()}
            found = _measured(step, user, home, say)
            kept.add({**described, "found": found})
            say(f"{step.key}: {json.dumps(found)}")
        return kept.report()


@dataclass(frozen=True)
class Kept:
    """Results and their report."""

    results: Results
    settings: StackSettings

    def add(self, result: Mapping[str, Any]) -> None:
        """Keep one more, and write the report anew."""
        self.results.add(result)
        self.report()

    def report(self) -> dict[str, Any]:
        """The report of all, as it is written beside their file."""
        return write_report(self.results.file.parent, assembled([*self.results.current().values()], self.settings))


def _left(results: Results, plan: Sequence[Heat | Step], say: Say) -> set[str]:
    """The keys of what the plan still has to measure."""
    known = results.current()
    left = {each.key for each in plan if each.key not in known or not is_done(known[each.key])}
    again = sorted(left & known.keys())
    if not left:
        say(f"all {len(plan)} results are there; --fresh measures them anew")
    else:
        say(f"{len(plan)} results, {len(left)} to be measured; Ctrl-C stops, the next run goes on")
    if again:
        say(f"tried again, since they failed or were not run: {', '.join(again)}")
    return left


def _race_all(kept: Kept, heats: Sequence[Heat], patience_s: float, say: Say) -> None:
    absent = _absent(kept.settings, heats, say)
    for heat in (heat for heat in heats if heat.system in absent):
        kept.add({**_described(heat), "failed": None, "absent": absent[heat.system]})
    able = [heat for heat in heats if heat.system not in absent]
    if not able:
        return
    with broker(kept.settings):
        for number, heat in enumerate(able, start=1):
            result = {**_described(heat), **_raced(kept.settings, heat, patience_s, say)}
            kept.add(result)
            say(f"[{number:>3}/{len(able)}] {told(result)}")


def _absent(settings: StackSettings, heats: Sequence[Heat], say: Say) -> dict[str, str]:
    """Why a system cannot be run here and what it needs, of those that cannot; what the others need is installed."""
    found = {}
    for name in dict.fromkeys(heat.system for heat in heats if heat.system in SYSTEMS):
        try:
            install(settings.home, SYSTEMS[name], say)
        except NotInstalled as error:
            found[name] = f"{error}; {remedy(SYSTEMS[name])}"
            say(f"{name} is not run: {found[name]}")
    return found


def _raced(settings: StackSettings, heat: Heat, patience_s: float, say: Say) -> dict[str, Any]:
    try:
        topic = filled(settings, heat.data, say)
        if heat.system == RAW_READ:
            return race_raw_read(settings, topic, patience_s)
        return race(settings, SYSTEMS[heat.system], topic, patience_s)
    except Exception as error:
        return {"failed": _reason(error, say)}


def _measured(step: Step, user: StackSettings, home: Path, say: Say) -> dict[str, Any]:
    try:
        return step.part.measure(user, home, step.name)
    except Exception as error:
        return {"failures": [_reason(error, say)]}


def _reason(error: Exception, say: Say) -> str:
    """Of the report; of an error that nothing here raises on purpose it is also said where it came from."""
    if isinstance(error, FraudstreamError):
        return str(error)
    say("".join(traceback.format_exception(error)).rstrip())
    return f"{type(error).__name__}: {error}"


def _described(heat: Heat) -> dict[str, Any]:
    data = heat.data
    return {
        "key": heat.key, "system": heat.system, "profile": data.profile, "form": data.form, "users": data.users,
        "events": data.events, "repeat": heat.repeat, "code": code(),
    }  # fmt: skip


def _require_room(home: Path, heats: Sequence[Heat]) -> None:
    """Raises FraudstreamError where the topics would fill the disk."""
    free = shutil.disk_usage(home).free
    needed = sum({heat.data.topic: heat.data.events * _EVENT_BYTES for heat in heats}.values()) + _SPARE_BYTES
    if free < needed:
        raise FraudstreamError(
            f"{home} has {free / 1024**3:.1f} GiB free, and {needed / 1024**3:.1f} GiB are needed; make room, set "
            "FRAUDSTREAM_HOME to a folder on another disk, or ask for fewer --events."
        )
