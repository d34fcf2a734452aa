"""Facts that are gathered without a stack."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from fraudstream.config import load_pipeline
from fraudstream.health import facts
from fraudstream.stack import connect, guard
from fraudstream.stack.settings import load_settings


@pytest.mark.parametrize("part", ["lake", "checkpoints", "progress"])
def test_a_disk_is_looked_at_once_whichever_folder_is_on_it(tmp_path, part):
    home, other = tmp_path / "run", "/dev/fraudstream"  # a file system of its own
    folders = {name: str(home / name) for name in ("lake", "checkpoints", "progress")}
    found = facts.disks(load_settings(home), replace(load_pipeline(), **folders | {part: other}))
    assert list(found) == [str(home), other]
    assert found[other] == shutil.disk_usage("/dev").free


def test_a_log_that_ends_before_what_is_stored_is_of_a_restored_database_and_its_slot_is_not_said_to_be_ahead(
    tmp_path, monkeypatch
):
    places = {
        "sound": (5, 5, 9), "at the end": (9, 9, 9), "moved": (6, 5, 9), "read": (6, 5, 9), "earlier": (6, 8, 7),
        "with an earlier slot": (9, 8, 7), "without slot": (None, 8, 7), "new": (None, None, 9),
    }  # fmt: skip
    monkeypatch.setattr(guard, "positions", lambda _, name, *slot: guard.Positions(*places[name]))
    captures = {name: {"slot": f"slot of {name}", "database": "mydb"} for name in places}
    slots = [{"name": f"slot of {name}", "active": name == "read"} for name in places]
    assert facts._gaps(load_settings(tmp_path), {"slots": slots}, captures) == {
        "ahead": {"moved": {"slot": "0/6", "stored": "0/5"}},
        "restored": {
            name: {"end": "0/7", "stored": "0/8"} for name in ("earlier", "with an earlier slot", "without slot")
        },
    }


def test_a_connectors_heartbeat_is_the_row_that_its_own_query_writes():
    configs = {path.stem: json.loads(path.read_text())["config"] for path in sorted(connect.CONNECTORS.glob("*.json"))}
    captures = facts._captures(configs)
    assert {name: (each["database"], each["heartbeat"]) for name, each in captures.items()} == {
        "exercise": ("mydb", None), "people": ("mydb", 2), "temperatures": ("office_db", 1),
        "transactions": ("mydb", 1),
    }  # fmt: skip
    ages = {("mydb", 1): 3.0, ("mydb", 3): 1.0, ("office_db", 1): 9.0}
    assert facts._heartbeats(captures, ages) == {"people": None, "temperatures": 9.0, "transactions": 3.0}
    assert facts._heartbeats(captures, None) == {}
