"""What the handbook's world has not: frauds in bursts, and honest payments that look like fraud.

Episodes are drawn by the hundred at once: first how many, of whom, when and how long, then the rows of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fraudstream.input.rows import make_rows
from fraudstream.input.world import DAY, KINDS, SECOND, Floats, Ints, People, Size, World, amounts

_MINUTE = 60 * SECOND
_DAYTIME = (8 * 60 * _MINUTE, 22 * 60 * _MINUTE)
_A_DAY = 1.0  # frauds of each kind
_HOLIDAYS, _PURCHASES, _MARKETS = 0.1, 0.5, 0.5  # a customer, in half a year
_HALF_YEAR = 183


@dataclass(frozen=True)
class _Episodes:
    """Whose, when it begins, and how many rows it has; `of` and `nth` are each row's episode and its number there."""

    user: Ints
    begin: Ints
    counts: Ints

    @property
    def of(self) -> Ints:
        return np.repeat(np.arange(len(self.user)), self.counts)

    @property
    def nth(self) -> Ints:
        ends = np.cumsum(self.counts)
        return np.arange(int(self.counts.sum())) - np.repeat(ends - self.counts, self.counts)

    def times(self, gaps: Ints) -> Ints:
        """Times of the rows: each is its gap behind the one before, the first is the beginning."""
        gaps = np.where(self.nth == 0, 0, gaps)
        total = np.cumsum(gaps)
        firsts = np.cumsum(self.counts) - self.counts
        found: Ints = self.begin[self.of] + total - np.repeat(total[firsts], self.counts)
        return found

    def rows(self, kind: str, at: Ints, cents: Ints, terminal: Ints, who: People, size: Size) -> World:
        """The rows that fall into the world's days."""
        user = self.user[self.of]
        found = make_rows(user, cents, who.card[user], terminal, at, KINDS.index(kind))
        kept = at < size.days * DAY
        return World(found[kept], (self.of + 1)[kept])


def oddities(size: Size, seed: int, who: People) -> list[World]:
    """One world of rows for each kind."""
    makers = (_card_testing, _burst, _holiday, _large_purchase, _market_day)
    return [make(np.random.default_rng([seed, 20 + n]), size, who) for n, make in enumerate(makers)]


def _episodes(
    random: np.random.Generator, size: Size, who: People, expected: float, rows: tuple[int, int]
) -> _Episodes:
    """About as many as expected, at daytime, each with rows[0] to rows[1] rows."""
    some = who.with_terminals()
    count = int(random.poisson(expected)) if len(some) else 0
    begin = random.integers(0, size.days, count) * DAY + random.integers(*_DAYTIME, count)
    user = random.choice(some, count) if count else begin
    return _Episodes(user, begin, random.integers(rows[0], rows[1] + 1, count))


def _card_testing(random: np.random.Generator, size: Size, who: People) -> World:
    """3 to 7 payments of 0.50 to 5.00, 10 seconds to 12 minutes apart, then one of 80 to 1500, at any terminals."""
    found = _episodes(random, size, who, _A_DAY * size.days, (4, 8))
    rows = len(found.of)
    at = found.times(random.integers(10 * SECOND, 12 * _MINUTE, rows))
    is_last = found.nth == found.counts[found.of] - 1
    cents = np.where(is_last, random.integers(8_000, 150_001, rows), random.integers(50, 501, rows))
    return found.rows("card_testing", at, cents, random.integers(0, size.terminals, rows), who, size)


def _burst(random: np.random.Generator, size: Size, who: People) -> World:
    """6 to 10 rising payments of 900 to 4800 within about half a minute, at one terminal anywhere."""
    found = _episodes(random, size, who, _A_DAY * size.days, (6, 10))
    rows = len(found.of)
    at = found.times(random.integers(SECOND, 5 * SECOND, rows))
    rising = 90_000 + 390_000 * found.nth // np.maximum(found.counts[found.of] - 1, 1)
    terminal = random.integers(0, size.terminals, len(found.user))[found.of]
    cents = np.rint(rising * random.uniform(0.85, 1.02, rows)).astype(np.int64)
    return found.rows("burst", at, cents, terminal, who, size)


def _holiday(random: np.random.Generator, size: Size, who: People) -> World:
    """A week or two in another place: 3 to 6 payments a day, twice as large as usual. The family at home goes on."""
    expected = _HOLIDAYS * size.customers * size.days / _HALF_YEAR
    found = _episodes(random, size, who, expected, (21, 84))
    rows = len(found.of)
    day, a_day = found.begin // DAY, random.integers(3, 7, len(found.user))[found.of]
    at = (day[found.of] + found.nth // a_day) * DAY + random.integers(*_DAYTIME, rows)
    hosts = random.permutation(who.with_terminals())[: len(found.user)]
    elsewhere = np.resize(hosts, len(found.user))[found.of] if len(hosts) else found.of
    return found.rows("holiday", at, _usual(random, who, found, 2.0), who.terminal(random, elsewhere), who, size)


def _large_purchase(random: np.random.Generator, size: Size, who: People) -> World:
    """One payment of 250 to 5000 near home: furniture, a journey, a bicycle."""
    expected = _PURCHASES * size.customers * size.days / _HALF_YEAR
    found = _episodes(random, size, who, expected, (1, 1))
    rows = len(found.of)
    cents = np.rint(np.exp(random.uniform(np.log(25_000), np.log(500_000), rows))).astype(np.int64)
    return found.rows("large_purchase", found.begin, cents, who.terminal(random, found.user), who, size)


def _market_day(random: np.random.Generator, size: Size, who: People) -> World:
    """4 to 8 stalls within three quarters of an hour, some of them cheap."""
    expected = _MARKETS * size.customers * size.days / _HALF_YEAR
    found = _episodes(random, size, who, expected, (4, 8))
    rows = len(found.of)
    at = found.times(random.integers(_MINUTE, 6 * _MINUTE, rows))
    terminal = who.terminal(random, found.user[found.of])
    return found.rows("market_day", at, random.integers(200, 3_001, rows), terminal, who, size)


def _usual(random: np.random.Generator, who: People, found: _Episodes, times: float) -> Ints:
    mean: Floats = who.mean[found.user[found.of]] * times
    return amounts(random, mean)
