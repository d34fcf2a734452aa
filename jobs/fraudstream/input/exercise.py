"""The course exercise's rows: everything uniform, no fraud, created_at left to the database."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fraudstream.input.rows import CARD_TYPES, RowArray, make_rows

BATCH_SIZE = 1000
PAUSE_SECONDS = 0.5
_BLOCK = 10_000


def rows(seed: int) -> Iterator[RowArray]:
    """Blocks of rows without end: user_id 1000..9999, amount 5.00..5000.00, merchant_id 1..500."""
    random = np.random.default_rng([seed, 1])
    while True:
        yield make_rows(
            random.integers(1000, 10_000, _BLOCK),
            random.integers(500, 500_001, _BLOCK),
            random.integers(0, len(CARD_TYPES), _BLOCK),
            random.integers(1, 501, _BLOCK),
        )
