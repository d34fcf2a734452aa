"""What a setting is worth, from hand-made runs with it and without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fraudstream.bench import ablation
from fraudstream.bench.systems import SUBMIT_ARGUMENTS, submit_arguments
from fraudstream.config import Pipeline, load_pipeline, write_variant

WHOLE_CONF = Path(__file__).parents[2] / "conf" / "spark-defaults.conf"


def runs(
    without: str, times: list[float | None], cpu: list[float], kind: str = "replay", **more: Any
) -> dict[str, Any]:
    return {
        f"{kind} {without} {number}": {
            "kind": kind, "without": without, "run": number, "time": time, "cpu": used, "failures": [], **more,
        }
        for number, (time, used) in enumerate(zip(times, cpu, strict=True))
    }  # fmt: skip


def verdicts(*groups: dict[str, Any]) -> dict[str, str | None]:
    found = {step: each for group in groups for step, each in group.items()}
    return {f"{entry['kind']}: {entry['without']}": entry["verdict"] for entry in ablation.compared(found)}


def test_a_setting_helps_or_costs_only_where_no_run_with_it_meets_one_without():
    found = verdicts(
        runs("nothing", [2.0, 3.0, 2.5], [10, 12, 11.9]),
        runs("slower", [3.1, 3.2, 3.3], [11, 11, 11]),
        runs("meets at its edge", [3.0, 3.2, 3.3], [10, 12, 11]),
        runs("faster", [1.9, 1.8, 1.7], [11, 11, 11]),
        runs("faster for more CPU", [1.9, 1.8, 1.7], [13, 14, 15]),
        runs("only CPU", [2.0, 3.0, 2.5], [13, 14, 15]),
        runs("by less than 3 %", [2.0, 3.0, 2.5], [12.01, 12.02, 12.03]),
    )
    assert found == {
        "replay: nothing": None, "replay: slower": "helps", "replay: meets at its edge": "within the noise",
        "replay: faster": "costs", "replay: faster for more CPU": "helps and costs", "replay: only CPU": "helps",
        "replay: by less than 3 %": "within the noise",
    }  # fmt: skip


def test_medians_that_differ_by_three_percent_are_enough():
    medians = {"nothing": 100.0, "a": 103.0, "b": 102.9, "c": 97.0, "d": 97.2}
    found = verdicts(*(runs(name, [median] * 3, [5] * 3) for name, median in medians.items()))
    assert [*found.values()] == [None, "helps", "within the noise", "costs", "within the noise"]


def test_each_way_of_measuring_is_compared_with_its_own_usual_runs():
    found = verdicts(
        runs("nothing", [2.0] * 3, [10] * 3), runs("nothing", [500.0] * 3, [0.5] * 3, kind="live"),
        runs("x", [1.0] * 3, [10] * 3), runs("x", [600.0] * 3, [0.5] * 3, kind="live"),
        runs("x", [1.0] * 3, [9] * 3, kind="raw read"),
    )  # fmt: skip
    assert (found["replay: x"], found["live: x"], found["raw read: x"]) == ("costs", "helps", None)


def test_without_a_time_the_cpu_alone_decides():
    found = verdicts(runs("nothing", [None] * 3, [10] * 3), runs("x", [None] * 3, [12] * 3))
    assert found["replay: x"] == "helps"


def test_fewer_runs_than_three_and_failed_ones_say_nothing_of_a_setting():
    usual, other = runs("nothing", [2.0] * 3, [10] * 3), runs("x", [3.0] * 3, [12] * 3)
    assert verdicts(usual, other)["replay: x"] == "helps"
    assert verdicts(usual, runs("x", [3.0] * 2, [12] * 2))["replay: x"] is None
    assert verdicts(runs("nothing", [2.0] * 2, [10] * 2), other)["replay: x"] is None
    assert verdicts(runs("nothing", [2.0] * 3, [10] * 3, failures=["no alert"]), other)["replay: x"] is None


def test_a_failed_run_is_shown_as_failed():
    table = ablation.table({**runs("nothing", [2.0], [10]), **runs("x", [3.0], [12], failures=["no alert"])})
    assert [row[-1] for row in table.rows] == [None, "failed"]
    assert table.rows[0] == ["replay", "nothing", 1, 2.0, 2.0, 2.0, 10, 10, 10, None]


def test_java_options_are_those_of_the_file_but_for_some(tmp_path):
    file = tmp_path / "spark.conf"
    file.write_text("spark.master local\n\nspark.driver.extraJavaOptions   -XX:+A -Xmn1g -XX:Tier4X=1 -XX:Tier4Y=2\n")
    assert ablation.java_options(file, "-XX:Tier4") == "-XX:+A -Xmn1g"
    assert ablation.java_options(file, "-XX:+A", "-Xmn") == "-XX:Tier4X=1 -XX:Tier4Y=2"


def test_every_variant_changes_something_that_conf_sets(tmp_path):
    set_in_conf = {line.split()[0] for line in WHOLE_CONF.read_text().splitlines() if line and line[0] != "#"}
    for kind, variants in ablation.VARIANTS.items():
        assert ablation.AS_IT_IS not in variants
        usual = loaded(tmp_path, ablation.Case(kind, ablation.AS_IT_IS, 1))
        for variant in variants:
            assert variant.spark.keys() <= set_in_conf
            assert (loaded(tmp_path, ablation.Case(kind, variant, 1)) != usual) == bool(variant.pipeline)
            assert bool(variant.pipeline) != bool(variant.spark)


def test_every_variant_is_run_three_times_and_conf_as_it_is_before_every_five_of_them():
    for kind, variants in ablation.VARIANTS.items():
        names = [case.variant.without for case in ablation.STEPS.values() if case.kind == kind]
        others = [name for name in names if name != "nothing"]
        assert others == ablation.RUNS * [variant.without for variant in variants]
        gaps = "".join("n" if name == "nothing" else "x" for name in names).split("n")
        assert gaps[0] == ""
        assert 1 <= min(map(len, gaps[1:])) <= max(map(len, gaps)) <= 5


def loaded(folder: Path, case: ablation.Case) -> Pipeline:
    write_variant(folder / "pipeline.yaml", case.pipeline)
    return load_pipeline(folder / "pipeline.yaml")


def test_each_kind_is_measured_as_it_says(tmp_path):
    readers = {kind: loaded(tmp_path, ablation.Case(kind, ablation.AS_IT_IS, 1)) for kind in ablation.VARIANTS}
    assert {kind: each.kafka.reader for kind, each in readers.items()} == {
        "replay": "columnar", "built-in replay": "built-in", "raw read": "columnar", "live": "columnar",
        "built-in live": "built-in",
    }  # fmt: skip
    assert {kind: each.kafka.source["maxOffsetsPerTrigger"] for kind, each in readers.items()} == {
        "replay": "200000", "built-in replay": "800000", "raw read": "200000", "live": "200000",
        "built-in live": "200000",
    }  # fmt: skip


def test_spark_settings_reach_the_drivers_of_the_block_alone(monkeypatch):
    monkeypatch.setenv(SUBMIT_ARGUMENTS, "--conf mine=1")
    with ablation._spark({"a.b": "c d"}):
        assert os.environ[SUBMIT_ARGUMENTS] == submit_arguments({"a.b": "c d"}) == "--conf 'a.b=c d'"
    assert os.environ[SUBMIT_ARGUMENTS] == "--conf mine=1"
    monkeypatch.delenv(SUBMIT_ARGUMENTS)
    with ablation._spark({}):
        pass
    assert SUBMIT_ARGUMENTS not in os.environ
