"""The README's rule, as a user would add it: the file, the entry, and rows to judge."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fraudstream.stack.settings import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
_JUDGE = """
import json, sys
from pathlib import Path
import numpy as np
from fraudstream.rulebook.catalog import load_rules
from fraudstream.rulebook.fold import fold

rule = {rule.name: rule for rule in load_rules(Path("rules.yaml"))}["big_jump"]
cents = np.array([1000, 1200, 900, 1500, 1100, 4500, 4501, 13504])
ones = np.ones(len(cents), dtype=np.int64)
names = ("partition", "user_id", "merchant_id", "lsn", "tx_id", "committed_ms", "captured_ms", "created_at")
batch = {name: ones for name in names}
batch |= {"offset": np.arange(8), "id": np.arange(1, 9), "cents": cents, "judge": ones.astype(bool)}
batch["card_type"] = np.array(["VISA"] * 8, dtype=object)
print(json.dumps(fold(rule, None, batch, "t").alerts))
"""


def block(language: str, after: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found
    return found[1]


def test_the_readmes_rule_is_one_file_and_one_entry(tmp_path: Path):
    shutil.copytree(REPOSITORY / "jobs", tmp_path / "jobs")
    shutil.copytree(REPOSITORY / "docker", tmp_path / "docker")
    (tmp_path / "jobs/fraudstream/rules/big_jump.py").write_text(block("python", "## Add a rule"))
    entry = block("yaml", "one entry in `conf/rules.yaml`")
    (tmp_path / "rules.yaml").write_text((REPOSITORY / "conf/rules.yaml").read_text() + entry)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "jobs")}
    result = subprocess.run(
        [sys.executable, "-c", _JUDGE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    # 4500 is exactly 3 x 1500 and 4501 only a little over 4500; 13504 is over 3 x 4501 = 13503.
    assert [alert["transaction_id"] for alert in found] == [8]
    assert found[0]["reason"] == "135.04 is over 3 times 45.01, the largest of the last 7"


def test_the_readmes_two_commands_are_targets_of_the_makefile():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^([a-z -]* )?{command}( [a-z -]*)?:", makefile, re.MULTILINE), command
