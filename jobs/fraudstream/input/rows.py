"""Rows to insert, as columns: the form that profiles make and writers take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ROW = np.dtype(
    [("user_id", "i8"), ("cents", "i8"), ("card", "i1"), ("merchant_id", "i8"), ("at", "i8"), ("kind", "i1")]
)
"""A row: `card` is an index into CARD_TYPES, `at` microseconds since the run's start, `kind` one into KINDS."""

CARD_TYPES = ("VISA", "MASTERCARD", "AMEX")
KINDS = ("", "burst", "card_testing", "amount_jump", "compromised_merchant")
"""Kinds of injected fraud; 0 is an honest transaction."""

NAN_CENTS = np.iinfo(np.int64).min
"""The amount NaN, which numeric(10,2) NOT NULL takes."""

# Times that are not relative to the start. Rows with DEFAULT_TIME stand in batches of their own.
DEFAULT_TIME, NULL_TIME, YEAR_2999, YEAR_1969 = (np.iinfo(np.int64).min + n for n in range(4))
_ABSOLUTE = {YEAR_2999: "2999-12-31T23:59:59.000000", YEAR_1969: "1969-12-31T23:59:59.999999"}

RowArray = npt.NDArray[np.void]


def make_rows(
    user_id: npt.ArrayLike,
    cents: npt.ArrayLike,
    card: npt.ArrayLike,
    merchant_id: npt.ArrayLike,
    at: npt.ArrayLike = DEFAULT_TIME,
    kind: npt.ArrayLike = 0,
) -> RowArray:
    """Rows from columns; a scalar stands for all rows."""
    rows: RowArray = np.zeros(len(np.atleast_1d(np.asarray(user_id))), ROW)
    for name, values in zip(ROW.names or (), (user_id, cents, card, merchant_id, at, kind), strict=True):
        rows[name] = values
    return rows


def amount_text(cents: int) -> str:
    """'12.34', or 'NaN'."""
    if cents == NAN_CENTS:
        return "NaN"
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def time_texts(at: npt.NDArray[np.int64], start: np.datetime64) -> list[str | None]:
    """ISO times with six digits and no zone; None for NULL_TIME. `start` is what `at` counts from."""
    special = at <= YEAR_1969
    known = np.datetime_as_string(start.astype("M8[us]") + np.where(special, 0, at), unit="us").tolist()
    if special.any():
        for place in np.flatnonzero(special).tolist():
            known[place] = _ABSOLUTE.get(int(at[place]))
    return known  # type: ignore[no-any-return]
