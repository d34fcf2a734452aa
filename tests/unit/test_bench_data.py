"""The benchmark's data: the same each time, as the connector writes it, and such that a wrong window shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudstream.bench.dataset import FORMS, PARTITIONS, PROFILES, Columns, DataSet, columns, key
from fraudstream.bench.fill import write
from fraudstream.bench.messages import HEADERS, places_of, values
from fraudstream.bench.truth import RULES, expected, read_truth, write_truth
from fraudstream.cdc.envelope import read_change_event
from fraudstream.cdc.topic import Sample, check_samples
from fraudstream.check.oracle import Anomaly, Velocity, arrivals, judge_topic

CAPTURED = {"envelope": "transactions", "compact": "flat"}
SMALL = {profile: DataSet(profile=profile, users=200, events=40_000) for profile in PROFILES}


@pytest.fixture(scope="module", params=PROFILES)
def small(request: pytest.FixtureRequest) -> Columns:
    return columns(SMALL[request.param])


def captured(form: str) -> dict[str, Any]:
    """A streamed insert of the real connector."""
    path = Path(__file__).parents[1] / "fixtures" / "change_events" / f"{CAPTURED[form]}.jsonl"
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return next(line for line in lines if "INSERT" in line["sql"] and '"c"' in line["value"])


def shape(value: Any) -> Any:
    """Names in their order and types; what is null where the connector has null."""
    return [(name, shape(part)) for name, part in value.items()] if isinstance(value, dict) else type(value)


def test_the_same_data_set_has_the_same_events_and_another_has_others(small):
    profile = next(each for each in PROFILES if np.array_equal(columns(SMALL[each]).cents, small.cents))
    again = columns(DataSet(profile=profile, form="compact", users=200, events=40_000))
    for name in Columns.__dataclass_fields__:
        assert np.array_equal(getattr(small, name), getattr(again, name)), name
    other = columns(DataSet(profile=profile, users=201, events=40_000))
    assert not np.array_equal(small.cents, other.cents)


@pytest.mark.parametrize("form", FORMS)
def test_a_message_has_the_connectors_shape_headers_and_length(form, small):
    real, (value,) = captured(form), values(small, np.array([1234]), form)
    assert shape(json.loads(value)) == shape(json.loads(real["value"]))
    assert " " not in value
    assert abs(len(value) - len(real["value"])) < 20
    assert [name for name, _ in HEADERS] == [name for name, _ in real["headers"]]
    assert key(1001) == real["key"]


@pytest.mark.parametrize("form", FORMS)
def test_the_projects_reader_takes_every_field_of_a_message(form, small):
    for place, value in enumerate(values(small, np.arange(500), form)):
        event = read_change_event(value.encode(), HEADERS)
        assert event.row is not None
        assert (event.op, event.snapshot, event.before, event.moved) == ("c", "false", None, False)
        found = (event.row.id, event.row.user_id, event.row.cents, event.row.merchant_id, event.row.created_at)
        names = ("user_id", "cents", "merchant_id", "created_at")
        assert found == (place + 1, *(int(getattr(small, name)[place]) for name in names))
        assert event.committed_ms is not None
        assert event.committed_ms * 1000 > found[-1]


@pytest.mark.parametrize("form", FORMS)
def test_the_guards_of_a_rule_accept_the_topic(form, small):
    samples = [
        Sample(partition, key(int(small.user_id[place])).encode(), next(values(small, places[:1], form)).encode())
        for partition in range(PARTITIONS)
        for places in [places_of(small, partition)]
        for place in places[:1]
    ]
    check_samples("topic", PARTITIONS, samples, "user_id")


def test_a_user_has_one_partition_and_every_partition_has_its_share(small):
    pairs = {(int(user), int(partition)) for user, partition in zip(small.user_id, small.partition, strict=True)}
    assert len(pairs) == len({user for user, _ in pairs})
    assert np.bincount(small.partition, minlength=PARTITIONS).min() > len(small) / PARTITIONS / 2


def test_each_partition_gets_its_own_events_in_their_order(small):
    sent: list[tuple[int, str, int]] = []

    class Producer:
        def produce(self, topic, value, key, partition, headers):
            assert (topic, headers) == ("bench.exercise.compact.200.40000", HEADERS)
            sent.append((partition, key, json.loads(value)["id"]))

        def flush(self):
            pass

    write(Producer(), DataSet(form="compact", users=200, events=40_000), small, [1, 3])
    for partition in (1, 3):
        ids = [number for at, _, number in sent if at == partition]
        assert ids == (places_of(small, partition) + 1).tolist()
    assert all(name == key(int(small.user_id[number - 1])) for _, name, number in sent)


def test_the_truth_is_what_the_oracle_of_the_checks_finds(small):
    class Message:
        partition, headers = 0, ()

        def __init__(self, offset: int, value: str) -> None:
            self.offset, self.value = offset, value.encode()

    messages = [Message(*pair) for pair in enumerate(values(small, np.arange(len(small)), "compact"))]
    topic = list(arrivals(messages, 10_000))
    found = expected(small)
    for rule, settings in (("anomaly", Anomaly()), ("velocity", Velocity())):
        oracle = [alert.transaction_id for alert in judge_topic(topic, settings).alerts]
        assert found[rule].transaction_id.tolist() == oracle
        assert len(oracle) > 50, rule


def with_earlier(small: Columns, cents: np.ndarray) -> Columns:
    """The events behind payments of each of their users, a row of `cents` per user, of years before."""
    users, each = np.unique(small.user_id), cents.shape[1]
    partition = dict(zip(small.user_id.tolist(), small.partition.tolist(), strict=True))
    before = Columns(
        user_id=np.repeat(users, each), cents=cents.ravel(), card=np.zeros(cents.size, np.int64),
        merchant_id=np.ones(cents.size, np.int64), created_at=1_600_000_000_000_000 + np.arange(cents.size),
        partition=np.repeat([partition[user] for user in users.tolist()], each),
    )  # fmt: skip
    both = {name: [getattr(part, name) for part in (before, small)] for name in Columns.__dataclass_fields__}
    return Columns(**{name: np.concatenate(parts) for name, parts in both.items()})


def test_the_truth_of_users_who_paid_before_is_what_the_oracle_finds_behind_a_snapshot(small):
    def earlier(users):
        return 100_00 + (users[:, None] * 7_919 + np.arange(60) * 104_729) % 300_00

    whole = with_earlier(small, earlier(np.unique(small.user_id)))
    before = len(whole) - len(small)

    class Message:
        partition, headers = 0, ()

        def __init__(self, offset: int, value: str) -> None:
            text = value.replace('"__op":"c"', '"__op":"r"') if offset < before else value
            self.offset, self.value = offset, text.encode()

    messages = [Message(*pair) for pair in enumerate(values(whole, np.arange(len(whole)), "compact"))]
    oracle = judge_topic(arrivals(messages, 10_000), Anomaly())
    assert oracle.parts["history"] == before
    found = expected(small, earlier=earlier)
    assert (found["anomaly"].transaction_id + before).tolist() == [each.transaction_id for each in oracle.alerts]
    assert set(found["anomaly"].transaction_id.tolist()) != set(expected(small)["anomaly"].transaction_id.tolist())
    assert found["velocity"].transaction_id.tolist() == expected(small)["velocity"].transaction_id.tolist()


def test_an_amount_is_compared_with_the_mean_of_what_was_paid_before():
    """Means of 200.00 and 400.00: three times 200.00 is exceeded by 600.01, three times 400.00 by nothing here."""
    first_two = Columns(
        user_id=np.array([7, 8, 7]), cents=np.array([600_01, 600_01, 600_00]), card=np.zeros(3, np.int64),
        merchant_id=np.zeros(3, np.int64), created_at=np.arange(3) * 10**9, partition=np.array([0, 1, 0]),
    )  # fmt: skip
    found = expected(first_two, earlier=lambda users: np.array([[100_00, 200_00, 300_00], [400_00, 400_00, 400_00]]))
    assert found["anomaly"].transaction_id.tolist() == [1]
    assert len(expected(first_two)["anomaly"]) == 0


def test_a_window_of_another_length_finds_other_anomalies(small):
    right = set(expected(small)["anomaly"].transaction_id.tolist())
    for history in (49, 51, None):
        wrong = set(expected(small, history)["anomaly"].transaction_id.tolist())
        assert right != wrong, history


def test_alerts_come_until_the_end_of_every_partition(small):
    for rule, truth in expected(small).items():
        for partition in range(PARTITIONS):
            own = truth.place[truth.partition == partition]
            assert own.max() > 0.75 * (small.partition == partition).sum(), rule


def test_a_place_counts_the_events_of_the_partition_up_to_the_alert(small):
    truth = expected(small)["velocity"]
    for number, partition, place in zip(truth.transaction_id, truth.partition, truth.place, strict=True):
        assert place == (small.partition[:number] == partition).sum()


def test_the_truth_is_read_as_it_was_kept(small, tmp_path):
    found = expected(small)
    write_truth(tmp_path / "truth.parquet", found)
    again = read_truth(tmp_path / "truth.parquet")
    assert list(again) == list(RULES)
    for rule in RULES:
        for name in ("transaction_id", "partition", "place"):
            assert np.array_equal(getattr(found[rule], name), getattr(again[rule], name))
