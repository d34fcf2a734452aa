from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.errors import GuardError
from fraudstream.streams.manifest import claim_checkpoint, hold_table, is_new

MADE_WITH = {"rule_version": "abc", "buckets": 8}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "anomaly"


def claim_in_another_process(checkpoint: Path, made_with: dict[str, object]) -> subprocess.CompletedProcess[str]:
    code = (
        "import json, sys; from fraudstream.streams.manifest import claim_checkpoint\n"
        "print(claim_checkpoint(sys.argv[1], json.loads(sys.argv[2])))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(checkpoint), json.dumps(made_with)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_generation_stays_with_its_checkpoint_and_is_new_with_a_new_one(checkpoint: Path):
    first = claim_in_another_process(checkpoint, MADE_WITH)
    second = claim_in_another_process(checkpoint, MADE_WITH)
    assert first.stdout == second.stdout != ""
    other = claim_checkpoint(str(checkpoint.parent / "velocity"), MADE_WITH)
    assert other != first.stdout.strip()


def test_a_checkpoint_made_with_another_rule_version_is_refused(checkpoint: Path):
    assert is_new(str(checkpoint))
    claim_in_another_process(checkpoint, {**MADE_WITH, "rule_version": "old"})
    assert not is_new(str(checkpoint))
    with pytest.raises(GuardError, match=r"made with rule_version = old, now it is abc.*--reset anomaly"):
        claim_checkpoint(str(checkpoint), MADE_WITH)


def test_other_buckets_than_the_checkpoints_are_refused(checkpoint: Path):
    claim_in_another_process(checkpoint, {**MADE_WITH, "buckets": 16})
    with pytest.raises(GuardError, match="made with buckets = 16, now it is 8"):
        claim_checkpoint(str(checkpoint), MADE_WITH)


def test_corrections_are_neither_switched_on_nor_off_on_a_checkpoint(checkpoint: Path):
    claim_in_another_process(checkpoint, {**MADE_WITH, "corrections": "on"})
    with pytest.raises(GuardError, match="made with corrections = on, now it is not set"):
        claim_checkpoint(str(checkpoint), MADE_WITH)
    other = checkpoint.parent / "other"
    claim_in_another_process(other, MADE_WITH)
    with pytest.raises(GuardError, match="made with corrections = not set, now it is on"):
        claim_checkpoint(str(other), {**MADE_WITH, "corrections": "on"})


def test_what_is_free_to_change_may_be_another_and_nothing_else(checkpoint: Path):
    claim_in_another_process(checkpoint, {**MADE_WITH, "rule_version": "old"})
    claim_checkpoint(str(checkpoint), MADE_WITH, free=["rule_version"])
    with pytest.raises(GuardError, match="made with buckets = 8, now it is 16"):
        claim_checkpoint(str(checkpoint), {**MADE_WITH, "buckets": 16}, free=["rule_version"])


def test_a_second_driver_on_a_held_checkpoint_is_refused(checkpoint: Path):
    claim_checkpoint(str(checkpoint), MADE_WITH)
    second = claim_in_another_process(checkpoint, MADE_WITH)
    assert second.returncode != 0
    assert "another driver is running on this checkpoint" in second.stderr


def test_a_checkpoint_that_lost_its_manifest_is_refused(checkpoint: Path):
    (checkpoint / "offsets").mkdir(parents=True)
    with pytest.raises(GuardError, match="what it was made with is unknown"):
        claim_checkpoint(str(checkpoint), MADE_WITH)


def test_a_topic_made_anew_under_its_name_is_refused(checkpoint: Path):
    made_with = {"topic": "t", "topic_id": "first"}
    claim_in_another_process(checkpoint, made_with)
    claim_checkpoint(str(checkpoint), made_with)
    with pytest.raises(GuardError, match=r"t was deleted and made anew .*first .*second.*--reset anomaly") as refusal:
        claim_checkpoint(str(checkpoint), {**made_with, "topic_id": "second"})
    assert refusal.value.runbook == "topic-replaced"


def test_a_checkpoint_made_before_ids_of_topics_were_kept_takes_the_present_one(checkpoint: Path):
    claim_in_another_process(checkpoint, {"topic": "t"})
    claim_in_another_process(checkpoint, {"topic": "t", "topic_id": "first"})
    with pytest.raises(GuardError, match="its id was first and is second"):
        claim_checkpoint(str(checkpoint), {"topic": "t", "topic_id": "second"})


def test_a_second_writer_of_a_table_is_refused_while_the_first_one_lives(tmp_path: Path):
    table = str(tmp_path / "lake" / "alerts")
    code = "import sys; from fraudstream.streams.manifest import hold_table; hold_table(sys.argv[1])"
    hold_table(table)
    hold_table(table)
    second = subprocess.run([sys.executable, "-c", code, table], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "another process writes this table" in second.stderr
    other = subprocess.run([sys.executable, "-c", code, f"{table}2"], capture_output=True, text=True, check=False)
    assert other.returncode == 0
