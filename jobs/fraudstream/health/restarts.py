"""What may be started again after a failure, when, and how often."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from fraudstream.errors import FraudstreamError, with_runbook

FIRST_S, LONGEST_S, TRIES, CALM_S = 1.0, 60.0, 8, 120.0
_NAMED = re.compile(r"\[docs/operations\.md: ([a-z-]+)\]")
# Runbooks of what may be over at the next try; every other one needs a person.
_PASSING = {"kafka-down", "topic-missing", "disk-full"}
_SIGNS = (
    ("password authentication failed", "connector-failed"),
    ("no longer available on the server", "slot-lost"),
    ("can no longer ", "slot-lost"),
    ("has been invalidated", "slot-lost"),
)
_TRANSIENT = (
    "TimeoutException", "timed out", "Connection refused", "Connection reset", "does not answer", "Disconnect",
    "NotLeaderOrFollower", "NotAvailableException", "NetworkException", "RetriableException", "kafka-down",
)  # fmt: skip


class Problem(NamedTuple):
    """Why a part does not work; `runbook` names what forbids to start it again, if something does."""

    text: str
    runbook: str | None


class Part(Protocol):
    """Something that can fail and be started again."""

    @property
    def name(self) -> str:
        """Its name in what is told."""

    def problem(self) -> Problem | None:
        """What is wrong with it now; None if nothing is."""

    def restart(self) -> None:
        """Start it again. Raises FraudstreamError or OSError if that fails."""


def problem(text: str) -> Problem:
    """A failure by what was said of it."""
    told = with_runbook(text)
    found = [name for name in _NAMED.findall(told) if name not in _PASSING]
    found += [runbook for sign, runbook in _SIGNS if sign in text]
    return Problem(told, found[0] if found else None)


def is_transient(text: str) -> bool:
    """Whether an error may be gone at the next try: something did not answer."""
    return any(sign in text for sign in _TRANSIENT) and problem(text).runbook is None


@dataclass
class _State:
    tries: int = 0
    due: float | None = None
    """When it is started again."""
    well_since: float | None = None
    stopped: str | None = None
    """Why it is not started again."""


@dataclass
class Restarts:
    """Starts parts again: after 1 s, 2 s, 4 s ... up to a minute, eight times without two calm minutes in between. What
    is forbidden, or fails more often, is left alone until it is well by itself. Each decision is told in one line."""

    say: Callable[[str], None]
    _states: dict[str, _State] = field(default_factory=dict)

    def step(self, parts: Iterable[Part], now: float) -> bool:
        """Look at each part and do what is due (`now` in seconds). Returns whether all are well."""
        return all([self._look(part, now) for part in parts])

    def told(self) -> dict[str, dict[str, Any]]:
        """The state of each part seen so far: running, waiting or stopped, its tries, and why it is stopped."""
        return {
            name: {
                "state": "stopped" if each.stopped else "waiting" if each.due is not None else "running",
                "tries": each.tries,
                "why": each.stopped,
            }
            for name, each in self._states.items()
        }

    @property
    def stopped(self) -> list[str]:
        """The parts that are left alone."""
        return [name for name, each in self._states.items() if each.stopped]

    def _look(self, part: Part, now: float) -> bool:
        state, found = self._states.setdefault(part.name, _State()), part.problem()
        if found is None:
            self._well(part.name, state, now)
            return True
        state.well_since = None
        if state.stopped:
            return False
        if found.runbook:
            self._stop(part.name, state, _forbidden(found))
        elif state.due is None:
            self._plan(part.name, state, found.text, now)
        elif now >= state.due:
            self._start(part, state)
        return False

    def _well(self, name: str, state: _State, now: float) -> None:
        if state.stopped or state.due is not None:
            self.say(f"{name}: well again")
        state.stopped = state.due = None
        state.well_since = now if state.well_since is None else state.well_since
        if now - state.well_since >= CALM_S:
            state.tries = 0

    def _plan(self, name: str, state: _State, text: str, now: float) -> None:
        if state.tries == TRIES:
            self._stop(name, state, f"{text}; given up after {TRIES} tries")
            return
        delay = min(LONGEST_S, FIRST_S * 2**state.tries)
        state.tries += 1
        state.due = now + delay
        self.say(f"{name}: {text}; starts again in {delay:.0f} s (try {state.tries} of {TRIES})")

    def _start(self, part: Part, state: _State) -> None:
        state.due = None
        try:
            part.restart()
        except (FraudstreamError, OSError) as error:
            found = problem(str(error))
            if found.runbook:
                self._stop(part.name, state, _forbidden(found))
            else:
                self.say(f"{part.name}: did not start: {found.text}")
        else:
            self.say(f"{part.name}: started again")

    def _stop(self, name: str, state: _State, why: str) -> None:
        state.stopped, state.due = why, None
        self.say(f"{name}: stopped: {why}")


def _forbidden(found: Problem) -> str:
    named = f"[docs/operations.md: {found.runbook}]"
    return f"{found.text}; it is not started again" + ("" if named in found.text else f" {named}")
