"""Three drills on a pipeline under load: the driver, Connect and a Python worker are killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.short_lived import short_lived
from fraudstream.drill.catalog import FAULTS
from fraudstream.drill.rounds import run_round
from fraudstream.stack.settings import free_ports, load_settings

pytestmark = [pytest.mark.stack, pytest.mark.alone, pytest.mark.timeout(900)]
DRILLS = ("kill_driver", "kill_connect", "kill_worker")
# `make drill` writes 20,000 around each.
ROWS = 6_000


def test_three_drills_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ports = free_ports()
    for name, port in ports.items():
        monkeypatch.setenv(name, str(port))
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("SPARK_SUBMIT_ARGS", short_lived()["SPARK_SUBMIT_ARGS"])
    monkeypatch.setattr("fraudstream.drill.rounds.ENOUGH_ROWS", ROWS)
    # What mistakes in the rules would have changed is not asked here: judging 40,000 rows twenty times takes 20 s.
    monkeypatch.setattr("fraudstream.drill.checkup._POWER_ROWS", 4_000)
    told: list[str] = []
    settings = load_settings(tmp_path, ports)
    results = run_round(settings, [FAULTS[name] for name in DRILLS], 1, 1, 800, told.append)
    assert [(result["fault"], result["outcome"]) for result in results] == [(name, "struck") for name in DRILLS], told
    helped = {result["fault"]: result["helped"] for result in results}
    assert (helped["kill_driver"]["driver"], helped["kill_connect"]["connect"]) == (1, 1), told
    check = results[0]["check"]
    assert check["failures"] == [], told
    assert (check["lost"], check["doubled"]) == (0, 0)
    assert check["alerts"] >= 100
    assert all(result["rows"] >= ROWS for result in results)
