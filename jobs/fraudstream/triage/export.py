"""Confirmed frauds as the CSV file that rules and backtests take as `labels` (rulebook.labels)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.triage.desk import CONFIRMED, Label, in_order
from fraudstream.triage.times import to_time


def confirmed_since(labels: Iterable[Label], at: int | None) -> dict[int, int]:
    """The transactions whose newest label until `at` (None: of all) is confirmed, with the time since when it is: that
    of the first such label that no other kind followed."""
    found: dict[int, int] = {}
    for label in in_order(labels):
        if at is not None and label.at > at:
            continue
        if label.label == CONFIRMED:
            found.setdefault(label.transaction_id, label.at)
        else:
            found.pop(label.transaction_id, None)
    return dict(sorted(found.items()))


def write_csv(path: Path, confirmed: Mapping[int, int]) -> None:
    """Write the file in one piece. Raises FraudstreamError where it cannot be written."""
    lines = [f"{number},{to_time(at).isoformat()}\n" for number, at in confirmed.items()]
    written = path.with_name(f"{path.name}.new")
    try:
        written.write_text("transaction_id,labelled_at\n" + "".join(lines), encoding="utf-8")
        written.replace(path)
    except OSError as error:
        raise FraudstreamError(f"{path}: cannot be written ({error.strerror}); name another file.") from error
