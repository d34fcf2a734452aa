"""Rows on the edges of the rules, for checks that can fail: few users, drifting amounts, times on the window's ends.

The order of the rows made here is the order of commit, which is the order a rule sees. Users come in cohorts, so that a
run of any length keeps beginning histories anew and event times stay near the present.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from fraudstream.input.rows import NAN_CENTS, NULL_TIME, YEAR_1969, YEAR_2999, RowArray, make_rows

SECOND = 1_000_000
WINDOW = 60 * SECOND
LATENESS = 600 * SECOND
_USERS = 60
_ROWS_PER_USER = 350
# The share of users whose amounts lie on the edges; those of the others' lie high, and their times on the edges.
_AMOUNT_USERS = 36
_UNJUDGEABLE_SHARE = 0.003
# A cohort's 350 rows span 2 to 5 hours of event time: they begin in the past and end before the limit of one day ahead.
_BEGIN = -6 * 3600 * SECOND


def rows(seed: int, rate: float) -> Iterator[RowArray]:
    """Blocks of rows without end, one cohort each (21,000 rows); `rate` in rows/s sets how fast the present moves."""
    written = 0
    cohort = 0
    while True:
        random = np.random.default_rng([seed, 2, cohort])
        block = _cohort(random, 1 + cohort * _USERS, int(written / rate * SECOND) + _BEGIN)
        yield block
        written += len(block)
        cohort += 1


def _cohort(random: np.random.Generator, first_user: int, begin: int) -> RowArray:
    """All rows of a cohort: the users take turns, in another order each round."""
    times = np.empty((_ROWS_PER_USER, _USERS), np.int64)
    cents = np.empty_like(times)
    for place in range(_USERS):
        histories = _amounts_on_edges(random) if place < _AMOUNT_USERS else _times_on_edges(random)
        for turn, (at, amount) in zip(range(_ROWS_PER_USER), histories, strict=False):
            times[turn, place] = begin + at
            cents[turn, place] = amount
    order = random.permuted(np.tile(np.arange(_USERS), (_ROWS_PER_USER, 1)), axis=1)
    users = (first_user + order).ravel()
    block = make_rows(
        users,
        np.take_along_axis(cents, order, axis=1).ravel(),
        random.integers(0, 3, users.size),
        random.integers(1, 501, users.size),
        np.take_along_axis(times, order, axis=1).ravel(),
    )
    return _with_unjudgeable(random, block)


def _with_unjudgeable(random: np.random.Generator, block: RowArray) -> RowArray:
    """Some rows more that no rule may see; one that saw them would find large amounts or a jump of the time."""
    places = np.sort(random.choice(len(block), int(len(block) * _UNJUDGEABLE_SHARE), replace=False))
    added = block[places]
    added["cents"] = random.integers(300_000, 600_000, len(added))
    form = random.integers(0, 4, len(added))
    added["cents"][form == 0] = NAN_CENTS
    for number, time in ((1, NULL_TIME), (2, YEAR_2999), (3, YEAR_1969)):
        added["at"][form == number] = time
    return np.insert(block, places, added)


def _amounts_on_edges(random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """(time, cents) of a user whose amounts drift and sometimes lie a cent beside 3 x the mean of the last 50, or 500.

    The drift makes the means of the last 49, 50, 51 and of all amounts differ by more than that cent.
    """
    past: deque[int] = deque(maxlen=50)
    time = int(random.integers(0, 3600 * SECOND))
    level = random.uniform(6_000, 60_000)
    drift = random.uniform(1.005, 1.03)
    probe_after = int(random.choice([2, 2, 3, 3, 8]))
    while True:
        time += int(random.integers(5 * SECOND, 40 * SECOND))
        if not 6_000 < level < 120_000:
            level = min(max(level, 6_000.0), 120_000.0)
            drift = 1 / drift
        level *= drift
        amount = int(level * random.uniform(0.95, 1.05))
        if probe_after == 1:
            amount = _even_out(past, amount)
        elif probe_after == 0:
            amount = _probe(random, past)
            probe_after = int(random.integers(4, 25))
        probe_after -= 1
        past.append(amount)
        yield time, amount


def _even_out(past: deque[int], amount: int) -> int:
    """An amount near `amount` after which the history's sum is a multiple of its length: the mean is whole cents."""
    gone = past[0] if len(past) == past.maxlen else 0
    length = min(len(past) + 1, past.maxlen or 0)
    return amount + -(sum(past) - gone + amount) % length


def _probe(random: np.random.Generator, past: deque[int]) -> int:
    edge = 3 * sum(past) // len(past)
    if len(past) <= 3:
        # An alert as far as the amount goes: the shortest history that is judged decides.
        return max(edge, 50_000) + int(random.integers(1, 20_000))
    if edge < 50_000 and random.random() < 0.5:
        edge = 50_000
    return edge + int(random.choice([-1, 0, 0, 1, 1, 1, 5_000]))


def _times_on_edges(random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """(time, cents) of a user of clusters, each ending in a large amount to which one row more or less decides."""
    now = int(random.integers(0, 600 * SECOND))
    while True:
        # Beyond the window, so that the cluster before counts only where nothing is evicted.
        first = now + WINDOW + int(random.integers(10 * SECOND, 120 * SECOND))
        cluster = _late_cluster(random, first) if random.random() < 0.2 else _cluster(random, first)
        yield from cluster
        now = max(now, *(time for time, _ in cluster))


def _cluster(random: np.random.Generator, first: int) -> list[tuple[int, int]]:
    """Rows around the 60 s before a last one; the first stands on the window's lower end or a microsecond beside it."""
    last = first + WINDOW + int(random.choice([-1, 0, 0, 1]))
    inside = int(random.choice([3, 4, 4, 4, 4, 5]))
    times = [first, *random.integers(first + 2, last, inside).tolist()]
    if random.random() < 0.3:
        times[1] = last
    if random.random() < 0.3:
        # Later in event time, earlier in order: outside the window of the last one.
        times.insert(2, last + int(random.choice([1, 1, 5 * SECOND])))
    if random.random() < 0.5:
        times.sort()
    return [*((time, _usual(random)) for time in times), (last, _large(random))]


def _late_cluster(random: np.random.Generator, first: int) -> list[tuple[int, int]]:
    """Five rows, a jump ahead, then a late one: the jump leaves the first visible, or just not, or hides all."""
    times = [first, *np.sort(random.integers(first + SECOND, first + 20 * SECOND, 4)).tolist()]
    evicted = first + WINDOW + LATENESS
    jump = int(random.choice([evicted - 1, evicted, evicted, evicted + 40 * SECOND, first + 300 * SECOND]))
    late = first + int(random.integers(25 * SECOND, 55 * SECOND))
    return [*((time, _usual(random)) for time in times), (jump, _usual(random)), (late, _large(random))]


def _usual(random: np.random.Generator) -> int:
    return int(random.integers(100_000, 300_000))


def _large(random: np.random.Generator) -> int:
    edges = [399_999, 400_000, 400_000, 400_001, 400_001, 400_001, 450_000, 450_001]
    return int(random.choice([*edges, int(random.integers(400_002, 499_999))]))
