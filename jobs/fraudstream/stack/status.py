"""What runs, how far capture is, how much is stored: one dictionary for machines, one text for people."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from fraudstream import cli
from fraudstream.stack import connect, kafka, postgres, queries
from fraudstream.stack.asking import answers
from fraudstream.stack.processes import COMPONENTS, TITLES, crashed, is_open, log_file, ports, process_of, tail
from fraudstream.stack.settings import StackSettings

_SECONDS = 10.0


def status(settings: StackSettings) -> dict[str, Any]:
    """The state of stack and queries, as JSON-ready values: that of `components`, and besides

    healthy: all run and answer, no connector failed, no slot lost, no query failed or lost count; streams: see
    queries.queries.
    """
    found = components(settings)
    streams = queries.queries(settings.home / "progress", settings.home / "checkpoints")
    broken = any(map(connect.has_failed, found["connectors"].values()))
    lost = any(each["wal_status"] == "lost" for each in found["slots"])
    running = all(each["state"] == "running" for each in found["components"].values())
    return {**found, "healthy": running and not broken and not lost and not queries.broken(streams), "streams": streams}


def components(settings: StackSettings) -> dict[str, Any]:
    """The stack's own state, within ten seconds:

    home; components: name -> state (running, not answering, crashed, stopped), pid (None where `make up` did not start
    it, as in a container), port, uptime_s, memory_bytes, log, last_lines (of a crashed one); connectors: name ->
    connector, tasks, trace; slots: see postgres.slots; topics: name -> partitions, offsets (last minus first, so
    transaction markers count too), bytes on disk, id, and by partition starts and ends; disk: free_bytes, used_bytes.
    What a component that does not answer would tell is empty.
    """
    questions: dict[str, Callable[[], Any]] = {
        "postgres": lambda: postgres.slots(settings),
        "kafka": lambda: _topics(settings),
        "connect": lambda: _connectors(settings),
    }
    found = answers({name: ask for name, ask in questions.items() if _may_answer(settings, name)}, _SECONDS)
    return {
        "home": str(settings.home),
        "components": {name: _component(settings, name, found.get(name) is not None) for name in COMPONENTS},
        "connectors": found.get("connect") or {},
        "slots": found.get("postgres") or [],
        "topics": found.get("kafka") or {},
        "disk": {"free_bytes": free_bytes(settings.home), "used_bytes": size(settings.folder)},
    }


def _may_answer(settings: StackSettings, name: str) -> bool:
    return process_of(settings, name) is not None or is_open(_port(settings, name))


def _port(settings: StackSettings, name: str) -> int:
    return next(iter(ports(settings, name).values()))


def _component(settings: StackSettings, name: str, answers: bool) -> dict[str, Any]:
    port, process = _port(settings, name), process_of(settings, name)
    log = log_file(settings, name)
    found: dict[str, Any] = {"state": "stopped", "pid": None, "port": port, "log": str(log)}
    if process is not None:
        found |= {"state": "running" if answers else "not answering", "pid": process.pid}
        found |= {"uptime_s": round(time.time() - process.create_time(), 1), "memory_bytes": memory_of(process)}
    elif answers:
        found["state"] = "running"
    elif crashed(settings, name):
        found |= {"state": "crashed", "last_lines": tail(log, 3)}
    return found


def memory_of(process: psutil.Process, *, children: bool = True) -> int:
    """Memory in bytes of the process and its children, a page that n processes share counted as 1/n in each of them
    where the system tells that (Linux), else once each."""
    total = 0
    for each in (process, *(process.children(recursive=True) if children else ())):
        try:
            found = each.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(found, "pss", 0) or found.rss
    return total


def _connectors(settings: StackSettings) -> dict[str, Any]:
    return {name: connect.connector_status(settings, name) for name in connect.connectors(settings)}


def _topics(settings: StackSettings) -> dict[str, Any]:
    client = kafka.admin(settings)
    found = client.list_topics(timeout=5).topics
    places = [TopicPartition(name, number) for name, topic in found.items() for number in topic.partitions]
    ends = client.list_offsets({place: OffsetSpec.latest() for place in places}, request_timeout=5)
    starts = client.list_offsets({place: OffsetSpec.earliest() for place in places}, request_timeout=5)
    ids = kafka.topic_ids(client, found)
    return {
        name: {"id": ids.get(name), **_topic(settings, name, *(_by_partition(each, name) for each in (starts, ends)))}
        for name in sorted(found)
    }


def _by_partition(asked: Mapping[TopicPartition, Any], topic: str) -> dict[int, int]:
    return {place.partition: each.result().offset for place, each in asked.items() if place.topic == topic}


def _topic(settings: StackSettings, name: str, starts: dict[int, int], ends: dict[int, int]) -> dict[str, Any]:
    return {
        "partitions": len(ends),
        "offsets": sum(ends.values()) - sum(starts.values()),
        "bytes": sum(size(kafka.data_folder(settings) / f"{name}-{number}") for number in ends),
        "starts": starts,
        "ends": ends,
    }


def size(folder: Path) -> int:
    """Bytes that the files below a folder take on disk."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except OSError:
                continue
    return total


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder, which need not be there yet."""
    return shutil.disk_usage(_existing(folder)).free


def disks(folders: Iterable[Path]) -> dict[str, int]:
    """Room on each disk that one of the folders is on, by the first of its folders. They need not be there yet."""
    found: dict[int, Path] = {}
    for folder in folders:
        found.setdefault(_existing(folder).stat().st_dev, folder)
    return {str(folder): free_bytes(folder) for folder in found.values()}


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def as_text(found: Mapping[str, Any]) -> str:
    """The state for people: aligned, a few lines for each part that there is something to say about."""
    lines = [f"stack in {found['home']}"]
    for name, each in found["components"].items():
        facts = f"port {each['port']}"
        if each["pid"]:
            facts += f"  pid {each['pid']}  up {_duration(each['uptime_s'])}  {_bytes(each['memory_bytes'])}"
        elif each["state"] == "running":
            facts += "  answers there, not started by `make up`"
        lines.append(f"  {TITLES[name]:<14} {_painted(each['state'], 13)} {facts}")
        lines += [f"    {line}" for line in each.get("last_lines", [])]
        if each["state"] in ("crashed", "not answering"):
            lines.append(f"    see {each['log']}; `make up` starts what is missing")
    for name, each in found["connectors"].items():
        lines.append(f"  connector {name}: {_painted(each['connector'])}, tasks {each['tasks'] or 'none'}")
        lines += [f"    {each['trace']}"] if each["trace"] else []
    for each in found["slots"]:
        active = "active" if each["active"] else "not active"
        retained = _bytes(each["retained_bytes"] or 0)
        wal = _painted(each["wal_status"]) if each["wal_status"] == "lost" else each["wal_status"]
        lines.append(f"  slot {each['name']} ({each['database']}): {active}, {wal}, retains {retained}")
        if each["wal_status"] == "lost":
            lines.append("    its log is gone: `make up UP=--renew-slot` reads every row again; then `make repair`")
    for name, each in found["topics"].items():
        size = f"{each['partitions']:>3} partitions {each['offsets']:>12,} offsets {_bytes(each['bytes']):>9}"
        lines.append(f"  topic {name:<34} {size}")
    lines += _streams(found["streams"])
    disk = found["disk"]
    lines.append(f"  disk: {_bytes(disk['used_bytes'])} used by the stack, {_bytes(disk['free_bytes'])} free")
    return "\n".join(lines)


def _streams(streams: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, each in streams["queries"].items():
        state, _, why = each["state"].partition(": ")
        lines.append(f"  query {name:<20} {_painted(state, 8)} {queries.sums(each)}")
        lines += [f"    {why}"] if why else []
        lines += (
            ["    the parts are not what was read: some records are lost or counted twice"]
            if each["holds"] is False
            else []
        )
    if streams["quarantined"]:
        lines.append(f"  quarantined: {streams['quarantined']:,} messages that cannot be read, in lake/quarantine")
    return lines


def _painted(state: str, width: int = 0) -> str:
    colours = {"running": "green", "RUNNING": "green", "done": "green", "stopped": "dim"}
    return cli.paint(f"{state:<{width}}", colours.get(state, "red"))


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
