"""What becomes of a round: whatever breaks in it, and what was started again, is in its results."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fraudstream.drill import rig as rigs
from fraudstream.drill import rounds
from fraudstream.drill.catalog import FAULTS
from fraudstream.drill.checkup import Checkup
from fraudstream.drill.fault import Fault, NotMadeError, NotStruckError, Struck
from fraudstream.drill.helped import Help
from fraudstream.drill.report import as_text, summarised, totals
from fraudstream.drill.rig import Rig
from fraudstream.errors import StackError
from fraudstream.stack.settings import load_settings
from unit.drills import SOUND, result


class _Rig:
    """A rig that writes rows and breaks where it is told to."""

    broken: tuple[str, ...] = ()
    down: tuple[Help, ...] = ()  # what the next restore starts again

    def __init__(self, settings, seed, rate, *, inserts_only=False):
        self.log, self.home, self.rows, self.helped = settings.home / "driver.log", settings.home, 0, []

    def _step(self, name: str) -> None:
        if name in self.broken:
            raise RuntimeError(f"{name} broke")

    def start(self) -> None:
        self._step("start")

    def restore(self) -> None:
        self._step("restore")
        self.helped += self.down
        self.down = ()

    def end(self) -> None:
        self._step("end")

    def clear(self) -> None:
        self._step("clear")

    def written(self) -> int:
        self.rows += 30_000
        return self.rows

    def wal(self) -> int:
        return 1

    def await_recovered(self, wal: int) -> None:
        self._step("recovery")

    def until(self, done, waiting_for, *, watch=False) -> None:
        assert done()


def _strikes(outcome: Exception | None, *alone: str) -> Fault:
    def strike(rig, random):
        if outcome:
            raise outcome
        return Struck("pid 7 gone", 1)

    return Fault(name="kill_connect", rows=(4,), must_hold="no loss", strike=strike, alone=alone)


@pytest.mark.parametrize(
    ("broken", "raised", "outcomes", "said"),
    [
        ((), None, ["struck", "struck"], "held"),
        ((), NotStruckError("it lived"), ["not struck", "not struck"], "not proven"),
        ((), NotMadeError("no disk"), ["not made", "not made"], "not run"),
        (("start",), None, ["not reached", "not reached"], "not proven"),
        (("recovery",), None, ["not recovered", "not reached"], "failed"),
        (("restore",), NotStruckError("it lived"), ["not recovered", "not reached"], "failed"),
        (("end",), None, ["struck", "struck"], "failed"),
        (("clear",), None, ["struck", "struck"], "failed"),
    ],
)
def test_whatever_breaks_in_a_round_is_in_its_results(tmp_path, monkeypatch, broken, raised, outcomes, said):
    monkeypatch.setattr(rounds, "Rig", _Rig)
    monkeypatch.setattr(_Rig, "broken", broken)
    monkeypatch.setattr(rounds, "check_up", lambda rig: Checkup(rows=90_000, alerts=700, lost=0, doubled=0))
    fault = _strikes(raised)
    found = rounds.run_round(load_settings(tmp_path), [fault, fault], 1, 1, 1000.0, lambda text: None)
    assert [each["outcome"] for each in found] == outcomes
    (entry,) = summarised(found, [fault])
    assert entry["verdict"] == said


BROKER, DRIVER = Help("kafka", "it had ended"), Help("driver", "{'anomaly': 'failed: no answer'}")


@pytest.mark.parametrize(
    ("alone", "down", "outcome", "helped", "said"),
    [
        (("driver",), (BROKER,), "struck", {"kafka": 1}, "pid 7 gone"),
        ((), (BROKER, DRIVER, DRIVER), "struck", {"kafka": 1, "driver": 2}, "pid 7 gone"),
        (("driver",), (BROKER, DRIVER), "helped", {"kafka": 1, "driver": 1},
         "driver must go on alone, and was started again: {'anomaly': 'failed: no answer'}; pid 7 gone"),
    ],
)  # fmt: skip
def test_what_was_started_again_is_told_and_fails_a_fault_that_promises_otherwise(
    tmp_path, alone, down, outcome, helped, said
):
    rig = _Rig(load_settings(tmp_path), 1, 1000.0)
    rig.helped, rig.down = [Help("driver", "before the fault")], down
    found = rounds.strike(rig, _strikes(None, *alone), Random(1), lambda text: None)
    assert (found.outcome, found.helped, found.proof) == (outcome, helped, said)
    (entry,) = summarised([result(outcome=found.outcome, helped=found.helped)], [FAULTS["kill_connect"]])
    assert (entry["helped"], entry["strikes"]) == (helped, 1)
    assert entry["verdict"] == ("held" if outcome == "struck" else "failed")


def test_starts_are_summed_over_strikes_and_the_end_of_a_round_and_none_counted_is_no_zero():
    check = {**SOUND, "helped": {"driver": 1}}
    results = [result(helped={"kafka": 1}, check=check), result(number=2, helped={"kafka": 2, "connector": 1})]
    (entry,) = summarised(results, [FAULTS["kill_connect"]])
    assert entry["helped"] == {"kafka": 3, "connector": 1}
    assert totals([entry], results)["helped"] == {"kafka": 3, "connector": 1, "driver": 1}
    assert summarised([result()], [FAULTS["kill_connect"]])[0]["helped"] is None
    report = {"faults": [entry], "totals": totals([entry], results)}
    assert "started again: kafka 3, connector 1, driver 1" in as_text(report)


class _Driver:
    """A driver that was started, and no more."""

    def stop(self) -> None:
        pass


def test_a_restore_notes_what_had_ended_what_had_failed_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rig = Rig(load_settings(tmp_path), 1, 1000.0)
    trace, states = "ProducerFencedException: a newer one", iter(["FAILED", "FAILED", "RUNNING", "RUNNING"])
    ups = iter([None, StackError("Connector transactions failed: fenced"), None, None, None, None])

    def up(settings, connector=None) -> None:
        if error := next(ups):
            raise error

    def status(settings, name):
        return {"connector": "RUNNING", "tasks": [next(states)], "trace": trace}

    monkeypatch.setattr(rigs.lifecycle, "up", up)
    monkeypatch.setattr(rigs.connect, "connector_status", status)
    pids = iter([{"postgres": 1, "connect": 3}, {"postgres": 1, "kafka": 2, "connect": 3}, rigs.COMPONENTS])
    monkeypatch.setattr(rig, "component_pids", lambda: next(pids))
    monkeypatch.setattr(rig, "start_driver", lambda: setattr(rig, "driver", _Driver()))
    monkeypatch.setattr(rig, "_runs", lambda: True)
    rig.restore()
    tried = Help("connector", trace)
    assert rig.helped == [Help("kafka", "it had ended"), tried, tried, Help("driver", "it was stopped")]
    rig.restore()
    assert len(rig.helped) == 4, "nothing was down any more"
