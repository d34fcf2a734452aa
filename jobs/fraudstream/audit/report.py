"""An audit for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fraudstream import cli
from fraudstream.audit.finding import KINDS, Part
from fraudstream.audit.run import Audit
from fraudstream.durable import write_durably

_WIDTH = 15
_INDENT = " " * _WIDTH


def as_json(found: Audit) -> dict[str, Any]:
    """The report: `passed`, the bounds, and each part with its figures, findings and notes; `incomplete` names the
    parts that could not be compared in full."""
    return {
        "passed": exit_code(found) == 0,
        "at": datetime.fromtimestamp(found.at, UTC).isoformat(timespec="seconds"),
        "seconds": found.seconds,
        "positions": {query: {str(p): o for p, o in each.items()} for query, each in found.bounds.positions.items()},
        "parts": [part.as_json() for part in found.parts],
        "findings": sum(finding.count for finding in found.findings),
        "incomplete": found.incomplete,
    }


def exit_code(found: Audit) -> int:
    """1 if something is wrong, 2 if nothing is but something could not be compared, else 0."""
    return 1 if found.findings else 2 if found.incomplete else 0


def as_text(found: Audit) -> str:
    """The report as text: a line per part, and below it what is wrong, with its remedy."""
    lines = []
    for part in found.parts:
        state = _state(part)
        first, *more = _figures(part)
        lines.append(f"{part.name:<{_WIDTH}}{first}: {state}" if not more else f"{part.name:<{_WIDTH}}{first}")
        lines += [f"{_INDENT}{line}" for line in more[:-1]] + ([f"{_INDENT}{more[-1]}: {state}"] if more else [])
        for finding in part.findings:
            lines.append(f"{_INDENT}{cli.paint('✗', 'red')} {finding.text}")
            lines.append(f"{_INDENT}  remedy: {_remedy(finding.kind, finding.where)}")
        lines += [f"{_INDENT}{cli.paint('?', 'yellow')} not compared: {reason}" for reason in part.incomplete]
        lines += [f"{_INDENT}note: {note}" for note in part.notes]
    return "\n".join([*lines, f"{_verdict(found)} ({found.seconds:.1f} s)"])


def _state(part: Part) -> str:
    wrong = [cli.paint(f"{len(part.findings)} wrong", "red")] if part.findings else []
    unknown = [cli.paint("incomplete", "yellow")] if part.incomplete else []
    return ", ".join([*wrong, *unknown]) or cli.paint("ok", "green")


def _verdict(found: Audit) -> str:
    total = len(found.findings)
    if total:
        return cli.paint(f"{total} finding{'s' if total > 1 else ''}; see docs/operations.md, Audit and repair", "red")
    if found.incomplete:
        return cli.paint(f"incomplete: {', '.join(found.incomplete)} could not be compared in full", "yellow")
    return cli.paint("nothing missing, doubled or different", "green")


def _remedy(kind: str, where: str) -> str:
    return KINDS[kind].remedy.replace("QUERY", where)


def _figures(part: Part) -> list[str]:
    """A part's figures in words, one line each."""
    single = {name: each for name, each in part.figures.items() if not isinstance(each, Mapping) or name == "ignored"}
    nested = {name: each for name, each in part.figures.items() if name not in single}
    lines = [f"{name}: {_words(each)}" for name, each in nested.items()]
    shown = {name: each for name, each in single.items() if each or name not in ("acknowledged", "readable_now")}
    return ([_words(shown)] if shown else []) + lines or ["nothing to compare"]


def _words(figures: Mapping[str, Any]) -> str:
    words = []
    for name, each in figures.items():
        if isinstance(each, Mapping):
            inner = ", ".join(f"{key} {count:,}" for key, count in each.items())
            words.append(f"{name} {sum(each.values()):,}{f' ({inner})' if inner else ''}")
        else:
            words.append(f"{name.replace('_', ' ')} {each:,}")
    return ", ".join(words)


def text_of(report: Mapping[str, Any]) -> str:
    """The report as it is written to a file."""
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def write(home: Path, report: Mapping[str, Any]) -> None:
    """Keep the report as the last one of the stack in `home`."""
    path = home / "audit" / "report.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, text_of(report).encode())
