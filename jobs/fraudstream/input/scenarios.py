"""Three months of honest customers, and one kind of fraud among them: what a rule of the library must find.

The honest rows of a seed are the same whichever fraud is added to them, and with none. They hold what each rule is
likely to take for fraud: parking meters, tickets for friends, market days, yearly journeys, days of large purchases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraudstream.input.rows import RowArray, make_rows
from fraudstream.rulebook.labels import Labels

DAYS, USERS, MERCHANTS, EPISODES = 90, 300, 500, 60
COMPROMISED = 12  # merchants
SECOND = 1_000_000
DAY = 86_400 * SECOND
_MINUTE = 60 * SECOND

Payment = tuple[int, int, int, int]
"""(user, cents, merchant, time in microseconds)"""


@dataclass(frozen=True)
class Scenario:
    """Rows by time. `episode` has the number of the fraud that a row belongs to, from 1, and 0 for honest rows."""

    rows: RowArray
    episode: npt.NDArray[np.int64]


def scenario(kind: str, seed: int, *, fraud: bool = True) -> Scenario:
    """The honest rows of a seed and, with `fraud`, EPISODES frauds of that kind (one of KINDS)."""
    customers = _Customers(seed)
    payments = _honest(np.random.default_rng([seed, 1]), customers)
    episodes = [0] * len(payments)
    if fraud:
        random = np.random.default_rng([seed, 2])
        for number in range(1, EPISODES + 1):
            stolen = KINDS[kind](random, customers, number)
            payments += stolen
            episodes += [number] * len(stolen)
    user, cents, merchant, at = (np.array(column, dtype=np.int64) for column in zip(*payments, strict=True))
    order = np.argsort(at, kind="stable")
    rows = make_rows(user, np.maximum(cents, 50), customers.card[user - 1], merchant, at)
    return Scenario(rows[order], np.array(episodes, dtype=np.int64)[order])


def labelled_scenario(seed: int, *, fraud: bool = True) -> tuple[Scenario, Labels]:
    """The honest rows of a seed, of which some become fraud: those at COMPROMISED merchants in four weeks, every other
    one (the episode is the merchant's number), and the labels that confirm most of them after 2 to 12 days. One row in
    500 elsewhere is confirmed as a fraud of another kind, also without `fraud`. A row's id is its place, from 1."""
    rows = scenario("", seed, fraud=False).rows
    random = np.random.default_rng([seed, 3])
    confirmed = random.random(len(rows)) < 1 / 500
    episode = np.zeros(len(rows), dtype=np.int64)
    shops = np.random.default_rng([seed, 4]).permutation(np.unique(rows["merchant_id"]))[:COMPROMISED]
    for number, shop in enumerate(shops.tolist() if fraud else [], start=1):
        begin = int(random.integers(5 * DAY, 55 * DAY))
        is_copied = (rows["merchant_id"] == shop) & (rows["at"] >= begin) & (rows["at"] < begin + 28 * DAY)
        is_copied &= random.random(len(rows)) < 0.5
        episode[is_copied] = number
        confirmed |= is_copied & (random.random(len(rows)) < 0.9)
    known_at = rows["at"] + random.integers(2 * DAY, 12 * DAY, len(rows))
    places = np.flatnonzero(confirmed)
    return Scenario(rows, episode), Labels(tuple((places + 1).tolist()), tuple(known_at[places].tolist()))


class _Customers:
    """Habits: payments a day, usual amount, merchants near home; some stay away for a month or two."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng([seed, 0])
        self.a_day = random.lognormal(-0.4, 0.7, USERS)
        self.usual = np.exp(random.normal(np.log(2500), 0.7, USERS))  # cents
        self.card = random.integers(0, 3, USERS)
        self.home = random.integers(0, MERCHANTS, USERS)
        away = random.random(USERS) < 0.3
        self.gone = np.where(away, random.integers(5 * DAY, 25 * DAY, USERS), 2 * DAYS * DAY)
        self.back = np.where(away, self.gone + random.integers(35 * DAY, 60 * DAY, USERS), 2 * DAYS * DAY)

    def merchant(self, random: np.random.Generator, user: int) -> int:
        """One of the merchants around the user's home, where the nearest are visited most."""
        return int(self.home[user] + np.rint(random.normal(0, 4))) % MERCHANTS + 1

    def is_away(self, user: int, at: int) -> bool:
        return bool(self.gone[user] <= at < self.back[user])

    def amount(self, random: np.random.Generator, user: int) -> int:
        return int(self.usual[user] * random.lognormal(0, 0.5))


def _honest(random: np.random.Generator, customers: _Customers) -> list[Payment]:
    payments: list[Payment] = []
    for user in range(USERS):
        for at in random.integers(0, DAYS * DAY, int(random.poisson(customers.a_day[user] * DAYS))).tolist():
            if not customers.is_away(user, at):
                payments.append((user + 1, customers.amount(random, user), customers.merchant(random, user), at))
        for oddity, a_year in _ODDITIES:
            for at in random.integers(0, DAYS * DAY, int(random.poisson(a_year * DAYS / 365))).tolist():
                if not customers.is_away(user, at):
                    payments += oddity(random, customers, user, at)
        if customers.back[user] < DAYS * DAY:
            payments += _journey(random, customers, user, int(customers.back[user]))
    return payments


def _parking(random: np.random.Generator, customers: _Customers, user: int, at: int) -> list[Payment]:
    """One to four cheap payments on the way, then a purchase."""
    count = int(random.integers(1, 5))
    small = [
        (user + 1, int(random.integers(80, 500)), customers.merchant(random, user), at + n * 15 * _MINUTE)
        for n in range(count)
    ]
    bought = (user + 1, customers.amount(random, user), customers.merchant(random, user), at + count * 15 * _MINUTE)
    return [*small, bought]


def _tickets(random: np.random.Generator, customers: _Customers, user: int, at: int) -> list[Payment]:
    """Tickets for two to five friends, one by one, at one price."""
    price, merchant = int(random.choice([280, 850, 1200, 1800, 2400, 3200])), customers.merchant(random, user)
    return [(user + 1, price, merchant, at + n * _MINUTE) for n in range(int(random.integers(2, 6)))]


def _market(random: np.random.Generator, customers: _Customers, user: int, at: int) -> list[Payment]:
    """Two to six stalls of a market within three quarters of an hour."""
    times = random.integers(at, at + 45 * _MINUTE, int(random.integers(2, 7))).tolist()
    stalls = (int(customers.home[user]) + random.permutation(20)) % MERCHANTS + 1
    return [(user + 1, int(random.integers(300, 3000)), int(stall), time) for stall, time in zip(stalls, times)]  # noqa: B905


def _large_day(random: np.random.Generator, customers: _Customers, user: int, at: int) -> list[Payment]:
    """One to four purchases of some hundreds in a day."""
    times = random.integers(at, at + 8 * 60 * _MINUTE, int(random.integers(1, 5))).tolist()
    return [(user + 1, int(random.integers(15_000, 70_000)), customers.merchant(random, user), time) for time in times]


def _journey(random: np.random.Generator, customers: _Customers, user: int, at: int) -> list[Payment]:
    """The first day of a journey, after a month or two without a payment: one to five over the day."""
    times = random.integers(at, at + 10 * 60 * _MINUTE, int(random.integers(1, 6))).tolist()
    return [(user + 1, customers.amount(random, user), int(random.integers(1, MERCHANTS + 1)), t) for t in times]


_Oddity = Callable[[np.random.Generator, _Customers, int, int], list[Payment]]
_ODDITIES: tuple[tuple[_Oddity, int], ...] = ((_parking, 12), (_tickets, 6), (_market, 6), (_large_day, 3))


def _victim(random: np.random.Generator, customers: _Customers) -> tuple[int, int]:
    """A user, and a time at which they are not away."""
    while True:
        user, at = int(random.integers(0, USERS)), int(random.integers(DAY, (DAYS - 2) * DAY))
        if not customers.is_away(user, at):
            return user, at


def _card_testing(random: np.random.Generator, customers: _Customers, number: int) -> list[Payment]:
    """3 to 7 payments of 0.50 to 5.00 some minutes apart, then one of 80 to 1500, mostly within the hour."""
    user, at = _victim(random, customers)
    times = at + np.cumsum(random.integers(10 * SECOND, 12 * _MINUTE, int(random.integers(4, 9))))
    cents = [*random.integers(50, 501, len(times) - 1).tolist(), int(random.integers(8_000, 150_000))]
    shops = random.integers(1, MERCHANTS + 1, len(times)).tolist()
    return list(zip([user + 1] * len(times), cents, shops, times.tolist(), strict=True))


def _repeated_amount(random: np.random.Generator, customers: _Customers, number: int) -> list[Payment]:
    """4 to 10 gift cards of one value at one merchant, up to 20 minutes apart."""
    user, at = _victim(random, customers)
    times = at + np.cumsum(random.integers(5 * SECOND, 20 * _MINUTE, int(random.integers(4, 11))))
    value, shop = int(random.choice([3000, 5000, 10_000])), int(random.integers(1, MERCHANTS + 1))
    return [(user + 1, value, shop, time) for time in times.tolist()]


def _dormant_burst(random: np.random.Generator, customers: _Customers, number: int) -> list[Payment]:
    """3 to 8 payments of 40 to 600 within two hours on a card whose owner is away for 20 days at least; a card each."""
    away = np.flatnonzero(customers.gone < DAYS * DAY)
    user = int(away[number % len(away)])
    at = int(random.integers(customers.gone[user] + 20 * DAY, customers.back[user] - DAY))
    times = np.sort(random.integers(at, at + 120 * _MINUTE, int(random.integers(3, 9)))).tolist()
    return [(user + 1, int(random.integers(4000, 60_000)), int(random.integers(1, MERCHANTS + 1)), t) for t in times]


def _many_merchants(random: np.random.Generator, customers: _Customers, number: int) -> list[Payment]:
    """5 to 12 shops of a street, up to 8 minutes apart."""
    user, at = _victim(random, customers)
    count = int(random.integers(5, 13))
    times = (at + np.cumsum(random.integers(_MINUTE, 8 * _MINUTE, count))).tolist()
    shops = random.permutation(MERCHANTS)[:count] + 1
    amounts = [customers.amount(random, user) for _ in times]
    return list(zip([user + 1] * count, amounts, shops.tolist(), times, strict=True))


def _spending(random: np.random.Generator, customers: _Customers, number: int) -> list[Payment]:
    """8 to 20 payments of 90 to 450 over less than a day."""
    user, at = _victim(random, customers)
    times = np.sort(random.integers(at, at + 20 * 60 * _MINUTE, int(random.integers(8, 21)))).tolist()
    return [(user + 1, int(random.integers(9000, 45_000)), int(random.integers(1, MERCHANTS + 1)), t) for t in times]


KINDS: dict[str, Callable[[np.random.Generator, _Customers, int], list[Payment]]] = {
    "card_testing": _card_testing,
    "repeated_amount": _repeated_amount,
    "dormant_burst": _dormant_burst,
    "many_merchants": _many_merchants,
    "spending_limit": _spending,
}
"""Name of the rule that is to find it -> a fraud of that kind."""
