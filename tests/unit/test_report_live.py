"""The live view without a terminal."""

from __future__ import annotations

import io
import re

from rich.console import Console

from fraudstream.check.live import as_table, duration, live_view
from report_runs import RULES, made_up_run


def test_a_log_gets_a_plain_line_every_five_seconds_and_at_each_new_stage():
    out = io.StringIO()
    with live_view(RULES, out) as show:
        for sample in made_up_run().samples[20:31]:
            show("realistic: writing", sample)
        show("catching up", made_up_run().samples[31])
    lines = out.getvalue().splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["realistic: writing"] * 3 + ["catching up"]
    assert "\x1b" not in out.getvalue()
    # At second 25: 23 s of 2,000 rows committed, captured half a second and read a second later.
    assert "committed 46,000 (2,000/s) captured 45,000 | anomaly 1,466 alerts 640 ms/1.32 s | velocity" in lines[1]
    assert lines[1].endswith("mirror_transactions is 11,000 behind, quarantined 0")


def test_a_terminal_gets_a_row_for_every_query():
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(as_table("title", RULES, made_up_run().samples[20:26]))
    text = console.export_text()
    for name in ("committed", "captured", *RULES, "mirror_transactions", "archive_alerts", "quarantined"):
        assert name in text
    anomaly = next(line for line in text.splitlines() if "anomaly" in line)
    assert re.split(r"\s{2,}", anomaly.strip()) == ["anomaly", "44,000", "2,000", "1,000", "1,466", "640 ms", "1.32 s"]


def test_durations_are_written_in_ms_up_to_a_second():
    assert [duration(each) for each in (None, 0.4, 999, 1000, 12_345)] == ["", "0 ms", "999 ms", "1.00 s", "12.35 s"]
