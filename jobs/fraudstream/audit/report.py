"""An audit for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fraudstream import cli
from fraudstream.audit.finding import KINDS, Part
from fraudstream.audit.run import Audit

_WIDTH = 15
_INDENT = " " * _WIDTH


def as_json(found: Audit) -> dict[str, Any]:
    """The report: `passed`, the bounds, and each part with its figures, findings and notes."""
    return {
        "passed": not found.findings,
        "at": datetime.fromtimestamp(found.at, UTC).isoformat(timespec="seconds"),
        "seconds": found.seconds,
        "positions": {query: {str(p): o for p, o in each.items()} for query, each in found.bounds.positions.items()},
        "parts": [part.as_json() for part in found.parts],
        "findings": sum(finding.count for finding in found.findings),
    }


def as_text(found: Audit) -> str:
    """The report as text: a line per part, and below it what is wrong, with its remedy."""
    lines = []
    for part in found.parts:
        state = cli.paint("ok", "green") if not part.findings else cli.paint(f"{len(part.findings)} wrong", "red")
        first, *more = _figures(part)
        lines.append(f"{part.name:<{_WIDTH}}{first}: {state}" if not more else f"{part.name:<{_WIDTH}}{first}")
        lines += [f"{_INDENT}{line}" for line in more[:-1]] + ([f"{_INDENT}{more[-1]}: {state}"] if more else [])
        for finding in part.findings:
            lines.append(f"{_INDENT}{cli.paint('✗', 'red')} {finding.text}")
            lines.append(f"{_INDENT}  remedy: {_remedy(finding.kind, finding.where)}")
        lines += [f"{_INDENT}note: {note}" for note in part.notes]
    total = len(found.findings)
    verdict = cli.paint("nothing missing, doubled or different", "green") if not total else _counted(total)
    return "\n".join([*lines, f"{verdict} ({found.seconds:.1f} s)"])


def _counted(total: int) -> str:
    return cli.paint(f"{total} finding{'s' if total > 1 else ''}; see docs/operations.md, Audit and repair", "red")


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
