"""A labelled world to try rules in: customers and terminals in a plane, half a year of payments, and their frauds.

The transaction simulator of Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection: Practical
Handbook (2022), chapter 3, written anew from its description. 5,000 customers and 10,000 terminals make in 183 days
about 1.75 million transactions, of which about 0.84 % are fraud. `world_oddities` adds what the handbook has not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fraudstream.input.rows import CARD_TYPES, RowArray, make_rows

SECOND = 1_000_000
DAY = 86_400 * SECOND
SIDE = 100.0  # of the square in which everybody lives
FRAUDS = ("large_amount", "compromised_terminal", "leaked_credentials", "card_testing", "burst")
ODDITIES = ("holiday", "large_purchase", "market_day")
KINDS = ("", *FRAUDS, *ODDITIES)
"""What a row's `kind` is an index into: everyday payments, kinds of fraud, and honest ones that look like fraud."""

_LARGE_CENTS = 220_00
_TERMINALS_A_DAY, _TERMINAL_DAYS = 2, 28
_CUSTOMERS_A_DAY, _CUSTOMER_DAYS, _TIMES = 3, 14, 5
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How large the world is; the handbook's own by default. A customer pays at terminals within `radius`."""

    customers: int = 5_000
    terminals: int = 10_000
    days: int = 183
    radius: float = 5.0


@dataclass(frozen=True)
class People:
    """The customers: mean amount in cents, mean payments a day, card, and the terminals near home, one customer's after
    the other (from near_at[n] to near_at[n + 1])."""

    mean: Floats
    a_day: Floats
    card: Ints
    near: Ints
    near_at: Ints

    def terminal(self, random: np.random.Generator, users: Ints) -> Ints:
        """For each user one of the terminals near home, each as likely; every user has some."""
        first, end = self.near_at[users], self.near_at[users + 1]
        return self.near[first + (random.random(len(users)) * (end - first)).astype(np.int64)]

    def with_terminals(self) -> Ints:
        """The users who can pay somewhere."""
        return np.flatnonzero(np.diff(self.near_at))


@dataclass(frozen=True)
class World:
    """Rows in the order of time; `at` counts from the first day, users and terminals from 0, `kind` is an index into
    this module's KINDS. Rows of one fraud, or of one oddity, share their `episode` (from 1; 0 is none)."""

    rows: RowArray
    episode: Ints


def people(size: Size, seed: int) -> People:
    """The customers of a seed and their terminals."""
    random = np.random.default_rng([seed, 10])
    homes = random.uniform(0, SIDE, (size.customers, 2))
    mean = random.uniform(500, 10_000, size.customers)
    a_day = random.uniform(0, 4, size.customers)
    card = random.integers(0, len(CARD_TYPES), size.customers)
    shops = np.random.default_rng([seed, 11]).uniform(0, SIDE, (size.terminals, 2))
    near, counts = _near(homes, shops, size.radius)
    return People(mean, a_day, card, near, np.append(0, np.cumsum(counts)))


def _near(homes: Floats, shops: Floats, radius: float) -> tuple[Ints, Ints]:
    """The shops nearer than the radius, one home's after the other, and how many each home has."""
    found, counts = [], []
    for part in np.array_split(homes, max(1, len(homes) // 250)):
        distance = ((part[:, None, :] - shops[None, :, :]) ** 2).sum(axis=2)
        is_near = distance < radius**2
        found.append(np.nonzero(is_near)[1])
        counts.append(is_near.sum(axis=1))
    return np.concatenate(found), np.concatenate(counts)


def payments(size: Size, seed: int, who: People) -> World:
    """The everyday payments, all honest: as many a day as a Poisson number, around noon (standard deviation 20,000 s;
    what falls out of the day is not paid), of normal amounts with half their mean as standard deviation; a negative
    amount is drawn again, between nothing and twice the mean."""
    random = np.random.default_rng([seed, 12])
    counts = random.poisson(np.where(np.diff(who.near_at) > 0, who.a_day, 0)[:, None], (size.customers, size.days))
    user = np.repeat(np.arange(size.customers), counts.sum(axis=1))
    day = np.repeat(np.tile(np.arange(size.days), size.customers), counts.ravel())
    second = random.normal(43_200, 20_000, len(user)).astype(np.int64)
    kept = (second > 0) & (second < 86_400)
    user, at = user[kept], (day[kept] * 86_400 + second[kept]) * SECOND
    cents = amounts(random, who.mean[user])
    return in_order(World(make_rows(user, cents, who.card[user], who.terminal(random, user), at), _none(len(user))))


def amounts(random: np.random.Generator, mean: Floats) -> Ints:
    """A normal amount in cents for each mean, as in `payments`."""
    found = random.normal(mean, mean / 2)
    again = random.uniform(0, 2 * mean)
    return np.rint(np.where(found < 0, again, found)).astype(np.int64)


def with_frauds(size: Size, seed: int, world: World) -> World:
    """The handbook's three scenarios among the payments; where they meet, the later one counts.

    large_amount: every amount over 220. compromised_terminal: each day two terminals, whose payments are all fraud for
    28 days. leaked_credentials: each day three customers, of whose payments in 14 days a third, chosen at random, is
    five times as large and fraud.
    """
    random = np.random.default_rng([seed, 13])
    rows, episode = world.rows.copy(), world.episode.copy()
    large = np.flatnonzero(rows["cents"] > _LARGE_CENTS)
    _mark(rows, episode, large, "large_amount", 1 + np.arange(len(large)))
    at_terminal = _places(rows["merchant_id"], size.terminals)
    of_customer = _places(rows["user_id"], size.customers)
    for day in range(size.days):
        for terminal in random.choice(size.terminals, _TERMINALS_A_DAY, replace=False).tolist():
            places = _within(rows, at_terminal(terminal), day, _TERMINAL_DAYS)
            _mark(rows, episode, places, "compromised_terminal", episode.max() + 1)
    for day in range(size.days):
        for customer in random.choice(size.customers, _CUSTOMERS_A_DAY, replace=False).tolist():
            places = _within(rows, of_customer(customer), day, _CUSTOMER_DAYS)
            places = np.sort(random.choice(places, len(places) // 3, replace=False))
            rows["cents"][places] *= _TIMES
            _mark(rows, episode, places, "leaked_credentials", episode.max() + 1)
    return World(rows, episode)


def _mark(rows: RowArray, episode: Ints, places: Ints, kind: str, number: npt.ArrayLike) -> None:
    rows["kind"][places] = KINDS.index(kind)
    episode[places] = number


def _places(keys: Ints, count: int) -> Callable[[int], Ints]:
    """A function that gives the places of a key, ascending."""
    order = np.argsort(keys, kind="stable")
    borders = np.searchsorted(keys[order], np.arange(count + 1))
    return lambda key: order[borders[key] : borders[key + 1]]


def _within(rows: RowArray, places: Ints, day: int, days: int) -> Ints:
    """Of the places those from `day` on, for so many days."""
    times = rows["at"][places]
    return places[(times >= day * DAY) & (times < (day + days) * DAY)]


def in_order(world: World) -> World:
    """The rows by time, at the same time by user."""
    order = np.lexsort((world.rows["user_id"], world.rows["at"]))
    return World(world.rows[order], world.episode[order])


def together(worlds: list[World]) -> World:
    """The rows of all of them, their episodes numbered on."""
    numbered, last = [], 0
    for world in worlds:
        numbered.append(replace(world, episode=np.where(world.episode > 0, world.episode + last, 0)))
        last += int(world.episode.max(initial=0))
    rows: RowArray = np.concatenate([world.rows for world in numbered])
    return in_order(World(rows, np.concatenate([world.episode for world in numbered])))


def _none(count: int) -> Ints:
    return np.zeros(count, dtype=np.int64)
