"""A drill: rounds of faults, one after the other, each kept as soon as it has ended, so that a run can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from fraudstream.check.once import alone
from fraudstream.check.report import machine, versions
from fraudstream.drill.catalog import FAULTS, FULL, QUICK, STORM
from fraudstream.drill.fault import Fault
from fraudstream.drill.report import as_text, summarised, totals, write_report
from fraudstream.drill.rounds import Say, run_round
from fraudstream.durable import append_line
from fraudstream.errors import FraudstreamError
from fraudstream.stack.processes import COMPONENTS, is_open, pid_of, ports
from fraudstream.stack.settings import StackSettings, load_settings

_STRIKES_PER_ROUND = 45


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to drill. `kills` is how many kills the storm has in a full run."""

    only: Sequence[str] = ()
    seed: int = 0
    rounds: int = 1
    rate: float = 1500.0
    full: bool = False
    kills: int = 300
    fresh: bool = False


def run(options: Options, user: StackSettings, say: Say) -> dict[str, Any]:
    """The report, written as it grows into the home of drills. Raises FraudstreamError where it cannot begin."""
    settings = load_settings(user.home / "drill")
    home = settings.home
    os.environ["FRAUDSTREAM_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    with alone(home, "drill"):
        _require_room(user)
        file = home / ("full.jsonl" if options.full else "quick.jsonl")
        if options.fresh or not options.full:
            file.unlink(missing_ok=True)
        rounds = planned(options)
        done = [(result["seed"], result["round"], result["plan"]) for result in read_results(file)]
        left = [
            (number, faults)
            for number, faults in enumerate(rounds, start=1)
            if (options.seed, number, [fault.name for fault in faults]) not in done
        ]
        say(f"seed {options.seed}: {len(rounds)} rounds, {len(left)} to run; Ctrl-C stops, the next run goes on")
        for number, faults in left:
            results = run_round(settings, faults, options.seed, number, options.rate, say)
            append_results(file, results)
            assembled(file, settings, rounds)
    report = assembled(file, settings, rounds)
    say(as_text(report))
    return report


def planned(options: Options) -> list[list[Fault]]:
    """The rounds' faults: those named, the quick ones, or all and then random kills; the same for a seed."""
    if options.only:
        return [[FAULTS[name] for name in options.only]] * options.rounds
    if not options.full:
        return [[FAULTS[name] for name in group.split()] for group in QUICK] * options.rounds
    chosen = _storm(Random(f"{options.seed} storm"), options.kills)
    storm = [chosen[begin : begin + _STRIKES_PER_ROUND] for begin in range(0, len(chosen), _STRIKES_PER_ROUND)]
    single = [[name for name in group.split() if name not in STORM] for group in FULL]
    return [[FAULTS[name] for name in group] for group in (*single, *storm) if group]


def _storm(random: Random, kills: int) -> list[str]:
    """Faults at random that kill at least as many components, each of the storm's at least once."""
    chosen = list(STORM)
    random.shuffle(chosen)
    while sum(FAULTS[name].kills for name in chosen) < kills:
        chosen += random.choices(list(STORM), list(STORM.values()))
    return chosen


def read_results(path: Path) -> list[dict[str, Any]]:
    """The strikes of all rounds so far; a line cut short by a kill is passed over, so that its round runs again."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [result for group in found for result in group]


def append_results(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """Keep a round's results, as a line of their own."""
    append_line(path, json.dumps(results))


def assembled(file: Path, settings: StackSettings, rounds: Sequence[Sequence[Fault]]) -> dict[str, Any]:
    """The report of all results so far, written beside their file. It has passed if each fault of the rounds has held,
    but for those that this machine cannot make."""
    results = read_results(file)
    wanted = {fault.name for faults in rounds for fault in faults} | {result["fault"] for result in results}
    entries = summarised(results, [fault for fault in FAULTS.values() if fault.name in wanted])
    began = min((result["at"] for result in results), default=0)
    verdicts = {entry["verdict"] for entry in entries}
    report = {
        "passed": "held" in verdicts and verdicts <= {"held", "not run"},
        "started_at": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "totals": totals(entries, results),
        "faults": entries,
        "versions": versions(settings),
        "machine": machine(),
    }
    write_report(file, report)
    return report


def _require_room(user: StackSettings) -> None:
    running = [name for name in COMPONENTS if pid_of(user, name)]
    taken = [port for name in running for port in ports(user, name).values() if is_open(port)]
    if taken:
        raise FraudstreamError(
            f"your own stack in {user.home} is up on the ports that the drill needs ({', '.join(map(str, taken))}); "
            "stop it first with `make down` (its data stays)."
        )
