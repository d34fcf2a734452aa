"""A run of a producer: options checked up front, batches written by schedule, whole ones only."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from fraudstream.cli import ProgressLine
from fraudstream.errors import FraudstreamError
from fraudstream.input import exercise, hot, realistic
from fraudstream.input.ledger import Ledger
from fraudstream.input.plan import Cut, Step, steps
from fraudstream.input.rows import RowArray
from fraudstream.input.writer import Totals, Writer

# Event times of realistic and hot advance at this pace when rows are written as fast as they go.
_NOMINAL_RATE = 2000.0
_LARGEST_BATCH = 100_000
# A batch is written when its last row is due: a slow rate takes smaller ones, so that something is written that often.
_LONGEST_WAIT_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A kind of input and its own settings, which options override."""

    summary: str
    rows: Callable[[int, float], Iterator[RowArray]]
    batch_size: int
    rate: float | None = 2000.0
    update_share: float = 0.0
    delete_share: float = 0.0
    mixed: bool = False


PROFILES = {
    "exercise": Profile(
        summary="the course exercise's: uniform rows, 1000 a batch, then 0.5 s of pause",
        rows=lambda seed, rate: exercise.rows(seed),
        batch_size=exercise.BATCH_SIZE,
        rate=None,
    ),
    "realistic": Profile(
        summary="10,000 customers with habits, about 1 % fraud of named kinds (ground truth in truth.frauds)",
        rows=realistic.rows,
        batch_size=200,
        update_share=0.01,
        delete_share=0.002,
    ),
    "hot": Profile(
        summary="few users on the edges of the rules, interleaved transactions, COPY: for checks",
        rows=hot.rows,
        batch_size=250,
        update_share=0.02,
        delete_share=0.005,
        mixed=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to write, and how long. None: the profile's own value, or no limit. Raises FraudstreamError if senseless."""

    profile: str = "exercise"
    seed: int = 0
    rate: float | None = None
    """Inserted rows per second, 0 for as fast as it goes."""
    batch_size: int | None = None
    update_share: float | None = None
    """Updates per inserted row."""
    delete_share: float | None = None
    copy: bool = False
    rows: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise FraudstreamError(f"--profile is {self.profile!r}; there are {', '.join(PROFILES)}.")
        for name, low, high, meaning in (
            ("seed", 0, 2**63, ""),
            ("rate", 0, 1e7, " rows/s; 0 is as fast as it goes"),
            ("batch_size", 1, _LARGEST_BATCH, " rows"),
            ("update_share", 0, 1, " updates per inserted row"),
            ("delete_share", 0, 1, " deletes per inserted row"),
            ("rows", 1, 2**31 - 1, ""),
            ("seconds", 0.001, 1e9, " s"),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                option = "--" + name.replace("_", "-")
                raise FraudstreamError(f"{option} is {value}; it must lie between {low:g} and {high:g}{meaning}.")


def planned(options: Options) -> Iterator[Step]:
    """The transactions of a run: the same for the same options (except `seconds`)."""
    profile = PROFILES[options.profile]
    rate = profile.rate if options.rate is None else options.rate
    cut = Cut(
        batch_size=options.batch_size or _batch_size(profile.batch_size, rate),
        update_share=_or(options.update_share, profile.update_share),
        delete_share=_or(options.delete_share, profile.delete_share),
        mixed=profile.mixed,
        copy=options.copy,
        rows=options.rows,
    )
    return steps(profile.rows(options.seed, rate or _NOMINAL_RATE), cut, options.seed)


def _batch_size(usual: int, rate: float | None) -> int:
    return min(usual, max(1, int(rate * _LONGEST_WAIT_S))) if rate else usual


def produce(
    dsn: str,
    options: Options,
    ledger: Ledger | None = None,
    stop: threading.Event | None = None,
    progress: ProgressLine | None = None,
) -> Totals:
    """Write until rows or seconds are reached or `stop` is set; whole batches only. Returns what was committed."""
    rate = PROFILES[options.profile].rate if options.rate is None else options.rate
    writer = Writer(dsn, ledger)
    began = time.monotonic()
    try:
        for step in paced(planned(options), rate, options.seconds, stop or threading.Event()):
            writer.write(step)
            if progress:
                progress.show(lambda: told(writer.totals, time.monotonic() - began))
    finally:
        writer.close()
    return writer.totals


def paced(work: Iterator[Step], rate: float | None, seconds: float | None, stop: threading.Event) -> Iterator[Step]:
    """The steps, each when it is due: the n-th row n/rate s after the start (0: at once; None: the exercise's pause).

    A late step does not shift the later ones. Ends when the next step is due after `seconds`, or when `stop` is set.
    """
    began = time.monotonic()
    deadline = began + (float("inf") if seconds is None else seconds)
    pause = exercise.PAUSE_SECONDS if rate is None else 0.0
    ended = began - pause
    rows = 0
    for step in work:
        rows += sum(len(each.inserts) for each in step)
        due = began + rows / rate if rate else ended + pause
        # The schedule's last step is due at the deadline itself; a second of grace lets a late one come in.
        if due > deadline + 1e-6 or time.monotonic() > deadline + (1 if rate else 0):
            return
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        yield step
        ended = time.monotonic()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the next one acts as it always does."""
    stop = threading.Event()
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        # On a thread of its own: the one that is interrupted may hold the event's lock, in wait.
        threading.Thread(target=stop.set, daemon=True).start()
        restore()

    for number in former:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


def told(totals: Totals, seconds: float) -> str:
    """The totals as a person reads them."""
    parts = [f"{totals.inserts:,} rows", f"{totals.inserts / max(seconds, 1e-9):,.0f}/s"]
    for number, name in ((totals.updates, "updates"), (totals.deletes, "deletes"), (totals.frauds, "frauds")):
        if number:
            parts.append(f"{number:,} {name}")
    return f"committed {', '.join(parts)} in {seconds:.1f} s"


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
