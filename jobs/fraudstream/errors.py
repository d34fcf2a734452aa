"""Errors that a user can cause and mend. Their text says what was found, what is allowed and the next step."""

from __future__ import annotations

import re
from typing import Literal

# The headings of docs/operations.md that say what to do.
Runbook = Literal[
    "access-denied",
    "alerts-over-budget",
    "canary-late",
    "checkpoint-damaged",
    "checkpoint-gone",
    "checkpoint-in-use",
    "checkpoint-mismatch",
    "connect-down",
    "connector-failed",
    "connector-missing",
    "connector-paused",
    "database-restored",
    "disk-full",
    "disk-low",
    "driver-dead",
    "driver-frozen",
    "heartbeat-stale",
    "history-gone",
    "kafka-down",
    "metrics-gone",
    "offset-gone",
    "postgres-down",
    "quarantine-growing",
    "query-behind",
    "query-failed",
    "records-gone",
    "records-unaccounted",
    "replica-identity",
    "rows-unjudged",
    "rule-record",
    "slot-ahead",
    "slot-inactive",
    "slot-lost",
    "slot-near-cap",
    "small-files",
    "table-damaged",
    "table-in-use",
    "topic-flattened",
    "topic-key",
    "topic-missing",
    "topic-replaced",
    "version-border",
    "wrong-versions",
]


# Frames of Java's traces, and operators of a query's plan.
_NO_REASON = ("at ", "+- ", ":- ")


def head_of(text: str) -> str:
    """What went wrong: the first line, and of a Python trace the last, which names the error, or the Java error that it
    is of."""
    lines = [line.strip() for line in text.split("SQLSTATE")[0].splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NO_REASON)]
    causes = [line.removeprefix(": ") for line in lines if line.startswith(": ")]
    return " ... ".join(dict.fromkeys([lines[0], (causes or lines)[-1]]))[:600] if lines else "no reason given"


# What Spark's and Java's errors say, and the runbook that it calls for; the first one counts.
_SIGNS: tuple[tuple[str, Runbook], ...] = (
    ("No space left on device", "disk-full"),
    ("KAFKA_DATA_LOSS", "records-gone"),
    ("Some data may have been lost", "records-gone"),
    ("OffsetOutOfRange", "records-gone"),
    ("AuthorizationException", "access-denied"),
    ("SaslAuthenticationException", "access-denied"),
    ("UnknownTopicOrPartition", "topic-missing"),
    ("not present in metadata", "topic-missing"),
    ("STREAMING_CHECKPOINT", "checkpoint-damaged"),
    ("STATE_STORE", "checkpoint-damaged"),
    ("Incomplete log file", "checkpoint-damaged"),
    ("Failed to read log file", "checkpoint-damaged"),
)

_NAMED = re.compile(r"\[docs/operations\.md: ([a-z-]+)\]")


def with_runbook(text: str) -> str:
    """The error's text, with the name of the runbook if one is known."""
    own = _NAMED.search(text)  # by a GuardError in a Python worker, whose end the head may have lost
    found = own[1] if own else next((runbook for sign, runbook in _SIGNS if sign in text), None)
    head = _NAMED.sub("", head_of(text)).rstrip()
    return f"{head} [docs/operations.md: {found}]" if found else head


class FraudstreamError(Exception):
    """A user's mistake or a missing condition; the command line prints its text alone and exits with 2."""


class ConfigError(FraudstreamError):
    """A configuration or rules file that cannot be used; the text names file and line."""


class StackError(FraudstreamError):
    """A component of the local stack that cannot start, answer or stop."""


class GuardError(FraudstreamError):
    """A start refused because going on could lose, double or change results silently; its text ends with the name of
    the runbook."""

    def __init__(self, text: str, runbook: Runbook) -> None:
        super().__init__(f"{text} [docs/operations.md: {runbook}]")
        self.runbook = runbook
