"""The demo's manners: options, refusals, exit codes."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from fraudstream.check import demo, stages
from fraudstream.check.once import Interrupted, alone
from fraudstream.check.report import assemble
from fraudstream.check.stages import Options
from fraudstream.errors import ConfigError, FraudstreamError
from fraudstream.stack.settings import load_settings
from report_runs import checked, made_up_run

PLAIN = Options(profile="exercise", seconds=60, rate=2000, seed=0)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_HOME", str(tmp_path))
    for name in ("PROFILE", "SECONDS", "RATE", "SEED"):
        monkeypatch.delenv(f"DEMO_{name}", raising=False)


def test_options_come_from_the_command_line_else_from_variables_else_are_the_usual(monkeypatch):
    assert demo.parse([]) == PLAIN
    monkeypatch.setenv("DEMO_RATE", "500")
    monkeypatch.setenv("DEMO_PROFILE", "hot")
    monkeypatch.setenv("DEMO_SEED", "")
    assert demo.parse(["--profile", "realistic", "--seconds", "9"]) == Options(
        profile="realistic", seconds=9, rate=500, seed=0
    )


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("DEMO_SECONDS", "1m", "DEMO_SECONDS (--seconds) is '1m'; it must be a whole number from 5 to 86,400."),
        ("DEMO_SECONDS", "4", "DEMO_SECONDS (--seconds) is '4'; it must be a whole number from 5 to 86,400."),
        ("DEMO_RATE", "-5", "DEMO_RATE (--rate) is '-5'; it must be a whole number from 1 to 100,000."),
        ("DEMO_SEED", "²", "DEMO_SEED (--seed) is '²'; it must be a whole number from 0 to 9,223,372,036,854,775,807."),
        ("DEMO_PROFILE", "Hot", "DEMO_PROFILE (--profile) is 'Hot'; it must be one of exercise, realistic, hot."),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(monkeypatch, variable, value, text):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        demo.parse([])


def test_the_users_own_stack_is_never_touched(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "pid_of", lambda settings, name: 1 if settings.home == tmp_path else None)
    monkeypatch.setattr(demo, "is_open", lambda port: True)
    monkeypatch.setattr(demo.lifecycle, "purge", lambda settings: pytest.fail("the demo deleted something"))
    assert demo.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: your own stack in {tmp_path} is up on the ports that the demo needs (")
    assert "`make down` (its data stays)" in said
    assert said.count("\n") == 1


def test_a_second_demo_in_the_same_place_is_refused(tmp_path, capsys):
    (tmp_path / "demo").mkdir()
    with alone(tmp_path / "demo", "demo"):
        assert demo.main([]) == 1
    assert capsys.readouterr().err == (
        f"error: another demo runs in {tmp_path / 'demo'}; wait for it or stop it with Ctrl-C.\n"
    )


def test_a_component_that_fails_is_one_line_and_exit_code_1(monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise FraudstreamError("query velocity failed: no more disk; see spark.log.")

    monkeypatch.setattr(demo, "run_and_check", fail)
    assert demo.main([]) == 1
    assert capsys.readouterr().err == "error: query velocity failed: no more disk; see spark.log.\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_everything_once_and_gives_its_exit_code(monkeypatch, capsys, number, code):
    steps = []

    def run(*_: object) -> None:
        try:
            os.kill(os.getpid(), number)
        except Interrupted:
            os.kill(os.getpid(), number)  # a second one must not disturb the stopping
            steps.append("stopped")
            raise

    monkeypatch.setattr(demo, "run_and_check", run)
    former = signal.getsignal(number)
    assert demo.main([]) == code
    assert steps == ["stopped"]
    assert signal.getsignal(number) == former
    assert "everything that the demo had started is stopped" in capsys.readouterr().err


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_the_check_held(tmp_path, monkeypatch, capsys, passed, code):
    result = {**checked(), "passed": passed, "failures": [] if passed else ["mirror: 3 rows differ"]}
    monkeypatch.setattr(demo, "run_and_check", lambda *_: (made_up_run(), result))
    assert demo.main([]) == code
    said = capsys.readouterr().out
    assert ("PASSED" in said, "FAILED" in said, "- mirror: 3 rows differ" in said) == (passed, not passed, not passed)
    assert {path.name for path in (tmp_path / "demo").iterdir()} >= {"report.json", "report.html", "series.json"}


def test_an_old_report_does_not_outlive_a_demo_that_fails(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "report.json").write_text('{"passed": true}')

    def fail(*_: object) -> None:
        raise FraudstreamError("no")

    monkeypatch.setattr(demo, "run_and_check", fail)
    assert demo.main([]) == 1
    assert not (tmp_path / "demo" / "report.json").exists()


def test_the_summary_has_a_line_for_every_rule():
    lines = demo.summary(assemble(made_up_run(), checked(), load_settings(), "series.json")).splitlines()
    assert re.fullmatch(r"anomaly +1,200 +1,200 +1,200 +0 +0 +6\d\d ms +9\d\d ms", lines[1])
    assert lines[4] == "committed 120,000 changes, lost 0, doubled 0; quarantined 0; mirror differs in 0 rows"
    assert lines[-1] == "PASSED"


def summary_of(**figures):
    return demo.summary(assemble(made_up_run(), {**checked(), **figures}, load_settings(), "series.json"))


def test_the_summary_names_rules_that_no_oracle_checked():
    text = summary_of(unchecked_rules=["card_testing", "many_merchants"])
    assert "\nnot checked: the alerts of card_testing, many_merchants, which the oracle does not define\n" in text
    assert "not checked" not in summary_of()


def test_the_summary_says_what_the_input_could_not_prove():
    reasons = ["not proven: anomaly has 3 alerts, 100 are needed", "not proven: velocity has 1 alerts, 100 are needed"]
    text = summary_of(power={"proven": False, "reasons": reasons})
    assert "mistakes in the rules would show: anomaly has 3 alerts, 100 are needed and 1 more reasons (see the" in text
    assert "not proven" not in summary_of(power={"proven": True, "reasons": []})


def test_a_producer_that_wrote_nothing_is_said():
    watch = SimpleNamespace(samples=[SimpleNamespace(at=at, committed=16) for at in (1.0, 2.0, 3.0)])
    with pytest.raises(FraudstreamError, match="the producer committed nothing"):
        stages._produced(watch, 2.0)
