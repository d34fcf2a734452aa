"""What users had paid before a data set begins, and a rule's query that starts with all of it."""

from __future__ import annotations

import numpy as np

from fraudstream.bench.dataset import PARTITIONS, Ints
from fraudstream.config import Pipeline, State
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.fold import state_of
from fraudstream.streams import progress, record
from fraudstream.streams.buckets import bucket_ids, buckets_of
from fraudstream.streams.seed import store_seed

AMOUNTS = 50
"""Of each user: as many as anomaly looks at."""
# Cents, as the exercise's data set draws them; a user's own level is between these shares (per mille) of them. With
# lower ones every other payment of some users would be three times their mean.
_LOW, _HIGH = 5_00, 1500_00
_LEVELS = (550, 1000)


def amounts(users: Ints) -> Ints:
    """The cents of each user's payments, a row per user, the oldest first; a user's are the same in any company."""
    level = _LEVELS[0] + _mixed(-users.astype(np.int64)) % (_LEVELS[1] - _LEVELS[0] + 1)
    drawn = _LOW + _mixed(_numbers(users)) % (_HIGH - _LOW + 1)
    result: Ints = drawn * level[:, None] // 1000
    return result


def _numbers(users: Ints) -> Ints:
    """A number of its own for each payment, over 0 and rising in their order."""
    numbers: Ints = users.astype(np.int64)[:, None] * AMOUNTS + np.arange(AMOUNTS)
    return numbers


def _mixed(numbers: Ints) -> Ints:
    """Numbers of 31 bits that look random: the finalizer of splitmix64."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    result: Ints = (mixed >> np.uint64(33)).astype(np.int64)
    return result


def state_after(rule: Rule, users: Ints) -> bytes:
    """The state of a rule that keeps ids and amounts of users, after the payments of these users (each once, rising)
    have joined their histories. The ids are below 0, and rise: no event of a data set has one of them."""
    numbers, cents = _numbers(users).ravel(), amounts(users).ravel()
    rows = len(numbers)
    payments = {
        "judge": np.zeros(rows, dtype=bool), "offset": np.arange(rows), "user_id": np.repeat(users, AMOUNTS),
        "id": numbers - (int(users[-1]) + 1) * AMOUNTS, "cents": cents,
    }  # fmt: skip
    return state_of(rule, payments)


def states(rule: Rule, state: State, users: Ints) -> dict[int, bytes]:
    """The state of each bucket that has users, by its id; the users are rising."""
    places = buckets_of(users, state.buckets)
    order = np.argsort(places, kind="stable")
    parts = np.split(users[order], np.cumsum(np.bincount(places, minlength=state.buckets))[:-1])
    ids = bucket_ids(state.buckets, state.partitions)
    return {number: state_after(rule, part) for number, part in zip(ids, parts, strict=True) if len(part)}


def prepare(pipeline: Pipeline, rule: Rule, users: Ints) -> None:
    """Make the rule's record and the checkpoint of its query, so that it begins at the beginning of a data set's topic,
    knowing these users' payments. There must be none yet."""
    begin, checkpoint = dict.fromkeys(range(PARTITIONS), 0), pipeline.checkpoint(rule.name)
    store_seed(checkpoint, rule.name, 0, states(rule, pipeline.state, users))
    progress.store_start(checkpoint, begin)
    # A rule without a record would begin with an empty history, and its seeds be deleted.
    record.append(pipeline.lake, rule, begin)
