"""A run of the benchmark: a broker of its own, topics that are kept, and every result kept as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream.bench.broker import broker, own_settings
from fraudstream.bench.install import NotInstalled, install
from fraudstream.bench.plan import Heat, Options, planned, steps
from fraudstream.bench.race import race, race_raw_read
from fraudstream.bench.report import assembled, told, write_report
from fraudstream.bench.systems import PEERS, RAW_READ, SYSTEMS
from fraudstream.bench.topics import Topic, filled
from fraudstream.check.once import alone
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import REPOSITORY, StackSettings, load_settings

Say = Callable[[str], None]
# Of an event in Kafka; what the systems keep themselves.
_EVENT_BYTES, _SPARE_BYTES = 160, 4 * 1024**3
_CODE = (REPOSITORY / "jobs", REPOSITORY / "conf", PEERS)


def run(options: Options, home: Path, say: Say) -> dict[str, Any]:
    """The report, written into `home` as it grows. A run of the same plan and code that was stopped goes on where it
    was. Raises FraudstreamError where it cannot begin."""
    home.mkdir(parents=True, exist_ok=True)
    with alone(home, "benchmark"):
        user, settings = load_settings(), own_settings(home)  # a part changes the environment that they come from
        heats, more, file = planned(options), steps(options), home / f"{options.name}.jsonl"
        _require_room(home, heats)
        keys = [*(heat.key for heat in heats), *(step.key for step in more)]
        kept = Kept(file, settings, _resumed(file, keys, options.fresh))
        left = [heat for heat in heats if heat.key not in kept.keys]
        absent = _absent(settings, left, say)
        say(f"{len(heats)} races, {len(left)} to run; Ctrl-C stops, the next run goes on")
        if left:
            with broker(settings):
                _race_all(settings, left, options, absent, kept, say)
        for step in (step for step in more if step.key not in kept.keys):
            say(step.key)
            found = step.part.measure(user, home, step.name)
            kept.add({"key": step.key, "part": step.part.name, "step": step.name, "code": code(), "found": found})
            say(f"{step.key}: {json.dumps(found)}")
        return kept.report()


@dataclass
class Kept:
    """Results, each in the file as soon as it is there."""

    file: Path
    settings: StackSettings
    results: list[dict[str, Any]]

    @property
    def keys(self) -> set[str]:
        """Of what has been measured."""
        return {result["key"] for result in self.results}

    def add(self, result: dict[str, Any]) -> None:
        """Keep one more, and write the report anew."""
        self.results.append({**result, "at": round(time.time())})
        _append(self.file, self.results[-1])
        self.report()

    def report(self) -> dict[str, Any]:
        """The report of all, as it is written beside the file."""
        return write_report(self.file.parent, assembled(self.results, self.settings))


def _race_all(
    settings: StackSettings, heats: Sequence[Heat], options: Options, absent: Mapping[str, str], kept: Kept, say: Say
) -> None:  # fmt: skip
    topics: dict[str, Topic] = {}
    for number, heat in enumerate(heats, start=1):
        if heat.data.topic not in topics:
            topics[heat.data.topic] = filled(settings, heat.data, say)
        kept.add({**_described(heat), **_raced(settings, heat, topics[heat.data.topic], options, absent)})
        say(f"[{number:>3}/{len(heats)}] {told(kept.results[-1])}")


def _absent(settings: StackSettings, heats: Sequence[Heat], say: Say) -> dict[str, str]:
    """Why a system cannot be run here, of those that cannot; what the others need is installed."""
    found = {}
    for name in dict.fromkeys(heat.system for heat in heats if heat.system in SYSTEMS):
        try:
            install(settings.home, SYSTEMS[name], say)
        except NotInstalled as error:
            found[name] = f"not installed: {error}"
            say(f"{name}: {found[name]}")
    return found


def _raced(
    settings: StackSettings, heat: Heat, topic: Topic, options: Options, absent: Mapping[str, str]
) -> dict[str, Any]:
    if heat.system in absent:
        return {"failed": absent[heat.system]}
    if heat.system == RAW_READ:
        return race_raw_read(settings, topic, options.patience_s)
    return race(settings, SYSTEMS[heat.system], topic, options.patience_s)


def _described(heat: Heat) -> dict[str, Any]:
    data = heat.data
    return {
        "key": heat.key, "system": heat.system, "profile": data.profile, "form": data.form, "users": data.users,
        "events": data.events, "repeat": heat.repeat, "code": code(),
    }  # fmt: skip


def code() -> str:
    """Tells what is measured: the project's code and settings and the peers', without the benchmark itself."""
    files = (path for folder in _CODE for path in folder.rglob("*") if path.is_file())
    found = hashlib.sha256()
    for path in sorted(files):
        if not {"__pycache__", Path(__file__).parent.name} & set(path.relative_to(REPOSITORY).parts):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _resumed(file: Path, keys: Sequence[str], fresh: bool) -> list[dict[str, Any]]:
    """The results to go on with: those of these keys and this code, unless none is left to be measured."""
    now = code()
    found = [result for result in _read(file) if result["key"] in keys and result["code"] == now]
    if fresh or len(found) == len(keys):
        found = []
    file.write_text("".join(f"{json.dumps(result)}\n" for result in found), encoding="utf-8")
    return found


def _read(file: Path) -> Iterator[dict[str, Any]]:
    """The results in the file; a line cut short by a kill is passed over."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def _append(file: Path, result: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as results:
        results.write(f"{json.dumps(result)}\n")
        results.flush()
        os.fsync(results.fileno())


def _require_room(home: Path, heats: Sequence[Heat]) -> None:
    """Raises FraudstreamError where the topics would fill the disk."""
    free = shutil.disk_usage(home).free
    needed = sum({heat.data.topic: heat.data.events * _EVENT_BYTES for heat in heats}.values()) + _SPARE_BYTES
    if free < needed:
        raise FraudstreamError(
            f"{home} has {free / 1024**3:.1f} GiB free, and {needed / 1024**3:.1f} GiB are needed; make room, set "
            "FRAUDSTREAM_HOME to a folder on another disk, or ask for fewer --events."
        )
