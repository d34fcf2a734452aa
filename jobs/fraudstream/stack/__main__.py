"""python -m fraudstream.stack up | down | status | purge | fetch | jars | lock"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Sequence

from fraudstream import cli
from fraudstream.errors import ConfigError
from fraudstream.stack import connect, lifecycle
from fraudstream.stack.artifacts import GROUPS, cache_folder, jars
from fraudstream.stack.settings import StackSettings, load_settings
from fraudstream.stack.status import as_text


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 status of a broken stack, 130 or 143 interrupted; cli.run gives errors theirs."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda which, _: sys.exit(128 + which))
    try:
        return _run(_parser().parse_args(argv))
    except KeyboardInterrupt:
        print("interrupted; `make down` stops what still runs", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fraudstream.stack", description="The local stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start what does not run yet and wait until it is ready")
    start.add_argument(
        "--connector",
        action="append",
        metavar="NAME",
        help="register docker/connect/NAME.json; repeatable; without it transactions; `none` registers no connector",
    )
    gap = start.add_mutually_exclusive_group()
    gap.add_argument(
        "--accept-gap",
        action="store_true",
        help="go on where the slot is ahead of the stored offset; `make repair` brings what is missing",
    )
    gap.add_argument(
        "--renew-slot",
        action="store_true",
        help="where a slot is lost, or the database restored, make a new one and read every row again",
    )
    gap.add_argument(
        "--from-slot",
        action="store_true",
        help="where a connector's stored offset is gone, go on from its slot",
    )
    commands.add_parser("down", help="stop everything; data stays")
    commands.add_parser("status", help="what runs, and how far it is; exit code 1 when something is broken")
    commands.add_parser("purge", help="stop everything and delete all data")
    commands.add_parser("fetch", help="put all jars into the cache; later starts need no network")
    group = commands.add_parser("jars", help="the cached jars of a group, as spark-submit --jars takes them")
    group.add_argument("group", choices=GROUPS)
    commands.add_parser("lock", help="write conf/jars.lock anew from the versions in docker/.env")
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "lock":
        from fraudstream.stack.resolve import write_lock

        count = write_lock()
        _tell(options, {"artifacts": count}, f"{count} artifacts locked")
        return 0
    if options.command == "fetch":
        count = sum(len(jars(group)) for group in GROUPS)
        _tell(options, {"files": count, "cache": str(cache_folder())}, f"{count} files in {cache_folder()}")
        return 0
    if options.command == "jars":
        files = [str(path) for path in jars(options.group)]
        _tell(options, files, ",".join(files))
        return 0
    settings = load_settings()
    if options.command == "up":
        gap: lifecycle.Gap = "accept" if options.accept_gap else "renew" if options.renew_slot else "refuse"
        gap = "from-slot" if options.from_slot else gap
        seconds = _up(settings, options.connector or ["transactions"], gap)
        _tell(options, {"seconds": round(seconds, 2)}, f"up after {seconds:.1f} s; `make status` shows it")
    elif options.command == "down":
        stopped = lifecycle.down(settings)
        _tell(options, {"stopped": stopped}, f"stopped: {', '.join(stopped) or 'nothing ran'}")
    elif options.command == "purge":
        folders = [str(folder) for folder in lifecycle.purge(settings)]
        _tell(options, {"deleted": folders}, f"deleted: {', '.join(folders) or 'nothing was there'}")
    else:
        found = lifecycle.status(settings)
        _tell(options, found, as_text(found))
        stopped_cleanly = all(each["state"] == "stopped" for each in found["components"].values())
        return 0 if found["healthy"] or stopped_cleanly else 1
    return 0


def _up(settings: StackSettings, names: Sequence[str], gap: lifecycle.Gap) -> float:
    known = sorted(path.stem for path in connect.CONNECTORS.glob("*.json"))
    wanted = [name for name in names if name != "none"]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"no connector {name!r}; the files in {connect.CONNECTORS} are {', '.join(known)}.")
    paths = [connect.CONNECTORS / f"{name}.json" for name in wanted]
    seconds = lifecycle.up(settings, paths[0] if paths else None, gap)
    return seconds + sum(lifecycle.up(settings, path, gap) for path in paths[1:])


def _tell(options: argparse.Namespace, found: object, text: str) -> None:
    print(json.dumps(found, indent=2) if options.json else text)


if __name__ == "__main__":
    cli.run(main)
