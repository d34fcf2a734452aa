"""Triage alerts: label them, look at them as cases, snooze a user's alerts of a rule, and see how good the rules are.

Labels and snoozes are rows of their own in Delta (lake/labels, lake/snoozes) that are only ever added; lake/alerts is
not touched. Lists and reports are as of --at, by default of the newest alert with every label, and can be repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fraudstream import cli
from fraudstream.config import PIPELINE_FILE, RULES_FILE, load_pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import load_rules

_EXAMPLES = """examples:
  ./spark-submit.sh triage_alerts cases --limit 10
  ./spark-submit.sh triage_alerts alerts --user 1514 --open
  ./spark-submit.sh triage_alerts label ec7a10b9 --confirmed --note "card reported stolen"
  ./spark-submit.sh triage_alerts label --transaction 102309 --dismissed
  ./spark-submit.sh triage_alerts snooze 1514 --rule velocity --for 7d --note "moves house"
  ./spark-submit.sh triage_alerts quality --days 7
  ./spark-submit.sh triage_alerts budget --days 7 --budget velocity=50/day     # exit code 1 if it is exceeded
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = _parser().parse_args(argv)
    from fraudstream.triage.times import moment

    given.lake = given.lake or load_pipeline(given.config).lake
    given.at = moment(given.at, "--at") if given.at else None
    for option in ("days", "limit"):
        if getattr(given, option, 1) < (option == "days"):
            least = "1" if option == "days" else "0 (all)"
            raise FraudstreamError(f"--{option} is {getattr(given, option)}; it must be {least} or more.")
    code: int = given.run(given)
    return code


def _label(given: argparse.Namespace) -> int:
    from fraudstream.triage.records import add_label
    from fraudstream.triage.times import shown

    found = add_label(
        given.lake, given.label, alert=given.alert, transaction=given.transaction, note=given.note, by=given.by,
        at=given.at,
    )  # fmt: skip
    _show(
        given,
        found._asdict(),
        [f"transaction {found.transaction_id}: {found.label} by {found.by}, {shown(found.at)} UTC"],
    )
    return 0


def _snooze(given: argparse.Namespace) -> int:
    from fraudstream.triage.records import add_snooze
    from fraudstream.triage.times import duration, moment, now, shown

    since = now() if given.at is None else given.at
    until = since + duration(given.length, "--for") if given.length else moment(given.until, "--until")
    found = add_snooze(given.lake, given.user, given.rule, until, note=given.note, by=given.by, at=since)
    text = (
        f"alerts of {found.rule} on user {found.user_id} are snoozed from {shown(found.since)} until "
        f"{shown(found.until)} UTC; they stay in lake/alerts, and every list counts them"
    )
    _show(given, found._asdict(), [text])
    return 0


def _wake(given: argparse.Namespace) -> int:
    from fraudstream.triage.records import end_snooze
    from fraudstream.triage.times import shown

    found = end_snooze(given.lake, given.user, given.rule, note=given.note, by=given.by, at=given.at)
    text = f"alerts of {found.rule} on user {found.user_id} are not snoozed from {shown(found.since)} UTC on"
    _show(given, found._asdict(), [text])
    return 0


def _alerts(given: argparse.Namespace) -> int:
    from fraudstream.triage.desk import open_desk
    from fraudstream.triage.text import alerts_text, state

    desk = open_desk(given.lake, given.at)
    found = [
        alert
        for alert in desk.alerts
        if (given.user is None or alert.user_id == given.user)
        and (given.rule is None or alert.rule == given.rule)
        and (not given.open or state(desk, alert) == "open")
    ]
    newest = found[::-1][: given.limit or None]
    machine = {"at": desk.at, "alerts": [{**each._asdict(), "state": state(desk, each)} for each in newest]}
    _show(given, machine, alerts_text(desk, found, given.limit))
    return 0


def _cases(given: argparse.Namespace) -> int:
    from fraudstream.triage.cases import cases
    from fraudstream.triage.desk import open_desk
    from fraudstream.triage.text import by_urgency, cases_text
    from fraudstream.triage.times import duration

    desk = open_desk(given.lake, given.at)
    found = [
        case
        for case in cases(desk, duration(given.gap, "--gap"))
        if (given.user is None or case.user_id == given.user) and (not given.open or case.status == "open")
    ]
    machine = {"at": desk.at, "cases": [asdict(case) for case in by_urgency(found)[: given.limit or None]]}
    _show(given, machine, cases_text(desk, found, given.limit))
    return 0


def _snoozes(given: argparse.Namespace) -> int:
    from fraudstream.triage.desk import open_desk
    from fraudstream.triage.text import snoozes_text

    desk = open_desk(given.lake, given.at)
    _show(given, {"at": desk.at, "snoozes": [each._asdict() for each in desk.snoozes]}, snoozes_text(desk))
    return 0


def _quality(given: argparse.Namespace) -> int:
    from fraudstream.triage.desk import open_desk
    from fraudstream.triage.quality import confirmed_transactions, quality
    from fraudstream.triage.text import quality_text

    desk = open_desk(given.lake, given.at)
    live = [rule.name for rule in load_rules(given.rules_file) if rule.status == "live"]
    found = quality(desk, given.days, live, confirmed_transactions(given.lake, desk))
    _show(given, asdict(found), quality_text(found))
    return 0


def _budget(given: argparse.Namespace) -> int:
    from fraudstream.triage.budget import parse_budgets, spent
    from fraudstream.triage.desk import open_desk
    from fraudstream.triage.text import budget_text

    desk = open_desk(given.lake, given.at)
    stated = {rule.name: rule.budget for rule in load_rules(given.rules_file) if rule.budget is not None}
    found = spent(desk, given.days, stated if given.budget is None else parse_budgets(given.budget))
    machine = {"at": desk.at, "rules": [{**asdict(rule), "days_over": rule.days_over} for rule in found]}
    _show(given, machine, budget_text(desk, given.days, found))
    return int(any(rule.days_over for rule in found))


def _export(given: argparse.Namespace) -> int:
    from fraudstream.triage.desk import recorded_labels
    from fraudstream.triage.export import confirmed_since, write_csv

    confirmed = confirmed_since(recorded_labels(given.lake), given.at)
    write_csv(given.file, confirmed)
    text = f"{len(confirmed):,} confirmed transactions in {given.file}, for the parameter `labels` of a rule"
    _show(given, {"file": str(given.file), "confirmed": len(confirmed)}, [text])
    return 0


def _show(given: argparse.Namespace, machine: Any, lines: Iterable[str]) -> None:
    print(json.dumps(machine, ensure_ascii=False) if given.json else "\n".join(lines))


def _shared() -> Iterator[argparse.ArgumentParser]:
    """The options that several commands have: of all commands, of decisions, a user's, of rules, of lists."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=PIPELINE_FILE, help="another pipeline.yaml")
    common.add_argument("--lake", help="another lake (default: that of the pipeline.yaml)")
    common.add_argument(
        "--at", metavar="TIME", help="as of this time, like 2026-03-01T12:00:00Z (to record: default now)"
    )
    common.add_argument("--json", action="store_true", help="one JSON object, for machines; times in microseconds")
    yield common
    author = argparse.ArgumentParser(add_help=False)
    author.add_argument("--note", help="why")
    author.add_argument("--by", help="who decides (default: your login)")
    yield author
    user = argparse.ArgumentParser(add_help=False)
    user.add_argument("user", type=int, metavar="USER")
    user.add_argument("--rule", required=True)
    yield user
    rules = argparse.ArgumentParser(add_help=False)
    rules.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file")
    rules.add_argument("--days", type=int, default=7, help="how many days to look back (default: 7)")
    yield rules
    listing = argparse.ArgumentParser(add_help=False)
    listing.add_argument("--user", type=int, help="of this user alone")
    listing.add_argument("--open", action="store_true", help="only what nobody has decided on, and is not snoozed")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="at most N (default: 20; 0: all)")
    yield listing


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common, author, user, rules, listing = _shared()
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run: Callable[[argparse.Namespace], int], text: str, *parents: Any) -> argparse.ArgumentParser:
        name = run.__name__.removeprefix("_")
        added = commands.add_parser(name, help=text, description=text, parents=[common, *parents])
        added.set_defaults(run=run)
        return added

    label = command(_label, "record that a transaction is confirmed as fraud or dismissed; the newest counts", author)
    label.add_argument("alert", nargs="?", metavar="ID", help="an alert_id on the transaction, or its beginning")
    label.add_argument("--transaction", type=int, metavar="N", help="the transaction itself, with or without an alert")
    decision = label.add_mutually_exclusive_group(required=True)
    for name in ("confirmed", "dismissed"):
        decision.add_argument(f"--{name}", dest="label", action="store_const", const=name)
    alerts = command(_alerts, "list alerts, the newest first", listing)
    alerts.add_argument("--rule", help="of this rule alone")
    cases = command(_cases, "list cases: each user's alerts that follow each other closely", listing)
    cases.add_argument("--gap", default="24h", help="a longer time without alerts ends a case (default: 24h)")
    snooze = command(_snooze, "snooze a rule's alerts on a user from now (--at) until it expires", user, author)
    expiry = snooze.add_mutually_exclusive_group(required=True)
    expiry.add_argument("--for", dest="length", metavar="DURATION", help="like 12h or 7d")
    expiry.add_argument("--until", metavar="TIME", help="like 2026-03-08T12:00:00Z")
    command(_wake, "end a snooze before it expires", user, author)
    command(_snoozes, "list the snoozes, expired ones too")
    command(_quality, "say how good the rules were by the labels, and what all of them missed", rules)
    budget = command(_budget, "compare each rule's alerts a day with its budget", rules)
    budget.add_argument("--budget", metavar="RULE=N/day,...", help="instead of those in the rules file")
    export = command(_export, "write the confirmed transactions to a CSV file, as rules take them for labels")
    export.add_argument("file", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    cli.run(main)
