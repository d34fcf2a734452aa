"""The demo: start all, write transactions, detect, show, check against the oracle, report, and stop all again."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fraudstream import cli
from fraudstream.check import timeline
from fraudstream.check.live import duration
from fraudstream.check.once import Interrupted, alone, one_interruption
from fraudstream.check.page import write_page
from fraudstream.check.report import assemble
from fraudstream.check.stages import Options, run_and_check
from fraudstream.check.verify import verify
from fraudstream.check.watch import stop_leftover
from fraudstream.config import RULES_FILE, Pipeline, load_pipeline
from fraudstream.errors import ConfigError, FraudstreamError
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack import lifecycle
from fraudstream.stack.processes import COMPONENTS, is_open, pid_of, ports
from fraudstream.stack.settings import StackSettings, load_settings

PROFILES = ("exercise", "realistic", "hot")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 the check held, 1 it did not or a component failed, 2 an option is wrong, 128 + n after signal n."""
    options = parse(argv)
    try:
        with one_interruption():
            return _demo(options, load_settings())
    except Exception as error:
        cli.complain(error)
        return 1
    except Interrupted as interruption:
        print("interrupted; everything that the demo had started is stopped", file=sys.stderr)
        return 128 + int(interruption.args[0])


def parse(argv: Sequence[str] | None) -> Options:
    """The options from the command line, else from DEMO_* variables. Raises ConfigError naming what is allowed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__, epilog="Variables: DEMO_SECONDS and so on.")
    for name, default, meaning in (
        ("profile", "exercise", f"one of {', '.join(PROFILES)}"),
        ("seconds", "60", "how long transactions are written"),
        ("rate", "2000", "rows per second"),
        ("seed", "0", "another seed gives other rows"),
    ):
        value = os.environ.get(f"DEMO_{name.upper()}") or default
        parser.add_argument(f"--{name}", default=value, help=f"{meaning} (default: {default})")
    given = parser.parse_args(argv)
    if given.profile not in PROFILES:
        raise ConfigError(f"DEMO_PROFILE (--profile) is {given.profile!r}; it must be one of {', '.join(PROFILES)}.")
    return Options(
        profile=given.profile,
        seconds=_whole("seconds", given.seconds, 5, 86_400),
        rate=_whole("rate", given.rate, 1, 100_000),
        seed=_whole("seed", given.seed, 0, 2**63 - 1),
    )


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise ConfigError(
            f"DEMO_{name.upper()} (--{name}) is {text!r}; it must be a whole number from {low:,} to {high:,}."
        )
    return int(text)


def _demo(options: Options, user: StackSettings) -> int:
    home = user.home / "demo"
    os.environ["FRAUDSTREAM_HOME"] = str(home)
    settings, pipeline = load_settings(home), load_pipeline()
    rules = [rule for rule in load_rules(RULES_FILE) if rule.status == "live"]
    home.mkdir(parents=True, exist_ok=True)
    with alone(home, "demo"):
        make_room(user, settings, pipeline)
        print(
            f"profile {options.profile}, {options.rate:,} rows/s for {options.seconds} s; starting, catching up and "
            "checking take one to three minutes more; Ctrl-C stops everything"
        )

        def check(ledger: Path, copies: Path) -> dict[str, Any]:
            return verify(settings, pipeline, rules, ledger, profile=options.profile, copies=copies)

        run, checked = run_and_check(options, settings, pipeline, rules, check)
    report = assemble(run, checked, settings, "series.json")
    (home / "series.json").write_text(json.dumps(timeline.series(run.samples, run.began)), encoding="utf-8")
    write_page(home / "report.html", report, run, pipeline.table("alerts"))
    (home / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(summary(report))
    print(f"report: {home / 'report.html'}")
    return 0 if report["passed"] else 1


def make_room(user: StackSettings, settings: StackSettings, pipeline: Pipeline) -> None:
    """Forget the demo before; never touch the user's own stack."""
    running = [name for name in COMPONENTS if pid_of(user, name)]
    taken = [port for name in running for port in ports(user, name).values() if is_open(port)]
    if taken:
        raise FraudstreamError(
            f"your own stack in {user.home} is up on the ports that the demo needs ({', '.join(map(str, taken))}); "
            "stop it first with `make down` (its data stays)."
        )
    stop_leftover(pipeline.progress)
    lifecycle.purge(settings)
    for name in ("report.json", "report.html", "series.json", "ledger.jsonl", "copies.jsonl"):
        (settings.home / name).unlink(missing_ok=True)


def summary(report: dict[str, Any]) -> str:
    """The result for the terminal."""
    lines = [f"{'rule':<16}{'oracle':>9}{'kafka':>9}{'delta':>9}{'missing':>9}{'extra':>7}{'p50':>10}{'p95':>10}"]
    for name, rule in report["rules"].items():
        warm = rule["latency_warm_ms"]
        lines.append(
            f"{name:<16}{rule['oracle']:>9,}{rule['kafka']:>9,}{rule['delta']:>9,}{rule['missing']:>9,}"
            f"{rule['extra']:>7,}{duration(warm['p50']) or '-':>10}{duration(warm['p95']) or '-':>10}"
        )
    committed, capture, mirror = report["committed"], report["capture"], report["mirror"]
    lines.append(
        f"committed {sum(committed.values()):,} changes, lost {capture['lost']}, doubled {capture['doubled']}; "
        f"quarantined {report['topic']['quarantined']}; mirror differs in {mirror['different']} rows"
    )
    lines += [f"- {failure}" for failure in report["failures"]]
    lines += _limits(report)
    lines.append(cli.paint("PASSED", "green") if report["passed"] else cli.paint("FAILED", "red"))
    return "\n".join(lines)


def _limits(report: dict[str, Any]) -> list[str]:
    """What the check could not say, however it ended."""
    lines = []
    if report["unchecked_rules"]:
        rules = ", ".join(report["unchecked_rules"])
        lines.append(f"not checked: the alerts of {rules}, which the oracle does not define")
    if reasons := report["power"]["reasons"]:
        more = f" and {len(reasons) - 1} more reasons (see the report)" if len(reasons) > 1 else ""
        told = reasons[0].removeprefix("not proven: ")
        lines.append(f"not proven by this input that mistakes in the rules would show: {told}{more}")
    return lines


if __name__ == "__main__":
    cli.run(main)
