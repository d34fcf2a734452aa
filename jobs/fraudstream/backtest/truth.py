"""What is known of transactions at a moment: fraud, honest or unknown, by labels that become visible with a delay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fraudstream.arrow import TIME, integers_of, micros_of
from fraudstream.backtest.source import History, Ints
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.labels import Labels
from fraudstream.triage import tables
from fraudstream.triage.desk import CONFIRMED, LABELS
from fraudstream.triage.times import to_micros

FRAUD, HONEST, UNKNOWN = 1, 0, -1
Unlabelled = Literal["honest", "unknown"]
_NEEDED = ("transaction_id", "labelled_at")
_ANY_KIND = "fraud"  # of a label that names none


class Label(NamedTuple):
    """A judgement of a transaction, known since `at` (microseconds). Frauds of one `kind` and `episode` (a stolen card,
    a terminal that copies cards) belong together; None where that is not known."""

    transaction_id: int
    label: str
    at: int
    kind: str | None = None
    episode: int | None = None


@dataclass(frozen=True)
class Truth:
    """By place in a history: FRAUD, HONEST or UNKNOWN, the kind as an index into `kinds` (0: none), and the number of
    the fraud's episode (0: no fraud)."""

    state: npt.NDArray[np.int8]
    kind: Ints
    episode: Ints
    kinds: tuple[str, ...]


def known(labels: Sequence[Label], moment: int | None) -> list[Label]:
    """The labels that were visible at a moment (None: all)."""
    return [label for label in labels if moment is None or label.at <= moment]


def confirmed(labels: Sequence[Label]) -> Labels:
    """The confirmed frauds as a rule takes them: each visible from its first label on."""
    times: dict[int, int] = {}
    for label in labels:
        if label.label == CONFIRMED:
            times[label.transaction_id] = min(label.at, times.get(label.transaction_id, label.at))
    ids = sorted(times)
    return Labels(tuple(ids), tuple(times[number] for number in ids))


def truth_at(
    history: History, labels: Sequence[Label], moment: int | None, unlabelled: Unlabelled, delay: int
) -> Truth:
    """What was known of each row at a moment. Of a transaction's labels the newest counts, of two at the same time the
    confirmed one. One without a label is unknown; with `unlabelled` honest it is honest once it is `delay`
    microseconds old, when a label would have come."""
    newest: dict[int, Label] = {}
    for label in sorted(known(labels, moment), key=lambda label: (label.at, label.label == CONFIRMED)):
        newest[label.transaction_id] = label
    rows = history.rows
    state = np.full(rows, UNKNOWN, dtype=np.int8)
    if unlabelled == "honest":
        old = np.ones(rows, dtype=bool) if moment is None else history.batch["created_at"] <= moment - delay
        state[old] = HONEST
    places = history.places(newest)
    there = places >= 0
    found = [label for label, is_there in zip(newest.values(), there.tolist(), strict=True) if is_there]
    places = places[there]
    state[places] = [FRAUD if label.label == CONFIRMED else HONEST for label in found]
    kinds = ("", *dict.fromkeys(kind for kind in map(_kind, found) if kind))
    kind, episode = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    kind[places] = [kinds.index(_kind(label)) for label in found]
    users = history.batch["user_id"][places].tolist()
    numbers: dict[Any, int] = {}
    for place, label, user in zip(places.tolist(), found, users, strict=True):
        if label.label == CONFIRMED:
            case = (label.kind, label.episode, None if label.episode is not None else user)
            episode[place] = numbers.setdefault(case, len(numbers) + 1)
    return Truth(state, kind, episode, kinds)


def _kind(label: Label) -> str:
    return label.kind or (_ANY_KIND if label.label == CONFIRMED else "")


def labels_of_lake(folder: str) -> list[Label]:
    """The labels that people gave."""
    return [
        Label(row["transaction_id"], row["label"], to_micros(row["labelled_at"]))
        for row in tables.rows(folder, "labels")
    ]


def labels_of_file(path: Path) -> list[Label]:
    """The labels of a Parquet or CSV file: transaction_id and labelled_at, and if it has them label (confirmed or
    dismissed; without it all are confirmed), kind and episode. Raises FraudstreamError for a file that is none."""
    table = _read(path)
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise FraudstreamError(
            f"{path}: there is no column {missing[0]}; a file of labels has {', '.join(_NEEDED)}, and may have label, "
            "kind and episode."
        )
    try:
        ids, times = table["transaction_id"].cast(pa.int64()), table["labelled_at"].cast(TIME)
        if ids.null_count or times.null_count:
            raise FraudstreamError(f"{path}: a label without a transaction_id or labelled_at; give each both.")
        columns: dict[str, list[Any]] = {
            "label": _texts(table, "label", CONFIRMED), "kind": _texts(table, "kind", None),
            "episode": table["episode"].cast(pa.int64()).to_pylist() if "episode" in table.column_names
            else [None] * len(table),
        }  # fmt: skip
    except pa.ArrowException as error:
        raise FraudstreamError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    wrong = sorted({str(label) for label in columns["label"]} - set(LABELS))
    if wrong:
        raise FraudstreamError(f"{path}: a label is {wrong[0]!r}; it must be {' or '.join(LABELS)}.")
    return list(
        map(Label, integers_of(ids).tolist(), columns["label"], micros_of(times).tolist(), columns["kind"],
            columns["episode"])
    )  # fmt: skip


def _read(path: Path) -> pa.Table:
    try:
        return pa_csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        first = " ".join(str(error).split())[:200]
        raise FraudstreamError(
            f"{path}: cannot be read ({first}); --labels takes a Parquet or CSV file, `lake` or `none`."
        ) from error


def _texts(table: pa.Table, name: str, default: str | None) -> list[str | None]:
    if name not in table.column_names:
        return [default] * len(table)
    return list(table[name].cast(pa.string()).to_pylist())


def counts(labels: Sequence[Label], moment: int | None) -> Mapping[str, int]:
    """How many labels of each kind were visible, and how many were not yet."""
    seen = known(labels, moment)
    by_label = {name: sum(label.label == name for label in seen) for name in LABELS}
    return {**by_label, "later": len(labels) - len(seen)}
