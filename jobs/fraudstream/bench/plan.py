"""What a run of the benchmark races: the systems on each data set, as often as asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from fraudstream.bench.dataset import EVENTS, FORMS, PROFILES, USERS, DataSet, Form, Profile
from fraudstream.bench.parts import PARTS, Part
from fraudstream.bench.systems import NAMES, QUICK, SYSTEMS

REPEATS = 3
# At the rates known so far three runs of each of QUICK take 17 minutes over 5,000,000 events, and 12 over these.
QUICK_EVENTS = 3_000_000
PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for; an empty sequence, or None, stands for the plan's own choice."""

    full: bool = False
    only: Sequence[str] = ()
    profiles: Sequence[Profile] = ()
    forms: Sequence[Form] = ()
    users: Sequence[int] = ()
    events: int | None = None
    repeats: int = REPEATS
    patience_s: float = PATIENCE_S
    """Seconds without an alert until a system is given up."""
    parts: Sequence[str] = ()
    """Of parts.PARTS, instead of the race."""
    fresh: bool = False
    """Whether what is there is measured again."""

    @property
    def everything(self) -> bool:
        """Whether it is a full run that asks for nothing else."""
        own = self.only or self.chooses_data or self.parts
        return self.full and not own and self.length == EVENTS and self.repeats == REPEATS

    @property
    def chooses_data(self) -> bool:
        """Whether data sets are asked for."""
        return bool(self.profiles or self.forms or self.users)

    @property
    def length(self) -> int:
        """Events of each topic."""
        return self.events or (EVENTS if self.full else QUICK_EVENTS)


@dataclass(frozen=True)
class Heat:
    """One system on one data set, once."""

    data: DataSet
    system: str
    repeat: int

    @property
    def key(self) -> str:
        """Tells it from all others of any plan."""
        return f"{self.data.topic} {self.system} {self.repeat}"


@dataclass(frozen=True)
class Step:
    """One step of a part."""

    part: Part
    name: str

    @property
    def key(self) -> str:
        """Tells it from all others of any plan."""
        return f"{self.part.name}: {self.name}"


def steps(options: Options) -> list[Step]:
    """All steps of the parts: those asked for, or all of a full run that asks for nothing."""
    chosen = options.parts or (PARTS if options.everything else ())
    return [Step(PARTS[name], step) for name in chosen for step in PARTS[name].steps]


def planned(options: Options) -> list[Heat]:
    """All heats, none where parts are asked for. Systems and data sets take turns, so that an hour in which the machine
    is slow is nobody's alone."""
    return [
        Heat(data.shortened(SYSTEMS[name].most_events if name in SYSTEMS else None), name, repeat)
        for repeat in range(1, options.repeats + 1)
        for place, data in enumerate(data_sets(options))
        for name in _systems(options, is_first=place == 0)
    ]


def _systems(options: Options, *, is_first: bool) -> Sequence[str]:
    """Those raced on a data set. All of them on five would take 11 hours, and what a slow one loses on other data says
    little: a full run has all on the first data set, and on the others those of a quick one."""
    if options.only or options.parts:
        return options.only
    return NAMES if options.full and (is_first or options.chooses_data) else QUICK


def data_sets(options: Options) -> list[DataSet]:
    """Those asked for crossed with each other; of a full run that asks for none, one change at a time to the first."""
    if options.full and not options.chooses_data:
        first = DataSet(events=options.length)
        more = [DataSet(users=users, events=options.length) for users in USERS[1:]]
        forms = [DataSet(form=form, events=options.length) for form in FORMS[1:]]
        profiles = [DataSet(profile=profile, events=options.length) for profile in PROFILES[1:]]
        return [first, *forms, *more, *profiles]
    crossed = product(options.profiles or PROFILES[:1], options.forms or FORMS[:1], options.users or USERS[:1])
    return [DataSet(profile, form, users, options.length) for profile, form, users in crossed]
