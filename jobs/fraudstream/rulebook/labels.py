"""Labels as an input of a rule: which transactions were confirmed as fraud, and since when that is known."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np

from fraudstream.rulebook.exact import Integers
from fraudstream.stack.settings import REPOSITORY

NEVER = 2**62  # a time later than any
_HEADER = ["transaction_id", "labelled_at"]
_ID = re.compile(r"-?\d{1,18}", re.ASCII)
_MAX_BYTES = 64 * 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Labels:
    """Confirmed frauds by ascending transaction id, and the times (microseconds) at which they were confirmed.

    A table of labels is one version of them and does not change: its digest is part of the version of the rule that
    uses it, so that other labels are another rule version, whose beginning is recorded like any change of parameters.
    """

    ids: tuple[int, ...] = ()
    times: tuple[int, ...] = ()
    file: str = field(default="", compare=False)  # as the parameter names it

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the ids and times, in hex."""
        return hashlib.sha256(repr((self.ids, self.times)).encode()).hexdigest()

    def times_of(self, ids: Integers) -> Integers:
        """When each transaction was confirmed; NEVER for those that were not."""
        known, times = self._columns
        if not len(known):
            return np.full(len(ids), NEVER)
        place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[place] == ids, times[place], NEVER)

    @cached_property
    def _columns(self) -> tuple[Integers, Integers]:
        return np.array(self.ids, dtype=np.int64), np.array(self.times, dtype=np.int64)


def read_labels(name: str) -> Labels:
    """The labels of a CSV file (transaction_id,labelled_at in ISO 8601, UTC unless it says otherwise); a relative name
    is one in the repository. A transaction that stands twice counts from its first time. Raises ValueError saying what
    is wrong."""
    path = REPOSITORY / Path(name)
    found: dict[int, int] = {}
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no file")
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"{path} has over {_MAX_BYTES} bytes")
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            if next(rows, None) != _HEADER:
                raise ValueError(f"{path} must begin with the line {','.join(_HEADER)}")
            for row in rows:
                number, time = _label(row, f"{path}, line {rows.line_num}")
                found[number] = min(time, found.get(number, NEVER))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    ids = tuple(sorted(found))
    return Labels(ids, tuple(found[number] for number in ids), name)


def _label(row: list[str], where: str) -> tuple[int, int]:
    try:
        number, text = row
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        if not _ID.fullmatch(number.strip()):
            raise ValueError(number)
        return int(number), (moment - _EPOCH) // timedelta(microseconds=1)
    except ValueError as error:
        raise ValueError(
            f"{where}: {','.join(row)[:80]!r} is no label; write one like 17,2026-03-01T12:00:00Z"
        ) from error
