"""Figures over repeats, the decision table and the page, from measurements made up here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fraudstream.compare.account import KINDS
from fraudstream.compare.answers import shown
from fraudstream.compare.figures import derived, gather, models, value
from fraudstream.compare.grid import small
from fraudstream.compare.measurement import Measurement, measured, read_csv, write_csv
from fraudstream.compare.report import summary, write_report
from fraudstream.compare.run import Outcome
from fraudstream.compare.standing import settings_lines
from fraudstream.compare.verdicts import verdicts

ABOUT = {
    "grid": "small", "repeats": 1, "outage_s": {"reader": 15.0}, "started_at": "2026-01-01T00:00:00+00:00",
    "versions": {"postgres": "18.6"},
    "machine": {"cpu": "made up", "cores": 2, "memory_gib": 24, "system": "Linux", "load_1_min": 0.1},
}  # fmt: skip
_FRESH = {"poll_id": 2500.0, "poll_updated": 2600.0, "cdc": 30.0}


def cell(name: str, rate: float, interval: float, readers: int) -> list[Measurement]:
    """A cell in which a poll costs the database 2 ms, CDC 10 ms/s and everything else 1 s in a window of 50 s."""
    changes = max(1.0, rate * 45)
    common = {"changes": changes, "window_s": 50.0, "consumers": readers, "interval_s": interval, "rate": rate,
              "wal_bytes_per_change": 300.0, **{f"changes_{kind}": changes / 4 for kind in KINDS}}  # fmt: skip
    found = measured("cell", name, 1, "all", common)
    for path, fresh in _FRESH.items():
        polls = readers * 50 / interval
        figures = {
            "fresh_p50_ms": fresh, "fresh_p95_ms": 2 * fresh, "fresh_p99_ms": 3 * fresh, "fresh_max_ms": 4 * fresh,
            "missed": 0.0 if path == "cdc" else changes / 4, "missed_intermediate": 0.0, "late": 0.0, "repeated": 0.0,
            "wrong_rows": 0.0, "ghost_rows": 0.0, "readers_cpu_s": readers * (0.1 + changes * 1e-5),
            "database_cpu_s": 0.5 if path == "cdc" else polls * 0.002 + readers * changes * 1e-6,
            "reader_peak_kib": 30000.0, "reader_start_s": 0.2,
            **{f"missed_{kind}": 0.0 for kind in KINDS}, "missed_delete": 0.0 if path == "cdc" else changes / 4,
        }  # fmt: skip
        figures |= {"broker_cpu_s": 1.0, "connect_cpu_s": 1.0} if path == "cdc" else {"polls": polls}
        figures["total_cpu_s"] = sum(v for name, v in figures.items() if name.endswith("_cpu_s"))
        found += measured("cell", name, 1, path, figures)
    return found


def made_up() -> list[Measurement]:
    """Measurements of the small grid, the outages and all else."""
    found = [each for one in small().cells for each in cell(one.name, one.rate, one.interval_s, one.consumers)]
    for victim in ("reader", "connect", "database"):
        found += measured("outage", victim, 1, "all", {"outage_s": 15, "changes": 100, "slot_retained_bytes": 2**20})
        for path in _FRESH:
            figures = {"missed": 0, "repeated": 0, "wrong_rows": 0, "catch_up_s": 1.5, "fresh_max_ms": 15000}
            found += measured("outage", victim, 1, path, figures)
    found += measured("bulk", "bulk", 1, "copy", {"rows_per_s": 900_000})
    spark = {"tuned_again_rows_per_s": 600_000, "start_cpu_s": 12, "peak_kib": 900_000, "polls_cpu_s": 1.0,
             "tuned_again_database_cpu_s": 0.8}  # fmt: skip
    found += measured("bulk", "bulk", 1, "spark_jdbc", spark)
    found += measured("bulk", "bulk", 1, "cdc", {"rows_per_s": 30_000})
    found += measured("start", "start", 1, "cdc", {"broker_rss_kib": 300_000, "connect_rss_kib": 500_000})
    found += measured("cost", "one row a minute", 1, "cron", {"process_cpu_s": 0.05, "database_cpu_s": 0.005})
    for path, p50 in {"poll_5s": 2600, "poll_1s": 520, "cdc": 800, "cdc_real_time": 90}.items():
        figures = {"alert_p50_ms": p50, "alerts": 70, "alerts_missing": 3, "rules_cpu_ms_per_s": p50 / 4}
        found += measured("alerts", "alerts", 1, path, figures)
    return found


def test_measurements_come_back_from_their_file(tmp_path: Path):
    write_csv(tmp_path / "m.csv", made_up())
    assert read_csv(tmp_path / "m.csv") == made_up()


def test_a_figure_is_the_median_of_its_repeats_with_their_spread():
    repeats = [Measurement("bulk", "bulk", number, "copy", "seconds", value) for number, value in enumerate((5, 1, 2))]
    assert gather(repeats)["bulk"]["bulk"]["copy"]["seconds"] == (2, 1, 5, 3)


def test_costs_are_per_second_of_the_window_and_per_million_changes():
    common = {"window_s": 50.0, "changes": 1000.0, "changes_delete": 20.0, "changes_insert": 0.0}
    counts = {"missed": 250.0, "missed_insert": 0.0, "missed_delete": 5.0, "missed_intermediate": 10.0, "late": 1.0,
              "missed_insert_out_of_order": 0.0, "missed_update": 0.0}  # fmt: skip
    found = derived({"database_cpu_s": 0.5, **counts}, common)
    assert (found["database_ms_per_s"], found["database_per_million"]) == (10.0, 500.0)
    assert (found["missed_share"], found["missed_delete_share"], found["missed_intermediate_share"]) == (
        0.25,
        0.25,
        0.01,
    )
    assert found["missed_insert_share"] == 0


def test_the_model_reads_its_terms_off_the_idle_and_the_base_cell():
    terms = models(gather(made_up()), database_only=True)
    # 1 ms of 1 change of the idle cell is in its 10 polls, too.
    assert terms["poll_id"].per_poll == pytest.approx(0.002, rel=0.001)
    assert terms["poll_id"].per_row == pytest.approx(1e-6, rel=0.01)
    assert terms["cdc"].fixed == pytest.approx(0.01)
    assert (terms["cdc"].fixed_reader, terms["cdc"].per_read, terms["cdc"].shared_per_change) == (0, 0, 0)


def test_the_decisions_follow_from_the_figures():
    found = {each.need: each for each in verdicts(gather(made_up()))}
    assert len(found) == 9
    assert found["one row a minute"].use == "use a cron job"
    # 6 x 0.055 s; 50 polls of 2 ms and 0.1 s in 50 s are 2.4 ms/s; 2.6 s in 50 s are 52 ms/s.
    assert "cron job that asks every 10 minutes 0.3, " in found["one row a minute"].because
    assert found["fresh within a second"].use == "use CDC"
    eight = next(each for need, each in found.items() if need.startswith("eight readers"))
    assert "CDC 10.0 and 10.0 ms/s" in eight.because
    # Polling: 8 x (0.4 + 22,500 x 1e-6 / 50 s) = 6.8 ms/s.
    assert eight.use == (
        "use polling by updated_at, if the database's CPU is what must be spared and 25 % may be missed"
    )
    whole = next(each for need, each in found.items() if need.startswith("the whole table"))
    assert "COPY is 30 times as fast" in whole.because
    alert = found["an alert soon after the commit"]
    assert alert.use == "use CDC and Spark, real-time mode"
    assert "polling every 1 s 520 ms" in alert.because
    assert "of the stream's 70 alerts polling lacked 3 and 3" in alert.because


def test_a_line_without_its_figures_is_left_out():
    assert verdicts({}) == []


def test_the_page_is_whole_without_network_or_scripts(tmp_path: Path):
    report = write_report(tmp_path, Outcome(made_up(), [], ABOUT))
    page = (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is True
    assert not re.findall(r"<script|<link|<img|@import|url\(\s*['\"]?http", page)
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 5
    ids = [each for plot in plots for each in (e.get("id") for e in ElementTree.fromstring(plot).iter()) if each]
    assert len(ids) == len(set(ids))
    assert "use a cron job" in page
    assert "PASSED" in summary(report)


def test_a_run_with_differences_says_so_first(tmp_path: Path):
    report = write_report(tmp_path, Outcome(made_up(), ["cell base-1: cdc missed 3 <b>"], ABOUT))
    page = (tmp_path / "report.html").read_text()
    assert "<li>cell base-1: cdc missed 3 &lt;b&gt;</li>" in page[: page.index("<h2>")]
    assert report["passed"] is False
    assert "FAILED" in summary(report)


def test_a_run_of_a_few_parts_has_a_report(tmp_path: Path):
    write_report(tmp_path, Outcome(cell("base", 500, 5, 1), [], ABOUT))
    assert "Which path when" in (tmp_path / "report.html").read_text()


def test_unmeasured_figures_are_none_and_shown_as_a_dash():
    assert value({}, "cell", "base", "cdc", "missed") is None
    assert [shown(each) for each in (None, 0, 0.01234, 1.5, 12.34, 1234.5)] == [
        "-",
        "0",
        "0.0123",
        "1.5",
        "12.3",
        "1,234",
    ]


def test_settings_are_counted_without_blank_lines_and_comments(tmp_path: Path):
    for folder in ("connect", "kafka", "postgres"):
        (tmp_path / folder).mkdir()
    (tmp_path / "connect/transactions.json").write_text('{"name": "t", "config": {"a": "1", "b": "2"}}')
    (tmp_path / "connect/worker.properties").write_text("# no\nx=1\n\ny=2\n")
    (tmp_path / "kafka/broker.properties").write_text("z=3\n")
    (tmp_path / "postgres/postgresql.conf").write_text("wal_level = logical\nmax_connections = 60\n")
    assert settings_lines(tmp_path) == 2 + 2 + 1 + 1
