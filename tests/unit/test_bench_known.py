"""A rule's query that begins with whole histories: they are the same each time, and give the alerts of the truth."""

from __future__ import annotations

import numpy as np
import pytest

from fraudstream.bench import known
from fraudstream.bench.dataset import CARD_TYPES, Columns, DataSet, columns
from fraudstream.bench.ours import write_pipeline, write_rules
from fraudstream.bench.truth import expected
from fraudstream.config import State, load_pipeline
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.fold import fold
from fraudstream.rulebook.kept import unpack
from fraudstream.streams import progress, record
from fraudstream.streams.buckets import bucket_ids, buckets_of
from fraudstream.streams.seed import stored_seeds

DATA = DataSet(users=200, events=20_000)


@pytest.fixture
def rule(tmp_path) -> Rule:
    write_rules(tmp_path / "rules.yaml", ["anomaly"])
    return load_rules(tmp_path / "rules.yaml")[0]


def test_a_user_has_paid_the_same_in_any_company_and_others_have_paid_other_amounts():
    users = DATA.user_ids
    found = known.amounts(users)
    assert found.shape == (200, 50)
    assert np.array_equal(known.amounts(users[50:53]), found[50:53])
    assert len({tuple(row) for row in found.tolist()}) == 200
    assert found.min() >= 2_75, "5.00 at a level of 0.55"
    assert found.max() <= 1500_00
    assert 0.7 < found.mean() / 752_50 < 0.85, "levels from 0.55 to 1 of amounts from 5.00 to 1500.00"


def test_a_state_has_the_amounts_of_its_users_under_ids_of_no_event(rule):
    users = np.array([1003, 1007])
    kept = unpack(known.state_after(rule, users), rule.columns)
    assert kept.users.tolist() == [1003, 1007]
    assert kept.lengths.tolist() == [50, 50]
    assert not kept.streamed.any(), "an insert of a user supersedes nothing yet"
    assert kept.columns["cents"].tolist() == known.amounts(users).ravel().tolist()
    ids = kept.columns["id"].reshape(2, 50)
    assert (np.diff(ids) == 1).all()
    assert (ids < 0).all()


def test_every_user_is_in_the_bucket_that_its_events_come_to(rule):
    state = State(buckets=8, partitions=2)
    found = known.states(rule, state, DATA.user_ids)
    ids = bucket_ids(8, 2)
    assert set(found) == set(ids)
    for number, value in found.items():
        users = unpack(value, rule.columns).users
        assert {ids[place] for place in buckets_of(users.astype(np.int64), 8).tolist()} == {number}
    assert sum(len(unpack(value, rule.columns).users) for value in found.values()) == 200


def test_buckets_without_users_have_no_state(rule):
    assert len(known.states(rule, State(buckets=64, partitions=2), DATA.user_ids[:3])) <= 3


def as_batch(found: Columns, chosen: np.ndarray) -> dict[str, np.ndarray]:
    places = np.flatnonzero(chosen)
    same = {name: getattr(found, name)[places] for name in ("partition", "user_id", "cents", "created_at")}
    nothing = dict.fromkeys(("lsn", "tx_id", "committed_ms", "captured_ms"), places)
    return {
        **same, **nothing, "judge": np.ones(len(places), bool), "offset": places, "id": places + 1,
        "merchant_id": found.merchant_id[places], "card_type": np.array(CARD_TYPES, object)[found.card[places]],
    }  # fmt: skip


def alerts_of(rule: Rule, states: dict[int, bytes], buckets: int) -> list[int]:
    found = columns(DATA)
    places, alerts = buckets_of(found.user_id, buckets), []
    for place, number in enumerate(bucket_ids(buckets, 2)):
        alerts += fold(rule, states.get(number), as_batch(found, places == place), "topic").alerts
    return sorted(alert["transaction_id"] for alert in alerts)


def test_the_rule_finds_the_alerts_of_the_truth_with_its_states_and_others_without(rule):
    states = known.states(rule, State(buckets=4, partitions=2), DATA.user_ids)
    wanted = expected(columns(DATA), earlier=known.amounts)["anomaly"].transaction_id.tolist()
    assert len(wanted) > 50
    assert alerts_of(rule, states, 4) == wanted
    assert alerts_of(rule, {}, 4) != wanted


def test_a_prepared_query_begins_at_the_topics_beginning_with_its_seeds(rule, tmp_path):
    write_pipeline(tmp_path / "pipeline.yaml", "topic", "alerts", {"state.buckets": 4})
    pipeline = load_pipeline(tmp_path / "pipeline.yaml", {"FRAUDSTREAM_HOME": str(tmp_path)})
    known.prepare(pipeline, rule, DATA.user_ids)
    checkpoint = pipeline.checkpoint("anomaly")
    (entry,) = record.entries(pipeline.lake, "anomaly")
    assert record.is_of(entry, rule), "or taking over would delete the seeds"
    assert progress.position(checkpoint) == {"0": 0, "1": 0, "2": 0, "3": 0}
    versions = record.versions(pipeline.lake, "anomaly", progress.by_number(progress.position(checkpoint)))
    seeds = stored_seeds(checkpoint, versions)
    assert dict(seeds[0]) == known.states(rule, pipeline.state, DATA.user_ids)
