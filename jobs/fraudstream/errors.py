"""Errors that a user can cause and mend. Their text says what was found, what is allowed and the next step."""

from __future__ import annotations


def head_of(text: str) -> str:
    """What went wrong: the first line, and of a Python worker's trace the last, which names the error."""
    lines = [line.strip() for line in text.split("SQLSTATE")[0].splitlines() if line.strip()]
    return " ... ".join(dict.fromkeys([lines[0], lines[-1]]))[:600] if lines else "no reason given"


class FraudstreamError(Exception):
    """A user's mistake or a missing condition; the command line prints its text alone and exits with 2."""


class ConfigError(FraudstreamError):
    """A configuration or rules file that cannot be used; the text names file and line."""


class StackError(FraudstreamError):
    """A component of the local stack that cannot start, answer or stop."""


class GuardError(FraudstreamError):
    """A start refused because going on could lose, double or change results silently."""
