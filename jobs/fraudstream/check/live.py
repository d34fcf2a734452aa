"""The live view of a running pipeline: a table that updates in place on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fraudstream.check.observe import ARCHIVE, MIRROR, Sample

_PLAIN_SECONDS = 5.0
_RATE_SECONDS = 5.0

Show = Callable[[str, Sample], None]


@contextlib.contextmanager
def live_view(rules: Sequence[str], stream: TextIO | None = None) -> Iterator[Show]:
    """A function that shows (what is going on, the totals of now); to be called about once a second."""
    stream = stream or sys.stdout
    history: deque[Sample] = deque()
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield _plain_lines(rules, stream, history)
        return
    console = Console(file=stream, highlight=False)
    with Live(console=console, auto_refresh=False, transient=False) as live:

        def show(title: str, sample: Sample) -> None:
            remember(history, sample)
            live.update(as_table(title, rules, history), refresh=True)

        yield show


def _plain_lines(rules: Sequence[str], stream: TextIO, history: deque[Sample]) -> Show:
    shown = float("-inf")
    said = ""

    def show(title: str, sample: Sample) -> None:
        nonlocal shown, said
        remember(history, sample)
        stage = title.split(":")[0]
        if sample.at - shown >= _PLAIN_SECONDS or stage != said:
            shown, said = sample.at, stage
            print(as_line(title, rules, history), file=stream, flush=True)

    return show


def remember(history: deque[Sample], sample: Sample) -> None:
    """Add a sample and drop those that no rate needs any more."""
    history.append(sample)
    while len(history) > 2 and sample.at - history[1].at >= _RATE_SECONDS:
        history.popleft()


def rate(history: Sequence[Sample], total: Callable[[Sample], int]) -> float:
    """Growth per second of a total over the samples kept."""
    first, last = history[0], history[-1]
    return (total(last) - total(first)) / (last.at - first.at) if last.at > first.at else 0.0


def as_table(title: str, rules: Sequence[str], history: Sequence[Sample]) -> Table:
    """The table of a terminal."""
    sample = history[-1]
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("", min_width=24)
    for name in ("total", "per s", "behind", "alerts", "p50", "p95"):
        table.add_column(name, justify="right", min_width=8)  # figures that grow do not move the columns
    changed = f"{sample.updates:,} updates, {sample.deletes:,} deletes"
    changes = f"  [dim]{changed}[/]" if sample.updates + sample.deletes else ""
    committed = rate(history, lambda each: each.committed)
    table.add_row(f"committed{changes}", f"{sample.committed:,}", f"{committed:,.0f}")
    captured = rate(history, lambda each: each.captured)
    table.add_row("captured", f"{sample.captured:,}", f"{captured:,.0f}", end_section=True)
    for query in (*rules, MIRROR, ARCHIVE):
        table.add_row(*_query_cells(query, history), end_section=query == rules[-1])
    style = "red" if sample.quarantined else None
    table.add_row("quarantined", f"{sample.quarantined:,}", style=style)
    return table


def _query_cells(query: str, history: Sequence[Sample]) -> list[str]:
    sample = history[-1]
    p50, p95 = sample.latency.get(query, (None, None))
    return [
        query,
        f"{sample.read[query]:,}",
        f"{rate(history, lambda each: each.read[query]):,.0f}",
        f"{sample.behind(query):,}",
        f"{sample.alerts[query]:,}" if query in sample.alerts else "",
        duration(p50),
        duration(p95),
    ]


def as_line(title: str, rules: Sequence[str], history: Sequence[Sample]) -> str:
    """The same on one line, for a log."""
    sample = history[-1]
    queries = []
    for rule in rules:
        p50, p95 = sample.latency.get(rule, (None, None))
        latency = f" {duration(p50)}/{duration(p95)}" if p50 is not None else ""
        queries.append(f"{rule} {sample.alerts.get(rule, 0):,} alerts{latency}")
    late = {query: sample.behind(query) for query in sample.read}
    slowest = max(late, key=lambda query: late[query])
    behind = f"{slowest} is {late[slowest]:,} behind" if late[slowest] else "nothing behind"
    return (
        f"{title} | committed {sample.committed:,} ({rate(history, lambda each: each.committed):,.0f}/s) "
        f"captured {sample.captured:,} | {' | '.join(queries)} | {behind}, quarantined {sample.quarantined:,}"
    )


def duration(milliseconds: float | None) -> str:
    """850 -> "850 ms", 1250 -> "1.25 s"; empty for None."""
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"
