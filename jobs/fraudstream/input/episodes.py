"""Episodes in the lives of realistic customers: frauds of named kinds, and honest oddities that look like them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fraudstream.input.rows import KINDS

SECOND = 1_000_000
MERCHANTS = 500
MOST_CENTS = 900_000
LEAST_CENTS = 50
# A victim has bought before: who steals a card takes one that is in use.
_KNOWN_AFTER = 5

Event = tuple[int, int, int, int, int]
"""(at, user index, cents, merchant, kind)"""


@dataclass
class Customers:
    """One entry per user: cumulated activity, log of the usual amount in cents, its spread, card, home merchant."""

    activity: npt.NDArray[np.float64]
    usual: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    card: npt.NDArray[np.int64]
    home: npt.NDArray[np.int64]
    opened: npt.NDArray[np.int64]
    salary_until: npt.NDArray[np.int64] = field(init=False)
    seen: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.salary_until = np.zeros(len(self.home), np.int64)
        self.seen = np.zeros(len(self.home), np.int64)

    def mean_cents(self, user: int) -> float:
        """Mean of the user's everyday amounts."""
        return float(np.exp(self.usual[user] + self.spread[user] ** 2 / 2))

    def merchants_near(self, random: np.random.Generator, user: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Merchants around the users' homes; the merchants stand along a ring road, 1..500."""
        away = np.rint(random.normal(0, 4, len(user))).astype(np.int64)
        return 1 + (self.home[user] + away) % MERCHANTS


@dataclass(frozen=True)
class _Scene:
    """Where and when an episode begins."""

    random: np.random.Generator
    customers: Customers
    known: npt.NDArray[np.int64]
    at: int

    def victim(self) -> int:
        return int(self.random.choice(self.known))

    def anywhere(self) -> int:
        return int(self.random.integers(1, MERCHANTS + 1))

    def within(self, seconds: int, count: int) -> npt.NDArray[np.int64]:
        return np.sort(self.random.integers(self.at, self.at + seconds * SECOND, count))

    def events(
        self, user: int, times: npt.ArrayLike, cents: npt.ArrayLike, kind: str = "", merchant: int | None = None
    ) -> list[Event]:
        """Rows of one user, by default at merchants near home."""
        at = np.atleast_1d(np.asarray(times, np.int64))
        amounts = np.broadcast_to(np.clip(np.asarray(cents, np.int64), LEAST_CENTS, MOST_CENTS), at.shape)
        near = self.customers.merchants_near(self.random, np.full(at.shape, user))
        merchants = near if merchant is None else np.full(at.shape, merchant)
        number = KINDS.index(kind)
        columns = zip(at.tolist(), amounts.tolist(), merchants.tolist(), strict=True)
        return [(time, user, amount, place, number) for time, amount, place in columns]


def new_events(random: np.random.Generator, customers: Customers, begin: int, end: int, rows: int) -> Iterator[Event]:
    """Rows of the episodes that begin between two times, in which `rows` rows are written."""
    known = np.flatnonzero(customers.seen >= _KNOWN_AFTER)
    if not known.size:
        return
    for make, per_million in _EPISODES:
        for _ in range(int(random.poisson(per_million * rows / 1e6))):
            yield from make(_Scene(random, customers, known, int(random.integers(begin, end))))


def _burst(scene: _Scene) -> list[Event]:
    """A stolen card is emptied: 6 to 10 rising amounts within half a minute, at one merchant anywhere."""
    count = int(scene.random.integers(6, 11))
    cents = np.linspace(90_000, 480_000, count) * scene.random.uniform(0.85, 1.02, count)
    return scene.events(scene.victim(), scene.within(30, count), cents, "burst", scene.anywhere())


def _card_testing(scene: _Scene) -> list[Event]:
    """4 to 7 payments of 0.50 to 5.00 to see whether a card works, then a large one."""
    count = int(scene.random.integers(4, 8))
    cents = [*scene.random.integers(50, 501, count), scene.random.integers(80_000, 250_000)]
    times = [*scene.within(15, count), scene.at + 18 * SECOND]
    return scene.events(scene.victim(), times, cents, "card_testing", scene.anywhere())


def _amount_jump(scene: _Scene) -> list[Event]:
    """One payment of 4 to 15 times the usual."""
    user = scene.victim()
    cents = max(30_000.0, scene.customers.mean_cents(user) * scene.random.uniform(4, 15))
    return scene.events(user, scene.at, cents, "amount_jump", scene.anywhere())


def _compromised_merchant(scene: _Scene) -> list[Event]:
    """A merchant's terminal copies cards: some of its customers each pay there once more, little above their usual."""
    merchant = scene.anywhere()
    homes = scene.customers.home[scene.known] + 1
    distance = np.abs((homes - merchant + MERCHANTS // 2) % MERCHANTS - MERCHANTS // 2)
    victims = scene.random.permutation(scene.known[distance <= 4])[: int(scene.random.integers(10, 26))]
    events = []
    for user in victims.tolist():
        cents = scene.customers.mean_cents(user) * scene.random.uniform(1.0, 2.5)
        events += scene.events(user, scene.within(40, 1), cents, "compromised_merchant", merchant)
    return events


def _salary_week(scene: _Scene) -> list[Event]:
    """Honest: three times the usual amounts for some time."""
    scene.customers.salary_until[scene.victim()] = scene.at + 40 * SECOND
    return []


def _shopping_day(scene: _Scene) -> list[Event]:
    """Honest: 8 to 15 purchases within a minute, of usual amounts."""
    user, count = scene.victim(), int(scene.random.integers(8, 16))
    cents = scene.customers.mean_cents(user) * scene.random.uniform(0.5, 1.6, count)
    return scene.events(user, scene.within(50, count), cents)


def _yearly_purchase(scene: _Scene) -> list[Event]:
    """Honest: one purchase of five times the usual."""
    user = scene.victim()
    return scene.events(user, scene.at, scene.customers.mean_cents(user) * 5)


# Episodes per million rows.
_EPISODES: tuple[tuple[Callable[[_Scene], list[Event]], int], ...] = (
    (_burst, 450),
    (_card_testing, 500),
    (_amount_jump, 2000),
    (_compromised_merchant, 300),
    (_salary_week, 500),
    (_shopping_day, 300),
    (_yearly_purchase, 500),
)
