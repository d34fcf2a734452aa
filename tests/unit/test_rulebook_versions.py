"""Versions of a rule over a topic: each alerts, in its part of the topic, as if it alone had judged all of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.rulebook.versions import (
    Version,
    first_alive,
    fold_versions,
    in_force,
    keeps,
    pack_states,
    unpack_states,
)
from unit.histories import TOPIC, batch, folded, row, rule_of

# Two partitions: user 1 in partition 0, user 2 in partition 1. Both versions of a pair keep the same rows, or not.
SAME = tuple(
    rule_of(f"anomaly: {{parameters: {{history: 4, minimum: 2, floor: {f}, factor: {n}}}}}")
    for f, n in ((5, 3), (9, 2))
)
LONGER = (SAME[0], rule_of("anomaly: {parameters: {history: 70, minimum: 2, floor: 5, factor: 2}}"))
TIMED = tuple(
    rule_of(f"velocity: {{parameters: {{window: {w}, more_than: 2, amount_over: 20}}}}") for w in ("20s", "90s")
)
PAIRS = {"same": SAME, "longer": LONGER, "timed": TIMED}


def placed(rows):
    """The rows with the offset of each in its user's partition."""
    counts = {1: 0, 2: 0}
    found = []
    for each in rows:
        user = each["user_id"]
        found.append({**each, "partition": user - 1, "offset": counts[user]})
        counts[user] += 1
    return found


def judged(versions, rows, cuts=()):
    """(rule version, transaction id) of the alerts, and the number of rows judged and joined."""
    states, alerts, counts = None, [], [0, 0]
    for start, end in pairwise(sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})):
        outcome = fold_versions(versions, unpack_states(states) if states else {}, batch(rows[start:end]), TOPIC)
        states = outcome.fold.state
        found = zip(outcome.found_by, outcome.fold.alerts, strict=True)
        assert all(versions[place].rule.version == alert["rule_version"] for place, alert in found)
        alerts += [(alert["rule_version"], alert["transaction_id"]) for alert in outcome.fold.alerts]
        counts = [counts[0] + outcome.fold.judged, counts[1] + outcome.fold.history]
    return sorted(alerts), counts


def expected(versions, rows):
    """Each version's alerts over the whole topic, of which those count that lie in its part."""
    found = []
    for place, version in enumerate(versions):
        alone, _ = folded(version.rule, rows)
        offsets = {each["id"]: (each["partition"], each["offset"]) for each in rows}
        for alert in alone:
            partition, offset = offsets[alert["transaction_id"]]
            later = versions[place + 1].since.get(partition, 0) if place + 1 < len(versions) else 10**9
            if version.since.get(partition, 0) <= offset < later:
                found.append((version.rule.version, alert["transaction_id"]))
    return sorted(found)


amounts = st.sampled_from([1, 2, 6, 10, 19, 21, 30, 60])
histories = st.lists(st.tuples(amounts, st.sampled_from([1, 2]), st.integers(0, 30)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(histories, st.sampled_from(sorted(PAIRS)), st.lists(st.integers(0, 60), max_size=4), st.data())
def test_each_version_alerts_in_its_part_as_if_it_had_judged_everything(drawn, pair, cuts, data):
    times, rows = 0, []
    for number, (amount, user, gap) in enumerate(drawn, 1):
        times += gap
        rows.append(row(number, amount, at=times, user=user))
    rows = placed(rows)
    old, new = PAIRS[pair]
    begin = data.draw(st.one_of(st.just({}), st.fixed_dictionaries({0: st.integers(0, 10), 1: st.integers(0, 10)})))
    change = {partition: data.draw(st.integers(begin.get(partition, 0), 40)) for partition in (0, 1)}
    versions = [Version(old, begin), Version(new, change, int(keeps(old) != keeps(new)))]
    # `folded` numbers rows by their place in the list; ids tell them apart here, and no row is repeated.
    alerts, counts = judged(versions, rows, cuts)
    assert alerts == expected(versions, rows)
    early = sum(each["offset"] < begin.get(each["partition"], 0) for each in rows)
    assert counts == [len(rows) - early, early]


def test_a_change_takes_effect_with_the_very_record_that_is_recorded():
    old, new = SAME
    rows = placed([row(n, 4) for n in range(1, 4)] + [row(4, 10), row(5, 10)])
    # Mean of the four before: 4, then 5.5; 10 > 2 x 4 by the new version alone, and 10 < 2 x 5.5.
    assert judged([Version(old, {}), Version(new, {0: 3})], rows)[0] == [(new.version, 4)]
    assert judged([Version(old, {}), Version(new, {0: 4})], rows)[0] == []


def test_a_version_with_a_longer_history_needs_an_epoch_of_its_own():
    assert keeps(SAME[0]) == keeps(SAME[1])
    assert keeps(LONGER[0]) != keeps(LONGER[1])
    assert keeps(TIMED[0]) != keeps(TIMED[1])
    assert keeps(rule_of("high_amount: {}")) == {}


def test_a_partition_that_is_not_named_belongs_to_the_newest_version():
    partitions, offsets = (
        batch([row(1, partition=p, offset=o)])[name] for p, o in ((2, 0),) for name in ("partition", "offset")
    )
    versions = [Version(SAME[0], {}), Version(SAME[1], {0: 5, 1: 5})]
    assert in_force(versions, partitions, offsets).tolist() == [1]
    late = [Version(SAME[0], {2: 1})]
    assert in_force(late, partitions, offsets).tolist() == [-1]


@pytest.mark.parametrize(("position", "alive"), [({}, 0), ({0: 5}, 0), ({0: 5, 1: 4}, 1), ({0: 9, 1: 9}, 2)])
def test_a_version_is_alive_until_every_partition_has_passed_its_end(position, alive):
    assert first_alive([{}, {0: 5, 1: 4}, {0: 9, 1: 9}], position) == alive


def test_states_of_several_epochs_are_one_value_and_that_of_epoch_0_is_its_own():
    assert pack_states({0: b"\x02abc"}) == b"\x02abc"
    for states in ({0: b"\x02abc"}, {1: b"\x02"}, {0: b"\x02" * 300, 3: b"\x02x"}, {}):
        assert unpack_states(pack_states(states)) == states
