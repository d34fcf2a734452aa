"""A whole run as the check sees it: it passes when everything fits, and each broken place makes it fail."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from fixtures.masks import key_file, masked_by_hand
from fraudstream.check import places, verify
from fraudstream.check.topic import Record
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.rulebook.catalog import load_rules
from fraudstream.stack.settings import load_settings
from golden.topics import TOPIC, messages_of

LINES = "c 1..3 u1 10.00 +0/120\nraw no JSON\nc 4 u1 600.00 +360\nu 1 u1 20.00 +0 was=10.00"
RULES = tuple(rule for rule in load_rules(RULES_FILE) if rule.status == "live")
AT = ["2026-03-01T12:00:00", "2026-03-01T12:02:00", "2026-03-01T12:04:00", "2026-03-01T12:06:00"]


def alert(user=1001):
    """Transaction 4, which is message 4 of the topic (the fifth): n = 3, mean 10.00, 60 times."""
    version = next(rule.version for rule in RULES if rule.name == "anomaly")
    fields = {
        "alert_id": hashlib.sha256(f"anomaly|{version}|100004".encode()).hexdigest(), "amount": "600.00",
        "captured_at": "2026-03-01T12:00:04.000Z", "card_type": "VISA", "committed_at": "2026-03-01T12:00:03.980Z",
        "event_time": "2026-03-01T12:06:00.000000Z", "lsn": 1_000_500, "merchant_id": 17, "offset": 4, "partition": 0,
        "evidence": {"n": 3, "sum": "30.00", "mean": "10.00", "ratio": "60.00"}, "reason": "much", "rule": "anomaly",
        "rule_version": version, "score": None, "severity": "high", "topic": TOPIC, "transaction_id": 100_004,
        "tx_id": 1004, "user_id": user,
    }  # fmt: skip
    return fields["alert_id"], json.dumps(fields, sort_keys=True, separators=(",", ":"))


class World:
    """The places of a run, each as it should be; a test changes one."""

    def __init__(self, folder):
        alert_id, value = alert()
        self.folder, self.profile, self.rules, self.key_file = folder, "exercise", RULES, ""
        self.topic = [Record(*m.__dict__.values()) for m in messages_of(LINES, 1)]
        self.alerts = [Record(0, 0, alert_id.encode(), value.encode(), (), self.topic[4].timestamp)]
        self.archived = [("anomaly", alert_id, 100_004, value)]
        rows = [(100_001 + n, 1001, cents, "VISA", 17) for n, cents in enumerate((2000, 1000, 1000, 60_000))]
        times = [1_772_366_400_000_000 + n * 120_000_000 for n in range(4)]
        self.postgres = [(*row, at, at) for row, at in zip(rows, times, strict=True)]
        self.delta = list(self.postgres)
        self.quarantine = [(0, 3, b"no JSON")]
        self.changes = [
            ["c", 100_001 + n, 1001, a, "VISA", 17, AT[n]] for n, a in enumerate(["10.00"] * 3 + ["600.00"])
        ]
        self.changes += [["u", 100_001, 1001, "20.00", "VISA", 17, AT[0]]]
        counts = {"read": 6, "judged": 4, "history": 0, "unjudged": 0, "unreadable": 1, "ignored": 1}
        self.progress = {name: dict(counts) for name in ("anomaly", "velocity", "high_amount", "mirror_transactions")}
        self.progress["archive_alerts"] = {"read": 1}

    def check(self, monkeypatch):
        pipeline = replace(load_pipeline(), masking_key_file=self.key_file)
        topics = {pipeline.kafka.transactions_topic: self.topic, pipeline.kafka.alerts_topic: self.alerts}
        monkeypatch.setattr(verify, "read_topic", lambda bootstrap, topic, options: iter(topics[topic]))
        monkeypatch.setattr(places, "_selected", lambda dsn, statement: [row[:-1] for row in self.postgres])
        monkeypatch.setattr(places, "current_rows", lambda path: iter(self.delta))
        monkeypatch.setattr(places, "archived_alerts", lambda path: self.archived)
        monkeypatch.setattr(places, "quarantined", lambda path: self.quarantine)
        monkeypatch.setattr(verify, "progress_lines", lambda folder, query: [self.progress[query]])
        monkeypatch.setattr(places, "frauds", lambda dsn: {100_004: "amount_jump", 100_002: "burst"})
        monkeypatch.setattr(type(load_settings()), "dsn", lambda self, role, database="mydb": role)
        ledger = self.folder / "ledger.jsonl"
        ledger.write_text(json.dumps({"outcome": "committed", "changes": self.changes, "at": 1.0}) + "\n")
        return verify.verify(load_settings(), pipeline, self.rules, ledger, profile=self.profile)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_run_in_which_everything_fits_passes_with_its_figures(world, monkeypatch):
    report = world.check(monkeypatch)
    assert report["failures"] == []
    assert report["passed"]
    assert report["committed"] == {"inserts": 4, "updates": 1, "deletes": 0}
    assert report["capture"] == {"lost": 0, "doubled": 0}
    assert report["topic"] == {"read": 6, "judged": 4, "history": 0, "unjudged": 0, "quarantined": 1, "ignored": 1}
    assert report["mirror"] == {"postgres_rows": 4, "delta_rows": 4, "different": 0}
    assert report["rules"]["anomaly"] == {
        "oracle": 1, "kafka": 1, "kafka_copies": 0, "delta": 1, "missing": 0, "extra": 0,
        "latency_ms": {"p50": 20, "p95": 20, "p99": 20},
    }  # fmt: skip
    assert report["rules"]["velocity"]["latency_ms"] == {"p50": None, "p95": None, "p99": None}


def masked(world):
    """The same run with masked users: PostgreSQL, the topic and the ledger have them as they are."""
    alert_id, value = alert(masked_by_hand(1001))
    world.key_file = str(key_file(world.folder))
    world.alerts = [world.alerts[0]._replace(value=value.encode())]
    world.archived = [("anomaly", alert_id, 100_004, value)]
    world.delta = [(number, masked_by_hand(user), *row) for number, user, *row in world.delta]


def test_a_run_with_masked_users_passes(world, monkeypatch):
    masked(world)
    assert world.check(monkeypatch)["failures"] == []


@pytest.mark.parametrize("place", ["alerts", "archived", "delta"])
def test_a_place_that_was_left_unmasked_fails(world, monkeypatch, place):
    plain = getattr(world, place)
    masked(world)
    setattr(world, place, plain)
    assert not world.check(monkeypatch)["passed"]


BROKEN = {
    "alert lost in Kafka": lambda world: world.alerts.clear(),
    "alert lost in Delta": lambda world: world.archived.clear(),
    "alert doubled in Delta": lambda world: world.archived.append(world.archived[0]),
    "alert of a stranger": lambda world: world.archived.append(("other", "x", 1, "{}")),
    "no alert in fraud.alerts": lambda world: world.alerts.append(Record(0, 1, None, b"{}", (), 1)),
    "row lost in the mirror": lambda world: world.delta.pop(),
    "change lost by capture": lambda world: world.changes.append(["d", 100_001]),
    "change doubled by capture": lambda world: world.changes.pop(),
    "unreadable message lost": lambda world: world.quarantine.clear(),
    "batch not counted": lambda world: world.progress["velocity"].update(read=5),
    "alert not archived": lambda world: world.progress["archive_alerts"].update(read=0),
    "nothing proven": lambda world: setattr(world, "profile", "hot"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_run_with_one_broken_place_fails(world, monkeypatch, broken):
    BROKEN[broken](world)
    report = world.check(monkeypatch)
    assert not report["passed"]
    assert report["failures"]


def test_a_rule_that_the_oracle_does_not_know_is_named_and_its_alerts_are_no_failure(world, monkeypatch):
    world.rules = (*RULES, replace(RULES[0], name="mine", rule="mine"))
    world.archived.append(("mine", "x", 1, "{}"))
    report = world.check(monkeypatch)
    assert (report["unchecked_rules"], report["failures"]) == (["mine"], [])


def test_the_realistic_profile_has_precision_and_recall(world, monkeypatch):
    world.profile = "realistic"
    found = world.check(monkeypatch)["precision_recall"]["anomaly"]
    assert found == {"alerts": 1, "precision": 1.0, "recall": {"all": 0.5, "amount_jump": 1.0, "burst": 0.0}}
