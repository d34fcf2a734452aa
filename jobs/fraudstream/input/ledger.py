"""The ledger: what a producer committed, a line of JSON per database transaction. For checks of what came of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from fraudstream.durable import is_torn
from fraudstream.errors import FraudstreamError

Outcome = Literal["committed", "unknown"]


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    """A database transaction: its outcome ("unknown": the connection ended during COMMIT), changes, and epoch seconds.

    A change is ["c" or "u", id, user_id, amount, card_type, merchant_id, created_at] with the row's values after it,
    amount as text ("12.34", "NaN"), created_at as ISO text without zone; ["d", id]; or ["t"] for a truncate.
    """

    outcome: Outcome
    changes: list[list[Any]]
    at: float


class Ledger:
    """A ledger open for appending. `inserted`: rows that its transactions have inserted. Raises FraudstreamError when
    the file cannot be written, or ends in a torn line."""

    def __init__(self, path: Path) -> None:
        self.inserted = 0
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            torn = is_torn(path)
        except OSError as error:
            raise FraudstreamError(f"ledger {path}: {error.strerror}; name another file with --ledger.") from None
        if torn:
            self.close()
            raise FraudstreamError(
                f"ledger {path} ends in a torn line (its writer was killed), and what follows would hide that; "
                "name another file with --ledger."
            )

    def append(self, outcome: Outcome, changes: list[list[Any]]) -> None:
        """Add a transaction; it is in the file when this returns."""
        line = json.dumps({"outcome": outcome, "changes": changes, "at": time.time()}, separators=(",", ":"))
        with self._lock:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            if outcome == "committed":
                self.inserted += sum(change[0] == "c" for change in changes)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_ledger(path: Path, on_torn: Callable[[str], None] | None = None) -> Iterator[LedgerTransaction]:
    """The transactions of a ledger, in order of their commits as far as one writer goes.

    A torn last line is left out, and said on stderr (or to `on_torn`). Raises FraudstreamError for a file that cannot
    be read and for any other line that is no transaction.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    text = f"ledger {path}, line {number} is torn ({len(line)} bytes without an end); it is left out."
                    (on_torn or _say)(text)
                    return
                yield _parsed(line, path, number)
    except OSError as error:
        raise FraudstreamError(f"ledger {path}: {error.strerror}.") from None


def _parsed(line: bytes, path: Path, number: int) -> LedgerTransaction:
    try:
        found = json.loads(line)
        return LedgerTransaction(found["outcome"], found["changes"], found["at"])
    except (ValueError, KeyError, TypeError):
        raise FraudstreamError(
            f"ledger {path}, line {number} is no transaction: {line[:60]!r}; expected outcome, changes and at."
        ) from None


def _say(text: str) -> None:
    print(text, file=sys.stderr)
