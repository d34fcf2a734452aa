"""Make a run of the comparison the recorded one: python tests/record_comparison.py run/compare [run/people.json].

Its figures, and those of `query_people --json run/people.json`, go to tests/fixtures/compare, and docs/comparison.md is
written anew from them.
"""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import sys
from pathlib import Path

from fraudstream.compare.answers import answers
from fraudstream.compare.figures import gather
from fraudstream.compare.measurement import read_csv
from fraudstream.stack.settings import REPOSITORY

RECORDED = REPOSITORY / "tests" / "fixtures" / "compare"
PAGE = REPOSITORY / "docs" / "comparison.md"
_ABOUT = ("grid", "repeats", "outage_s", "started_at", "versions", "machine")
_PEOPLE = ("question", "way", "seconds", "active_ms", "rows_read", "blocks")
_RAW, _LINES = "base-1.csv.gz", 2001


def record(home: Path, people: Path | None = None) -> None:
    """Copy what the tests need of the run in `home` and of the answers about people, and write the page."""
    (RECORDED / "raw").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(home / "measurements.csv", RECORDED / "measurements.csv")
    report = json.loads((home / "report.json").read_text(encoding="utf-8"))
    about = {name: report[name] for name in _ABOUT}
    (RECORDED / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    with gzip.open(home / "raw" / _RAW, "rb") as source:
        head = b"".join(itertools.islice(source, _LINES))
    (RECORDED / "raw" / _RAW).write_bytes(gzip.compress(head, mtime=0))
    if people is not None:
        kept = [{name: each[name] for name in _PEOPLE} for each in json.loads(people.read_text(encoding="utf-8"))]
        (RECORDED / "people.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """docs/comparison.md as the recorded run makes it."""
    about = json.loads((RECORDED / "about.json").read_text(encoding="utf-8"))
    people = json.loads((RECORDED / "people.json").read_text(encoding="utf-8"))
    return answers(about, gather(read_csv(RECORDED / "measurements.csv")), people)


if __name__ == "__main__":
    record(*map(Path, sys.argv[1:]))
