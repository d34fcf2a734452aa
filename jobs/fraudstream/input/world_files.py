"""The labelled world as Parquet files: its transactions, and what became known of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.arrow import TIME, decimals
from fraudstream.errors import FraudstreamError
from fraudstream.input.rows import CARD_TYPES
from fraudstream.input.world import FRAUDS, KINDS, Size, World, payments, people, together, with_frauds
from fraudstream.input.world_oddities import oddities

Say = Callable[[str], None]


def make_world(size: Size, seed: int, handbook_only: bool = False, say: Say = lambda text: None) -> World:
    """The world of a seed. The handbook's rows are the same with the oddities and without."""
    say(f"{size.customers:,} customers and {size.terminals:,} terminals")
    who = people(size, seed)
    say(f"payments of {size.days} days")
    honest = payments(size, seed, who)
    say(f"frauds among {len(honest.rows):,} payments")
    handbook = with_frauds(size, seed, honest)
    return handbook if handbook_only else together([handbook, *oddities(size, seed, who)])


def transactions_table(world: World, start: int) -> pa.Table:
    """The rows with ids from 1 in the order of time; users and merchants (terminals) from 1. `start`: the first day in
    microseconds since 1970."""
    rows = world.rows
    return pa.table(
        {
            "id": np.arange(1, len(rows) + 1),
            "user_id": rows["user_id"] + 1,
            "amount": decimals(rows["cents"]),
            "card_type": pa.array(CARD_TYPES).take(pa.array(rows["card"])),
            "merchant_id": rows["merchant_id"] + 1,
            "created_at": pa.array(rows["at"] + start, TIME),
        }
    )


def labels_table(world: World, start: int, delay: int) -> pa.Table:
    """A label for each fraud (confirmed) and each honest payment that looks like one (dismissed), known `delay`
    microseconds after the payment, with its kind and its episode. Any other payment has none: it is honest."""
    places = np.flatnonzero(world.rows["kind"])
    kinds = world.rows["kind"][places]
    is_fraud = np.isin(kinds, [KINDS.index(kind) for kind in FRAUDS])
    return pa.table(
        {
            "transaction_id": places + 1,
            "label": pa.array(np.where(is_fraud, "confirmed", "dismissed")),
            "labelled_at": pa.array(world.rows["at"][places] + start + delay, TIME),
            "by": pa.array(["simulator"] * len(places)),
            "kind": pa.array(KINDS).take(pa.array(kinds)),
            "episode": world.episode[places],
        }
    )


def write_world(home: Path, world: World, start: int, delay: int, made_with: dict[str, Any]) -> dict[str, Any]:
    """Write transactions.parquet, labels.parquet and world.json (`made_with` and the counts) into `home`; the content
    of world.json. Raises FraudstreamError if that fails."""
    kinds = np.bincount(world.rows["kind"], minlength=len(KINDS)).tolist()
    frauds = sum(kinds[KINDS.index(kind)] for kind in FRAUDS)
    summary = {
        **made_with,
        "transactions": len(world.rows),
        "fraud": frauds,
        "fraud_share": round(frauds / max(1, len(world.rows)), 6),
        "kinds": dict(zip(KINDS[1:], kinds[1:], strict=True)),
    }
    try:
        home.mkdir(parents=True, exist_ok=True)
        pq.write_table(transactions_table(world, start), home / "transactions.parquet")
        pq.write_table(labels_table(world, start, delay), home / "labels.parquet")
        (home / "world.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise FraudstreamError(f"{home}: cannot be written ({error}); name another folder with --home.") from error
    return summary
