"""Make a full run of the drills the recorded one: python tests/record_drills.py run/drill/full.json " --seed 1" "note".

Its figures go to tests/fixtures/drill, and docs/drills.md is written anew from them. The results of its rounds stand
beside them: full.jsonl, put into run/drill, lets another machine go on with the run.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from fraudstream.check.page import templates
from fraudstream.drill import report as drill_report
from fraudstream.drill.helped import as_words
from fraudstream.stack.settings import REPOSITORY

RECORDED = REPOSITORY / "tests" / "fixtures" / "drill" / "full.json"
PAGE = REPOSITORY / "docs" / "drills.md"


def record(source: Path, options: str = "", note: str = "") -> None:
    """Keep the report of a run made with these options, and write the page."""
    report = json.loads(source.read_text(encoding="utf-8"))
    for entry in report["faults"]:
        entry["proof"] = entry["proof"].split("; see ")[0]
    RECORDED.parent.mkdir(exist_ok=True)
    kept = {"options": options, "note": note, "report": report}
    RECORDED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    shutil.copy(source.with_suffix(".jsonl"), RECORDED.with_suffix(".jsonl"))
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """docs/drills.md as the recorded run makes it."""
    kept = json.loads(RECORDED.read_text(encoding="utf-8"))
    totals = kept["report"]["totals"]
    template = templates(Path(drill_report.__file__).parent).get_template("drills.md.j2")
    return template.render(
        **kept, words=as_words, hours=f"{totals['seconds'] / 3600:.1f}", bound=f"{300 / totals['strikes']:.1f} %"
    ) + "\n"  # fmt: skip


if __name__ == "__main__":
    record(Path(sys.argv[1]), *sys.argv[2:])
