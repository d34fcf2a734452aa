"""The oracle: one message at a time, slow and obvious, from the definitions in docs/semantics.md.

Written apart from the rules and the rule language, so that both must be wrong in the same way to agree wrongly. It
keeps every row it has seen; what a real query may forget is decided by the definitions, not by what is stored here.
"""

from __future__ import annotations

import operator
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Protocol

from fraudstream.cdc.envelope import ChangeEvent, Row, UnreadableMessage, read_change_event
from fraudstream.masking import Mask

DAY_US = 86_400_000_000
SECOND_US = 1_000_000
LATENESS_US = 600 * SECOND_US
REMEMBERED = 64
PARTS = ("judged", "history", "unjudged", "unreadable")
Comparison = Callable[[Any, Any], bool]
Number = int | Fraction  # exact
Figures = Callable[[Sequence[Row | None], Row, int], dict[str, Number] | None]


class Message(Protocol):
    """A record of the topic."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]: ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message and what it is: `entry` judge, history, unjudged, unreadable or ignored; `name` says why it is ignored
    or unreadable. `event` is None only where unreadable."""

    partition: int
    offset: int
    entry: str
    name: str
    event: ChangeEvent | None

    @property
    def row(self) -> Row:
        """The row; only for judge, history and unjudged."""
        assert self.event is not None
        assert self.event.row is not None
        return self.event.row


@dataclass(frozen=True, slots=True)
class Judgement:
    """An alert: the arrival that was judged and the figures that decided. With corrections, `revision` counts those of
    the transaction, and `status` is open, amended or withdrawn (which has no figures)."""

    arrival: Arrival
    figures: Mapping[str, Number]
    status: str = "open"
    revision: int = 0

    @property
    def transaction_id(self) -> int:
        return self.arrival.row.id


@dataclass(frozen=True)
class Verdict:
    """What a rule makes of a topic: its alerts in order, and its parts of the conservation law. `ignored` has a count
    per name."""

    alerts: list[Judgement]
    parts: Mapping[str, int]
    ignored: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """Cents; `remembered` is the horizon of ids in rows; `over_*` are here only so that a mistake can be tried."""

    history: int = 50
    minimum: int = 3
    factor: Number = 3
    floor: Number = 500_00
    sigma: bool = False
    over_mean: Comparison = operator.gt
    over_floor: Comparison = operator.gt
    remembered: int = REMEMBERED


@dataclass(frozen=True, kw_only=True)
class Velocity:
    """Cents and microseconds."""

    window: int = 60 * SECOND_US
    more_than: int = 5
    count_score: Number = 40
    amount_over: Number = 4000_00
    amount_score: Number = 50
    score_over: Number = 70
    surcharge: Mapping[str, Number] = field(default_factory=dict)
    lateness: int = LATENESS_US
    after_edge: Comparison = operator.gt
    over_amount: Comparison = operator.gt
    over_score: Comparison = operator.gt
    remembered: int = REMEMBERED


@dataclass(frozen=True, kw_only=True)
class HighAmount:
    """Cents."""

    over: Number = 4500_00
    over_amount: Comparison = operator.gt
    remembered: int = REMEMBERED  # matters with corrections alone


@dataclass(frozen=True, kw_only=True)
class Defined:
    """A rule of the library (check.library): `figures` of an alert on a row, from the rows before it and the greatest
    event time up to it. `window` is its longest, 0 for none."""

    figures: Figures
    window: int = 0
    lateness: int = LATENESS_US
    key: Literal["user_id", "merchant_id"] = "user_id"
    remembered: int = REMEMBERED


Settings = Anomaly | Velocity | HighAmount | Defined


@dataclass(slots=True)
class User:
    """All rows of a user (or a merchant) that have entered."""

    rows: list[Row | None] = field(default_factory=list)  # in order, as are the amounts
    amounts: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)  # sorted
    places: dict[int, tuple[int, int]] = field(default_factory=dict)  # id -> (1 for the first row, event time)
    newest: int = -(2**63)  # greatest event time
    streamed: bool = False  # whether an insert has entered


def arrivals(messages: Iterable[Message], max_bytes: int, mask: Mask | None = None) -> Iterator[Arrival]:
    """Every message with its entry, in the order given; user ids masked by `mask`."""
    for message in messages:
        entry, name, event = _entry(message, max_bytes, mask)
        yield Arrival(message.partition, message.offset, entry, name, event)


def _entry(message: Message, max_bytes: int, mask: Mask | None) -> tuple[str, str, ChangeEvent | None]:
    try:
        event = read_change_event(message.value, message.headers, max_bytes, mask)
    except UnreadableMessage as error:
        return "unreadable", str(error), None
    ignored = _ignored_as(event)
    if ignored:
        return "ignored", ignored, event
    assert event.row is not None
    if not is_judgeable(event.row, event.captured_ms):
        return "unjudged", "", event
    return ("judge" if event.op == "c" else "history"), "", event


def _ignored_as(event: ChangeEvent) -> str | None:
    if event.op in ("tombstone", "heartbeat"):
        return event.op
    if event.moved:
        return "key_change"
    if event.snapshot == "incremental":
        return "incremental_snapshot"
    return {"u": "update", "d": "delete", "t": "truncate"}.get(event.op)


def is_judgeable(row: Row, captured_ms: int | None) -> bool:
    """Whether a rule can weigh the row."""
    if row.cents is None or row.created_at is None or row.created_at < 0:
        return False
    return captured_ms is None or row.created_at <= captured_ms * 1000 + DAY_US


def judge_topic(topic: Iterable[Arrival], settings: Settings, *, judge_snapshot: bool = False) -> Verdict:
    """The alerts and counts of one rule over a whole topic."""
    users: dict[int | None, User] = defaultdict(User)
    alerts: list[Judgement] = []
    parts = Counter(dict.fromkeys(PARTS, 0))
    ignored: Counter[str] = Counter()
    for arrival in topic:
        if arrival.entry == "ignored":
            ignored[arrival.name] += 1
        elif arrival.entry in ("unjudged", "unreadable"):
            parts[arrival.entry] += 1
        else:
            judged = arrival.entry == "judge" or judge_snapshot
            dropped, figures = _judge(arrival, judged, settings, users)
            if dropped:
                ignored[dropped] += 1
            else:
                parts["judged" if judged else "history"] += 1
            if figures is not None:
                alerts.append(Judgement(arrival, figures))
    return Verdict(alerts, dict(parts), dict(ignored))


def _judge(
    arrival: Arrival, judged: bool, settings: Settings, users: dict[int | None, User]
) -> tuple[str, dict[str, Number] | None]:
    """Why the row is dropped ("" if it enters), and the figures of an alert."""
    row, inserted = arrival.row, arrival.entry == "judge"
    if isinstance(settings, HighAmount):
        return "", {} if judged and settings.over_amount(row.cents, settings.over) else None
    user = users[row.merchant_id if isinstance(settings, Defined) and settings.key == "merchant_id" else row.user_id]
    if _is_kept(user, row.id, settings):
        return "redelivered", None
    if not inserted and user.streamed:
        return "superseded", None
    figures = _figures(user, row, settings) if judged else None
    _enter(user, row, inserted)
    return "", figures


def _figures(user: User, row: Row, settings: Anomaly | Velocity | Defined) -> dict[str, Number] | None:
    """The figures of the alert that the user's next row makes, if any."""
    if isinstance(settings, Anomaly):
        return anomaly_figures(user, row, settings)
    if isinstance(settings, Velocity):
        return velocity_figures(user, row, settings)
    return settings.figures(user.rows, row, max(user.newest, row.created_at or 0))


def is_in_time(time: int, newest: int, settings: Settings) -> bool:
    """Whether a row is kept for its event time."""
    if not isinstance(settings, Velocity | Defined) or not settings.window:
        return False
    return time > newest - settings.window - settings.lateness


def _is_kept(user: User, transaction_id: int, settings: Anomaly | Velocity | Defined) -> bool:
    """Whether a row with this id is still in the horizon."""
    if transaction_id not in user.places or settings.remembered == 0:
        return False
    place, time = user.places[transaction_id]
    if place > len(user.amounts) - settings.remembered:
        return True
    return is_in_time(time, user.newest, settings)


def _enter(user: User, row: Row, inserted: bool) -> None:
    assert row.cents is not None
    assert row.created_at is not None
    user.rows.append(row)
    user.amounts.append(row.cents)
    insort(user.times, row.created_at)
    user.places[row.id] = (len(user.amounts), row.created_at)
    user.newest = max(user.newest, row.created_at)
    user.streamed = user.streamed or inserted


def anomaly_figures(user: User, row: Row, settings: Anomaly) -> dict[str, Number] | None:
    """The same for anomaly."""
    past = user.amounts[-settings.history :]
    n, total, amount = len(past), sum(past), row.cents
    assert amount is not None
    if n < settings.minimum or not settings.over_floor(amount, settings.floor):
        return None
    if settings.sigma:
        excess = amount * n - total  # n times the distance from the mean
        spread = n * sum(each * each for each in past) - total * total  # n squared times the variance
        unusual = excess > 0 and settings.over_mean(excess * excess, settings.factor**2 * spread)
    else:
        unusual = settings.over_mean(amount * n, settings.factor * total)
    return {"n": n, "sum": total, "earlier": len(user.amounts)} if unusual else None


def velocity_figures(user: User, row: Row, settings: Velocity) -> dict[str, Number] | None:
    """The same for velocity."""
    time = row.created_at
    assert time is not None
    newest = max(user.newest, time)
    edge = max(time - settings.window, newest - settings.window - settings.lateness)
    if settings.after_edge is operator.ge:
        edge -= 1
    count = 1 + max(0, bisect_right(user.times, time) - bisect_right(user.times, edge))
    score = settings.surcharge.get(row.card_type or "", 0)
    if count > settings.more_than:
        score += settings.count_score
    if settings.over_amount(row.cents, settings.amount_over):
        score += settings.amount_score
    return {"count": count, "score": score} if settings.over_score(score, settings.score_over) else None
