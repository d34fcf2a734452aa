"""The benchmark's data: columns of events, the same for the same DataSet, with anomalies and bursts until the end."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Profile = Literal["exercise", "realistic"]
Form = Literal["envelope", "compact"]
PROFILES: tuple[Profile, ...] = ("exercise", "realistic")
FORMS: tuple[Form, ...] = ("envelope", "compact")
USERS = (9_000, 100_000, 1_000_000)
EVENTS = 5_000_000
PARTITIONS = 4
CARD_TYPES = ("VISA", "MASTERCARD", "AMEX")
Ints = npt.NDArray[np.int64]

_FIRST_USER = 1000
_BEGIN_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
_GAP_US = 60_000_000  # between two events of a user, on average: a minute of velocity's has one earlier event
_BURST_EVERY, _BURST = 1000, 7  # a burst of 7 events of one user begins at every 1000th event
_LARGE = slice(5, _BURST)  # of a burst: the 6th and 7th event are over velocity's 4000, and far over anomaly's mean
_NEAR_EVERY = 500  # one event in so many has an amount near three times what its user pays
_DRIFT = 200  # events of a user until its amounts are as high as they were


@dataclass(frozen=True)
class DataSet:
    """Which events, in which form."""

    profile: Profile = "exercise"
    form: Form = "envelope"
    users: int = USERS[0]
    events: int = EVENTS

    @property
    def topic(self) -> str:
        """The topic that has it."""
        return f"bench.{self.profile}.{self.form}.{self.users}.{self.events}"

    @property
    def user_ids(self) -> Ints:
        """All its users, those without an event too."""
        return np.arange(self.users, dtype=np.int64) + _FIRST_USER

    def shortened(self, most: int | None) -> DataSet:
        """The same with at most so many events."""
        return replace(self, events=min(self.events, most or self.events))


@dataclass(frozen=True)
class Columns:
    """Events in their order; the transaction ids are 1, 2, 3 ... `created_at` is in microseconds since 1970."""

    user_id: Ints
    cents: Ints
    card: Ints
    """Indexes into CARD_TYPES."""
    merchant_id: Ints
    created_at: Ints
    partition: Ints

    def __len__(self) -> int:
        return len(self.user_id)


def columns(data: DataSet) -> Columns:
    """All events of the data set; its form takes no part. Amounts drift and bursts of a user end with large amounts, so
    that alerts of both rules come until the end, and another length of a window gives other alerts."""
    random = np.random.default_rng([PROFILES.index(data.profile), data.users, data.events])
    user, cents = {"exercise": _exercise, "realistic": _realistic}[data.profile](random, data)
    near = np.arange(_NEAR_EVERY // 2, data.events, _NEAR_EVERY)
    cents[near] = _usual(cents, user, near) * random.normal(3.0, 0.15, len(near))
    _plant_bursts(user, cents, random, data)
    return Columns(
        user_id=user + _FIRST_USER,
        cents=np.clip(cents, 1_00, 5000_00),
        card=random.integers(0, len(CARD_TYPES), data.events),
        merchant_id=random.integers(1, 501, data.events),
        created_at=_BEGIN_US + np.arange(data.events) * max(_GAP_US // data.users, 1),
        partition=_partitions(data.users)[user],
    )


def _exercise(random: np.random.Generator, data: DataSet) -> tuple[Ints, Ints]:
    """As the course's producer draws them, users and amounts are uniform; but amounts end at 1500, so that an amount
    can be over three times their mean once a user has a history, and rise and fall between the half and the whole."""
    user = random.integers(0, data.users, data.events)
    phase = (np.arange(data.events) // data.users + user) % _DRIFT
    level = 500 + 500 * np.abs(2 * phase - _DRIFT) // _DRIFT
    return user, random.integers(5_00, 1500_01, data.events) * level // 1000


def _realistic(random: np.random.Generator, data: DataSet) -> tuple[Ints, Ints]:
    """Users differ in how often they buy, in their usual amount and in how much it varies."""
    activity = np.cumsum(random.lognormal(0.0, 0.8, data.users))
    user = np.searchsorted(activity, random.uniform(0, activity[-1], data.events), side="right")
    usual, spread = np.log(150_00) + random.normal(0.0, 0.9, data.users), random.uniform(0.25, 0.6, data.users)
    amount = np.exp(usual[user] + spread[user] * random.normal(size=data.events))
    return user, amount.astype(np.int64)


def _usual(cents: Ints, user: Ints, places: Ints) -> Ints:
    """The mean of the last 50 amounts of each of the users at `places`, before anything is planted."""
    order = np.argsort(user, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    sums = np.concatenate([[0], np.cumsum(cents[order])])
    first = np.searchsorted(user[order], user[places])
    begin = np.maximum(rank[places] - 50, first)
    counts = np.maximum(rank[places] - begin, 1)
    means: Ints = (sums[begin + counts] - sums[begin]) // counts
    return np.maximum(means, 1_00)


def _plant_bursts(user: Ints, cents: Ints, random: np.random.Generator, data: DataSet) -> None:
    """Every 1000th event begins a burst of its user: half of them within a second or less, half of such a length that
    velocity's minute ends about where the sixth event is."""
    begin = np.arange(0, data.events, _BURST_EVERY)
    edge = data.users * random.uniform(0.8, 1.2, len(begin)) / (_BURST - 2)
    gap = np.where(random.random(len(begin)) < 0.5, 3, np.maximum(edge.astype(np.int64), 3))
    gap[begin + gap * (_BURST - 1) >= data.events] = 3
    begin, gap = (column[begin + gap * (_BURST - 1) < data.events] for column in (begin, gap))
    places = begin[:, None] + gap[:, None] * np.arange(_BURST)
    user[places] = user[begin][:, None]
    large = places[:, _LARGE]
    cents[large] = random.integers(4100_00, 5000_01, large.shape)


def _partitions(users: int) -> Ints:
    """The partition of each user, by a hash of the message key."""
    keys = (key(number + _FIRST_USER).encode() for number in range(users))
    return np.fromiter((zlib.crc32(each) % PARTITIONS for each in keys), np.int64, users)


def key(user_id: int) -> str:
    """The message key, as a JsonConverter writes it with message.key.columns = user_id."""
    return f'{{"user_id":{user_id}}}'
