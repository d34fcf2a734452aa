"""The metrics, the endpoint, and the files that use the metrics: each name and label in them is one that comes."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import get_args

import pytest
import yaml

from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.health.endpoint import Latest, server
from fraudstream.health.findings import Finding
from fraudstream.health.metrics import METRICS, text
from fraudstream.stack.settings import DOCKER, REPOSITORY
from unit.test_health_findings import HEALTHY

MONITORING = DOCKER / "monitoring"
OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
# The grammar of Prometheus' text format, version 0.0.4.
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+]+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')
FINDING = Finding("disk-low", "broken", 'a "b"\\\n', "x", "y")
FACTS = {
    **HEALTHY,
    "disks": {'/a "b"\\\n': 7},
    "topics": {"t": {"offsets": 12, "bytes": 4096, "id": "id", "starts": {}, "ends": {}}},
    "queries": {"anomaly": {**HEALTHY["queries"]["anomaly"], "dropped": {"redelivered": 3}, "lag_s": None}},
    "canary": {"at": 700.5, "arrived_at": 700.5, "latency_s": 0.25, "every_s": None},
}


def samples(told: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = {}
    for line in told.splitlines():
        if line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        assert match, line
        found[match[1], frozenset(LABEL.findall(match[2] or ""))] = float(match[3])
    return found


def test_every_line_is_of_the_format_and_what_is_unknown_has_none():
    found = samples(text(FACTS, [FINDING]))
    strange = 'a \\"b\\"\\\\\\n'
    assert found["fraudstream_disk_free_bytes", frozenset({("folder", f"/{strange}")})] == 7
    labels = {("name", "disk-low"), ("severity", "broken"), ("part", strange)}
    assert found["fraudstream_finding", frozenset(labels)] == 1
    assert found["fraudstream_healthy", frozenset()] == 0
    assert found["fraudstream_slot_retained_wal_bytes", frozenset({("slot", "s")})] == 5
    assert found["fraudstream_query_records_total", frozenset({("query", "anomaly"), ("outcome", "judged")})] == 99
    assert found["fraudstream_alerts_total", frozenset({("rule", "anomaly")})] == 100
    assert found["fraudstream_canary_latency_seconds", frozenset()] == 0.25
    assert ("fraudstream_query_lag_seconds", frozenset({("query", "anomaly")})) not in found


def test_every_metric_has_help_type_and_a_name_by_convention():
    told = text(FACTS, [FINDING])
    for metric in METRICS:
        assert f"# TYPE fraudstream_{metric.name} {metric.kind}\n" in told
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert told.count(f"# HELP fraudstream_{metric.name} ") == 1
    assert told.endswith("\n")


def test_facts_of_which_nothing_is_known_are_no_error():
    nothing = {name: {} for name in FACTS if isinstance(FACTS[name], dict)}
    nothing |= {"driver": HEALTHY["driver"], "slots": [], "canary": None}
    assert ("fraudstream_healthy", frozenset()) in samples(text({**FACTS, **nothing}, []))


def used(expression: str) -> list[tuple[str, set[str]]]:
    """Metrics of an expression with the labels that it asks of each."""
    by = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"by \(([^)]*)\)", expression))))
    found = re.findall(r"(fraudstream_[a-z_]+)(?:\{([^}]*)\})?", expression)
    return [(name, by | set(re.findall(r"([a-z_]+)(?:=~?|!=|!~)", labels))) for name, labels in found]


def require_known(expression: str, shown: str = "") -> None:
    known = {f"fraudstream_{metric.name}": set(metric.labels) for metric in METRICS}
    metrics = used(expression)
    assert metrics, expression
    for name, labels in metrics:
        assert name in known, name
        assert labels | set(re.findall(r"\{\{ *(?:\$labels\.)?([a-z_]+) *\}\}", shown)) <= known[name], expression


def test_the_dashboard_asks_for_metrics_and_labels_that_come():
    board = json.loads((MONITORING / "dashboard.json").read_text())
    asked = [target for panel in board["panels"] for target in panel["targets"]]
    assert len(asked) > 20
    for target in asked:
        require_known(target["expr"], target["legendFormat"])
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_every_finding_has_an_alert_and_every_alert_a_runbook():
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        require_known(rule["expr"], " ".join([*rule["labels"].values(), *rule["annotations"].values()]))
        assert f"\n### {rule['alert']}\n" in OPERATIONS, rule["alert"]
        named = re.findall(r'name="([^"]*)"', rule["expr"])
        assert named in ([], [rule["alert"]])
    source = (REPOSITORY / "jobs/fraudstream/health/findings.py").read_text()
    made = {name for name in get_args(Runbook) if f'"{name}"' in source}
    assert {rule["alert"] for rule in rules} == made | {"metrics-gone"}


def test_the_table_of_metrics_in_the_docs_is_that_of_the_code():
    rows = [f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.help} |" for each in METRICS]
    assert "\n".join(rows) + "\n" in OPERATIONS


def test_prometheus_and_grafana_find_the_files():
    settings = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert all((MONITORING / name).exists() for name in settings["rule_files"])
    assert settings["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:9187"]}]
    source = yaml.safe_load((MONITORING / "grafana.yml").read_text())["datasources"][0]
    board = json.loads((MONITORING / "dashboard.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}


@contextmanager
def serving(latest: Latest):
    with server("127.0.0.1", 0, latest) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.server_address[1]}"
        finally:
            found.shutdown()
            thread.join()


def asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(("found", "code"), [([], 200), ([FINDING], 503)])
def test_healthz_says_by_its_code_whether_something_is_found(found, code):
    facts = {**FACTS, "at": time.time()}
    with serving(Latest(lambda: (facts, found))) as url:
        assert asked(f"{url}/healthz")[0] == code
        assert [each["name"] for each in json.loads(asked(f"{url}/healthz")[1])["findings"]] == [f[0] for f in found]
        status, told = asked(f"{url}/metrics")
        assert (status, told) == (200, text(facts, found))
        assert asked(f"{url}/secrets")[0] == 404


def test_many_scrapes_look_once():
    looks = []

    def look():
        looks.append(1)
        return FACTS, []

    with serving(Latest(look)) as url:
        for _ in range(5):
            assert asked(f"{url}/metrics")[0] == 200
    assert len(looks) == 1


def test_a_look_that_takes_long_lets_what_was_seen_before_be_told():
    go, looks = threading.Event(), []

    def look():
        looks.append(1)
        if len(looks) > 1:
            go.wait(30)
        return {**FACTS, "at": float(len(looks))}, []

    latest = Latest(look, fresh=0.0, patience=0.05)
    limit = time.monotonic() + 10
    while latest.get() is None:
        assert time.monotonic() < limit
    with serving(latest) as url:
        assert "fraudstream_facts_timestamp_seconds 1.0\n" in asked(f"{url}/metrics")[1]
        go.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_that_fails_leaves_no_old_word_that_all_is_well():
    looks = iter([({**FACTS, "at": time.time() - 61}, [])])
    latest = Latest(lambda: next(looks), fresh=0.0)
    assert latest.get() is not None
    with serving(latest) as url:
        status, said = asked(f"{url}/healthz")
    assert status == 503
    assert re.fullmatch(r"the facts are of 6\d s ago \[docs/operations\.md: metrics-gone\]\n", said)


def test_without_a_first_look_there_are_no_metrics_yet():
    go = threading.Event()
    with serving(Latest(lambda: (go.wait(30), [])[1:], patience=0.05)) as url:  # type: ignore[arg-type,return-value]
        assert asked(f"{url}/metrics") == (503, "no facts yet [docs/operations.md: metrics-gone]\n")
        go.set()


def test_a_port_that_is_taken_is_said():
    with serving(Latest(lambda: (FACTS, []))) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(FraudstreamError, match=f"127.0.0.1:{port} cannot be listened on .* --port"):
            server("127.0.0.1", port, Latest(lambda: (FACTS, [])))
