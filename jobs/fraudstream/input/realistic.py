"""Customers with habits of their own, honest oddities that look like fraud, and injected fraud of named kinds.

Every number of a customer is drawn once: how often they buy, their usual amount and how much it varies, card and home.
Shares of oddities and frauds are per row, so any rate gives about 1 % of fraudulent rows after the first seconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from fraudstream.input.episodes import LEAST_CENTS, MERCHANTS, MOST_CENTS, SECOND, Customers, Event, new_events
from fraudstream.input.rows import RowArray, make_rows

USERS = 10_000
_BLOCK = 1000
# The last tenth of the users open their account during the first two minutes: histories too short to judge.
_VETERANS = USERS * 9 // 10


def rows(seed: int, rate: float) -> Iterator[RowArray]:
    """Blocks of 1000 rows without end; times advance by 1/`rate` s a row from the run's start."""
    random = np.random.default_rng([seed, 4])
    customers = _customers(random)
    planned: list[Event] = []
    number = 0
    while True:
        begin, end = (int(n * _BLOCK / rate * SECOND) for n in (number, number + 1))
        for event in new_events(random, customers, begin, end, _BLOCK):
            heapq.heappush(planned, event)
        due: list[Event] = []
        while planned and planned[0][0] < end and len(due) < _BLOCK // 2:
            due.append(heapq.heappop(planned))
        block = _block(random, customers, begin, end, due)
        customers.seen += np.bincount(block["user_id"] - 1, minlength=USERS)
        yield block
        number += 1


def _customers(random: np.random.Generator) -> Customers:
    spread = random.uniform(0.25, 0.6, USERS)
    spread[random.random(USERS) < 0.03] = 0.0  # subscriptions: always the same amount
    opened = np.zeros(USERS, np.int64)
    opened[_VETERANS:] = random.integers(0, 120 * SECOND, USERS - _VETERANS)
    return Customers(
        activity=np.cumsum(random.lognormal(0.0, 0.8, USERS)),
        usual=np.log(5500) + random.normal(0.0, 0.9, USERS),
        spread=spread,
        card=random.integers(0, 3, USERS),
        home=random.integers(0, MERCHANTS, USERS),
        opened=opened,
    )


def _block(random: np.random.Generator, customers: Customers, begin: int, end: int, due: list[Event]) -> RowArray:
    """The block's everyday rows together with the events that are due, by time."""
    count = _BLOCK - len(due)
    user = np.searchsorted(customers.activity, random.uniform(0, customers.activity[-1], count), side="right")
    user = np.where(customers.opened[user] > begin, user % _VETERANS, user)
    factor = np.where(customers.salary_until[user] > begin, 3, 1)
    amount = np.exp(customers.usual[user] + customers.spread[user] * random.normal(size=count)) * factor
    everyday = make_rows(
        user + 1,
        np.clip(amount, LEAST_CENTS, MOST_CENTS).astype(np.int64),
        customers.card[user],
        customers.merchants_near(random, user),
        np.linspace(begin, end, count, endpoint=False).astype(np.int64),
    )
    if not due:
        return everyday
    at, who, cents, merchant, kind = (np.array(column) for column in zip(*due, strict=True))
    special = make_rows(who + 1, cents, customers.card[who], merchant, at, kind)
    both = np.concatenate([everyday, special])
    return both[np.argsort(both["at"], kind="stable")]
