"""What is found in plain facts: nothing in those of a healthy pipeline, and each fault by its runbook's name."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from fraudstream.errors import ConfigError
from fraudstream.health.findings import findings
from fraudstream.health.limits import Limits, load_limits

LIMITS = Limits(
    disk_free_bytes=1000, slot_inactive_s=60, slot_left_percent=25, heartbeat_s=60, behind_s=120, silent_s=120,
    quarantined=0, unjudged=10, small_files=10, canary_s=300,
)  # fmt: skip
QUERY = {
    "state": "running", "told": "running", "topic": "db.public.transactions", "position": {0: 70, 1: 90},
    "made_of": "id", "damaged": None, "batches": 3, "read": 100, "parts": {"judged": 99, "ignored": 1},
    "checkpoint_bytes": 1, "holds": True, "dropped": {}, "last_at": 999.0, "batch_s": 0.5, "state_bytes": 10,
    "recent_unreadable": 0, "recent_unjudged": 10, "lag_records": 0, "lag_s": 0.0,
}  # fmt: skip
HEALTHY = {
    "at": 1000.0,
    "topic": "db.public.transactions",
    "alerts_topic": "fraud.alerts",
    "home": "/run",
    "components": {
        name: {"state": "running", "pid": 7, "port": 15432, "log": f"/run/{name}.log"}
        for name in ("postgres", "kafka", "connect")
    },
    "connectors": {"transactions": {"connector": "RUNNING", "tasks": ["RUNNING"], "trace": None}},
    "captures": {"transactions": {"slot": "s", "database": "mydb", "prefix": "db", "heartbeat": 1}},
    "slots": [
        {
            "name": "s", "database": "mydb", "active": True, "wal_status": "reserved", "retained_bytes": 5,
            "left_bytes": 4000, "cap_bytes": 4000, "active_s": 900.0, "inactive_s": None,
        }
    ],
    "topics": {
        "db.public.transactions": {"id": "id", "starts": {0: 0, 1: 0}, "ends": {0: 70, 1: 90}},
        "fraud.alerts": {"id": "id", "starts": {0: 0}, "ends": {0: 3}},
    },
    "heartbeats": {"transactions": 4.0},
    "ahead": {},
    "restored": {},
    "versions": {"kafka": {"expected": "4.3.1", "found": "4.3.1"}},
    "locked": None,
    "driver": {"pid": 8, "alive": True, "dead": [], "frozen": [], "uptime_s": 900.0},
    "queries": {"anomaly": {**QUERY}, "mirror_transactions": {**QUERY}},
    "tables": {"alerts": {"files": 12, "small_files": 10, "bytes": 1, "damaged": None}},
    "alerts": {"anomaly": {"total": 100, "last_day": 50}},
    "disks": {"/run": 1000},
    "canary": {"at": 700.0, "arrived_at": 700.0, "every_s": 60.0},
}  # fmt: skip


@pytest.fixture
def facts():
    return copy.deepcopy(HEALTHY)


def found(facts, limits=LIMITS, budgets=None):
    return [(each.name, each.part) for each in findings(facts, limits, budgets)]


def test_a_healthy_pipeline_has_no_finding(facts):
    assert findings(facts, LIMITS, {"anomaly": 50}) == []


def _component(name, state, **more):
    return lambda facts: facts["components"][name].update(state=state, **more)


def _slot(**changes):
    return lambda facts: facts["slots"][0].update(changes)


def _connector(**changes):
    return lambda facts: facts["connectors"]["transactions"].update(changes)


def _query(name="anomaly", **changes):
    return lambda facts: facts["queries"][name].update(changes)


def _set(name, value):
    return lambda facts: facts.update({name: value})


FAULTS = {
    "crashed": (_component("kafka", "crashed", last_lines=["bang"]), "kafka-down", "kafka"),
    "frozen component": (_component("connect", "not answering"), "connect-down", "connect"),
    "stopped": (_component("postgres", "stopped"), "postgres-down", "postgres"),
    "version": (_set("versions", {"spark": {"expected": "4.2.0", "found": "4.1.0"}}), "wrong-versions", "spark"),
    "lock": (_set("locked", "docker/.env asks for x"), "wrong-versions", "docker/.env"),
    "disk": (_set("disks", {"/run": 999}), "disk-low", "/run"),
    "ahead": (_set("ahead", {"transactions": {"slot": "0/2", "stored": "0/1"}}), "slot-ahead", "transactions"),
    "restored": (
        _set("restored", {"transactions": {"end": "0/1", "stored": "0/2"}}), "database-restored", "transactions",
    ),
    "dropped": (_set("slots", []), "slot-lost", "transactions"),
    "lost": (_slot(wal_status="lost", active=False, retained_bytes=None, left_bytes=None), "slot-lost", "s"),
    "near the cap": (_slot(left_bytes=999), "slot-near-cap", "s"),
    "inactive": (_slot(active=False, active_s=None, inactive_s=61.0), "slot-inactive", "s"),
    "failed": (_connector(tasks=["FAILED"], trace="28P01"), "connector-failed", "transactions"),
    "paused": (_connector(connector="PAUSED", tasks=["PAUSED"]), "connector-paused", "transactions"),
    "stopped connector": (_connector(connector="STOPPED", tasks=[]), "connector-paused", "transactions"),
    "no task": (_connector(tasks=[]), "connector-failed", "transactions"),
    "heartbeat": (_set("heartbeats", {"transactions": 61.0}), "heartbeat-stale", "transactions"),
    "no heartbeat": (_set("heartbeats", {"transactions": None}), "heartbeat-stale", "transactions"),
    "no alerts topic": (lambda facts: facts["topics"].pop("fraud.alerts"), "topic-missing", "fraud.alerts"),
    "dead driver": (
        _set("driver", {**HEALTHY["driver"], "alive": False, "dead": ["anomaly"]}), "driver-dead", "driver",
    ),
    "frozen driver": (_set("driver", {**HEALTHY["driver"], "frozen": [8]}), "driver-frozen", "driver"),
    "failed query": (_query(state="failed: ValueError: x"), "query-failed", "anomaly"),
    "shadow": (_query(state="shadow failed: ValueError: x"), "query-failed", "anomaly"),
    "behind": (_query(lag_s=121.0, lag_records=12), "query-behind", "anomaly"),
    "behind, and stopped as one stops": (
        _query(state="stopped", told="done", lag_s=121.0, lag_records=12), "query-behind", "anomaly",
    ),
    "behind for an unknown time": (_query(lag_s=None, lag_records=12), "query-behind", "anomaly"),
    "torn checkpoint": (_query(damaged="offsets/3 is torn"), "checkpoint-damaged", "anomaly"),
    "lost count": (_query(holds=False), "records-unaccounted", "anomaly"),
    "quarantine": (_query("mirror_transactions", recent_unreadable=1), "quarantine-growing", "mirror_transactions"),
    "unjudged": (_query("anomaly", recent_unjudged=11), "rows-unjudged", "db.public.transactions"),
    "small files": (
        _set("tables", {"alerts": {"files": 12, "small_files": 11, "damaged": None}}), "small-files", "alerts",
    ),
    "torn table": (
        _set("tables", {"alerts": {"files": None, "small_files": None, "damaged": "torn"}}), "table-damaged", "alerts",
    ),
    "canary": (_set("canary", {"at": 699.0, "arrived_at": 699.0, "every_s": 60.0}), "canary-late", "canary"),
    "first canary": (_set("canary", {"at": 999.0, "arrived_at": None, "every_s": None}), "canary-late", "canary"),
    "late canary": (_set("canary", {"at": 999.0, "arrived_at": 998.0, "every_s": None}), "canary-late", "canary"),
    "records gone": (
        lambda facts: facts["topics"]["fraud.alerts"].update(starts={0: 1}) or
        facts["queries"]["anomaly"].update(topic="fraud.alerts", position={0: 0}), "records-gone", "anomaly",
    ),
    "topic replaced": (_query(position={0: 71, 1: 90}), "topic-replaced", "anomaly"),
    "topic replaced and filled": (_query(made_of="former"), "topic-replaced", "anomaly"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone_is_found_by_its_name(facts, fault):
    inject, name, part = FAULTS[fault]
    inject(facts)
    assert found(facts) == [(name, part)]
    (finding,) = findings(facts, LIMITS)
    assert finding.found
    assert finding.next


@pytest.mark.parametrize("state", ["FAILED", "PAUSED"])
def test_a_connector_is_started_again_by_its_name(facts, state):
    facts["connectors"] = {"people": {"connector": state, "tasks": [state], "trace": "boom"}}
    (finding,) = findings(facts, LIMITS)
    assert "`make up CONNECTORS=people`" in finding.next


def test_a_deleted_connector_is_missing(facts):
    facts |= {"connectors": {}, "captures": {}}
    assert found(facts) == [("connector-missing", "connect")]


def test_a_missing_topic_matters_once_somebody_has_read_it(facts):
    del facts["topics"]["db.public.transactions"]
    assert found(facts) == [("topic-missing", "db.public.transactions")]
    for query in facts["queries"].values():
        query["position"] = {}
    assert found(facts) == []


def test_a_checkpoint_that_does_not_say_of_which_topic_it_is_accuses_none(facts):
    facts["queries"]["anomaly"]["made_of"] = None
    facts["topics"]["db.public.transactions"]["id"] = None
    assert found(facts) == []


def test_nobody_is_sent_to_repair_where_the_topic_is_another_one(facts):
    facts["queries"]["anomaly"]["made_of"] = "former"
    (finding,) = findings(facts, LIMITS)
    assert finding.found == "db.public.transactions was deleted and made anew: its id was former and is id"
    assert finding.next.startswith("do not repair before it is started over: `--reset anomaly`")


def test_what_waits_is_told_with_who_lets_it_wait(facts):
    def said(**changes):
        facts["queries"]["anomaly"].update(changes)
        return [each.found for each in findings(facts, LIMITS) if each.name == "query-behind"]

    assert said(lag_s=121.0, lag_records=1200) == ["1,200 offsets wait, the oldest for 121 s"]
    assert said(lag_s=None) == ["1,200 offsets wait, who knows how long"]
    assert said(state="stopped", told="done") == ["nobody runs it; 1,200 offsets wait, who knows how long"]
    assert said(told="") == [], "the last driver knew nothing of it"
    facts["driver"]["dead"] = ["anomaly"]
    assert said(told="running") == [], "the driver's end is told, and is the cause"


def test_a_driver_that_ends_no_batch_while_records_wait_is_frozen_and_one_without_input_is_not(facts):
    for query in facts["queries"].values():
        query["last_at"] = 1.0
    assert found(facts) == []
    facts["queries"]["anomaly"]["lag_s"] = 121.0
    assert ("driver-frozen", "driver") in found(facts)
    facts["driver"]["uptime_s"] = 30.0  # it may still be starting
    assert ("driver-frozen", "driver") not in found(facts)


def test_rows_that_every_query_finds_unjudgeable_are_one_finding_with_the_greatest_count(facts):
    for name, count in (("anomaly", 11), ("mirror_transactions", 200)):
        facts["queries"][name]["recent_unjudged"] = count
    (finding,) = findings(facts, LIMITS)
    assert finding.name == "rows-unjudged"
    assert finding.found.startswith("200 rows ")


def test_a_connector_that_has_just_come_back_has_time_for_its_first_heartbeat(facts):
    facts["heartbeats"] = {"transactions": 3600.0}
    facts["slots"][0]["active_s"] = 5.0
    assert found(facts) == []


def test_of_two_connectors_of_a_database_each_has_a_heartbeat_of_its_own(facts):
    facts["captures"]["people"] = {"slot": "p", "database": "mydb", "prefix": "people", "heartbeat": 2}
    facts["slots"].append({**facts["slots"][0], "name": "p"})
    facts["heartbeats"] = {"transactions": 61.0, "people": 1.0}
    assert found(facts) == [("heartbeat-stale", "transactions")]


def test_a_canary_that_came_in_time_and_was_the_last_one_is_no_finding_later(facts):
    facts["canary"] = {"at": 1.0, "arrived_at": 1.0, "every_s": None}
    assert found(facts) == []


def test_what_is_unknown_is_no_finding_of_its_own(facts):
    for each in facts["components"].values():
        each["state"] = "stopped"
    facts |= {key: {} for key in ("connectors", "captures", "topics", "heartbeats", "ahead", "restored", "versions")}
    facts |= {"slots": [], "queries": {"anomaly": {**QUERY, "lag_s": None, "lag_records": None}}}
    assert [name for name, _ in found(facts)] == ["postgres-down", "kafka-down", "connect-down"]


def test_a_rule_over_its_budget_is_a_warning_after_what_is_broken(facts):
    facts["disks"] = {"/run": 0}
    assert found(facts, budgets={"anomaly": 49}) == [("disk-low", "/run"), ("alerts-over-budget", "anomaly")]


def test_limits_are_read_from_the_file_and_changed_by_an_option():
    usual = load_limits()
    assert load_limits({"disk_free_bytes": "7"}) == replace(usual, disk_free_bytes=7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disk_free": "1"}, r"--limit: unknown limit 'disk_free'. Did you mean disk_free_bytes\?"),
        ({"canary_s": "-1"}, "--limit canary_s is '-1'; it must be a whole number"),
    ],
)
def test_a_wrong_limit_is_refused_by_name(changes, said):
    with pytest.raises(ConfigError, match=said):
        load_limits(changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [("- 1", "must be a mapping"), ("canary_s: 1", "is missing"), ("[", "not valid YAML"), ("x: 1", "unknown limit")],
)
def test_a_wrong_file_of_limits_is_refused(tmp_path, text, said):
    path = tmp_path / "health.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_limits(path=path)
