"""The recorded figures and their page: of several reports, of several states of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fraudstream.bench.report import assembled
from fraudstream.stack.settings import load_settings
from made_up_results import bare, part, result
from record_bench import merged, page


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fraudstream.bench.report.versions", lambda settings: {"kafka": "1"})
    return lambda *results: assembled(results, load_settings(tmp_path))


def written(report: dict[str, Any]) -> str:
    return page({"options": "--full", "note": "", "report": report})


def test_the_page_says_of_which_code_and_days_its_figures_are(reported):
    later = 1_800_000_000 + 86_400
    first, second = reported(result(code="c1")), reported(result(code="c2"), result("streams", code="c2", at=later))
    text = written(merged([first, second]))
    assert "- of code c1, 2027-01-15: ours.\n" in text
    assert "- of code c2, 2027-01-16: streams.\n" in text, "its figures of ours are not recorded"


def test_a_peer_that_failed_is_recorded_as_failed(reported):
    text = written(merged([reported(result(), bare("quix", failed="it hangs"))]))
    assert "- failed: quix, exercise, envelope, 9,000 users, 1,000 events: it hangs\n" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| quix |"))
    assert row.endswith("| failed |")


def test_a_peer_that_failed_gives_way_to_a_later_run_of_it_that_did_not(reported):
    wrong, right = result("quix", equal=False, missing=3), result("quix", 2)
    for reports in ([wrong, right, wrong], [right, result("quix", 3)]):
        (entry,) = merged([reported(each) for each in reports])["systems"]
        assert (entry["equal"], entry["steady_per_s"]["median"]) == (True, 200)


@pytest.mark.parametrize(
    "failed",
    [
        result("ours_both", equal=False, missing=1),
        bare("ours", failed="gone"),
        result("raw_read", failed="gone"),
        part("capture", "tuned", {"failures": ["gone"]}),
    ],
)
def test_a_run_of_ours_that_failed_is_refused(reported, failed):
    with pytest.raises(ValueError, match="not recorded"):
        merged([reported(result()), reported(failed)])


def test_what_is_merged_is_ranked_divided_and_held_against_the_goals_anew(reported):
    slow, fast = reported(result("pyflink", 1)), reported(result("ours", 3), result("raw_read", 4))
    both = merged([slow, fast])
    assert [(each["system"], each["of_raw_read"]) for each in both["systems"]] == [("ours", 0.75), ("pyflink", 0.25)]
    (goal,) = (each for each in both["goals"] if "PyFlink" in each["goal"])
    assert (goal["found"], goal["met"]) == ("3 x: ours 300/s, pyflink 100/s", True)
    assert (
        "| one rule with state against PyFlink SQL | at least 2.5 x | 3 x: ours 300/s, pyflink 100/s | met |"
        in written(both)
    )
