"""The oracle for rules with corrections (docs/semantics.md, "Corrections"): one message at a time, slow and obvious."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fraudstream.cdc.envelope import Row
from fraudstream.check.oracle import (
    Anomaly,
    Arrival,
    Defined,
    HighAmount,
    Judgement,
    Number,
    Settings,
    User,
    Verdict,
    anomaly_figures,
    is_in_time,
    is_judgeable,
    velocity_figures,
)

CORRECTED_PARTS = ("judged", "history", "corrected", "unjudged", "unreadable")
_NEVER = -(2**63)


@dataclass
class Place:
    """A place in a user's order, and what stands there; `row` is None where it is empty."""

    id: int
    row: Row | None
    reach: int  # the greatest event time that it has had
    lsn: int
    judged: bool
    stands: bool = False  # whether its alert does
    revision: int = 0


@dataclass
class Places:
    """A user."""

    places: list[Place] = field(default_factory=list)
    newest: int = _NEVER
    streamed: bool = False

    def find(self, transaction_id: int, settings: Settings) -> Place | None:
        """The transaction's last place, if it is kept."""
        number = max((at for at, place in enumerate(self.places) if place.id == transaction_id), default=-1)
        if number < 0:
            return None
        place = self.places[number]
        if number >= len(self.places) - settings.remembered:
            return place
        return place if is_in_time(place.reach, self.newest, settings) else None

    def add(self, row: Row, lsn: int | None, judged: bool) -> Place:
        """A new place at the end."""
        assert row.created_at is not None
        place = Place(row.id, row, row.created_at, _NEVER if lsn is None else lsn, judged)
        self.places.append(place)
        self.newest = max(self.newest, place.reach)
        return place

    def judge(self, place: Place, settings: Settings) -> dict[str, Number] | None:
        """The figures of the alert on what stands at the place, seen from there."""
        number = next(at for at, each in enumerate(self.places) if each is place)
        row, before = place.row, self.places[:number]
        assert row is not None
        if isinstance(settings, HighAmount):
            return {} if settings.over_amount(row.cents, settings.over) else None
        if isinstance(settings, Anomaly):
            last = before[max(0, number - settings.history) :]
            return anomaly_figures(User(amounts=[each.row.cents for each in last if each.row]), row, settings)  # type: ignore[misc]
        newest = max(each.reach for each in self.places[: number + 1])
        if isinstance(settings, Defined):
            return settings.figures([each.row for each in before], row, newest)
        times = sorted(each.row.created_at for each in before if each.row)  # type: ignore[type-var, misc]
        return velocity_figures(User(times=times, newest=newest), row, settings)  # type: ignore[arg-type]


def judge_corrected(topic: Iterable[Arrival], settings: Settings, *, judge_snapshot: bool = False) -> Verdict:
    """As `judge_topic`; the alerts have a judgement for each message on them."""
    users: dict[int, Places] = defaultdict(Places)
    alerts: list[Judgement] = []
    parts = Counter(dict.fromkeys(CORRECTED_PARTS, 0))
    ignored: Counter[str] = Counter()
    for arrival in topic:
        if arrival.entry in ("unjudged", "unreadable"):
            parts[arrival.entry] += 1
            continue
        if arrival.entry in ("judge", "history"):
            outcome, judgement = _enter(arrival, settings, users, judge_snapshot)
            found = [judgement]
        elif arrival.name in ("update", "delete") or _is_half(arrival):
            outcome, found = _correct(arrival, settings, users)
        else:
            outcome, found = arrival.name, []
        alerts += filter(None, found)
        if outcome in CORRECTED_PARTS:
            parts[outcome] += 1
        else:
            ignored[outcome] += 1
    return Verdict(alerts, dict(parts), dict(ignored))


def _is_half(arrival: Arrival) -> bool:
    return arrival.name == "key_change" and arrival.event is not None and arrival.event.op in ("c", "d", "u")


def _enter(
    arrival: Arrival, settings: Settings, users: Mapping[int, Places], judge_snapshot: bool
) -> tuple[str, Judgement | None]:
    row, inserted = arrival.row, arrival.entry == "judge"
    user = users[row.user_id]
    if user.find(row.id, settings):
        return "redelivered", None
    if not inserted and user.streamed:
        return "superseded", None
    assert arrival.event is not None
    place = user.add(row, arrival.event.lsn, judged=inserted or judge_snapshot)
    user.streamed |= inserted
    if not place.judged:
        return "history", None
    figures = user.judge(place, settings)
    place.stands = figures is not None
    return "judged", None if figures is None else Judgement(arrival, figures)


def _correct(arrival: Arrival, settings: Settings, users: Mapping[int, Places]) -> tuple[str, list[Judgement | None]]:
    """What became of a change, and the judgements it made."""
    event, row = arrival.event, arrival.row
    assert event is not None
    new = row if event.op != "d" and is_judgeable(row, event.captured_ms) else None
    if event.lsn is None or (event.op == "u" and event.before is None):
        return "uncorrected", []
    joins = event.op == "c"
    if event.op == "u" and event.before and (event.before.id, event.before.user_id) != (row.id, row.user_id):
        gone = replace(row, id=event.before.id, user_id=event.before.user_id)
        left = replace(arrival, event=replace(event, row=gone))
        outcome, first = _change(left, gone, None, settings, users[gone.user_id], joins=False)
        second = _change(arrival, row, new, settings, users[row.user_id], joins=True)[1] if new else None
        return outcome, [first, second]
    outcome, judgement = _change(arrival, row, new, settings, users[row.user_id], joins=joins)
    return outcome, [judgement]


def _change(
    arrival: Arrival, row: Row, new: Row | None, settings: Settings, user: Places, *, joins: bool
) -> tuple[str, Judgement | None]:
    """Put `new` where the transaction of `row` stands; None leaves the place empty."""
    assert arrival.event is not None
    assert arrival.event.lsn is not None
    place = user.find(row.id, settings)
    if place is None:
        if not joins or new is None:
            return "not_kept", None
        user.add(new, arrival.event.lsn, judged=False)
        return "history", None
    if arrival.event.lsn <= place.lsn:
        return "redelivered", None
    place.row, place.lsn, place.revision = new, arrival.event.lsn, place.revision + 1
    if new is not None and new.created_at is not None:
        place.reach = max(place.reach, new.created_at)
        user.newest = max(user.newest, place.reach)
    stood, figures = place.stands, None
    if place.judged and new is not None:
        figures = user.judge(place, settings)
    place.stands = figures is not None
    if figures is not None:
        return "corrected", Judgement(arrival, figures, "amended" if stood else "open", place.revision)
    return "corrected", Judgement(arrival, {}, "withdrawn", place.revision) if stood else None
