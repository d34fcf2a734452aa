"""Records of a topic as packed rows: those that enter a rule's histories by bucket, and counts of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from fraudstream.cdc.blocks import Block, Patterns, read_block
from fraudstream.cdc.cards import Cards
from fraudstream.cdc.matching import ENTRIES
from fraudstream.masking import Mask
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.exact import Integers
from fraudstream.streams.buckets import bucket_ids, buckets_of
from fraudstream.streams.columnar.pack import pack_buckets
from fraudstream.wire.records import Records

COUNTS = ("read", *ENTRIES)
SCHEMA = "bucket int, packed binary, " + ", ".join(f"{name} long" for name in COUNTS)
"""Of Spark: a bucket's rows, and counts of records by entry, which stand in rows without a bucket."""
_ARROW = pa.schema([("bucket", pa.int32()), ("packed", pa.binary()), *((name, pa.int64()) for name in COUNTS)])
# Rows that are packed at once. With 32,000, which stay in a core's cache, a row took 1.7 us from fetch to value, with
# 250,000 it took 1.9; but each value takes 40 us, so that a bucket must have rows enough.
_PACKED, _PACKED_OF_BUCKET, _MOST_PACKED = 32_000, 200, 1_000_000
_patterns = Patterns()  # of this process: what it has learned serves its next task


@dataclass(frozen=True)
class Packing:
    """How records are packed: by which key, into how many buckets, which as many partitions share evenly."""

    key: str
    buckets: int
    partitions: int
    max_bytes: int
    mask: Mask | None


@dataclass(frozen=True)
class Part:
    """Some records of one partition."""

    partition: int
    records: Records
    moved: Integers | None = None
    """Whether each is half of a key change; None: as the headers in the records say."""


def takes_packed_rows(rule: Rule) -> bool:
    """Whether the rule has state and no corrections. The others need rows, or changes, in Spark."""
    return not rule.stateless and rule.corrections == "off"


def packed_batches(parts: Iterable[Part], packing: Packing) -> Iterator[pa.RecordBatch]:
    """The packed rows of each bucket, then the counts: batches of SCHEMA."""
    counts = dict.fromkeys(COUNTS, 0)
    at_once = min(max(_PACKED, _PACKED_OF_BUCKET * packing.buckets), _MOST_PACKED)
    for partition, own in groupby(parts, key=lambda part: part.partition):
        cards, blocks, waiting = Cards(), list[Block](), 0
        for part in own:
            block = read_block(part.records, _patterns, cards, packing.max_bytes, packing.mask, part.moved)
            counts["read"] += len(part.records)
            for name, number in block.counts.items():
                counts[name] += number
            blocks.append(block)
            waiting += len(block.columns["offset"])
            if waiting >= at_once:
                yield _packed(packing, blocks, partition, cards)
                blocks, waiting = [], 0
        if waiting:
            yield _packed(packing, blocks, partition, cards)
    if counts["read"]:
        yield _batch([(None, None)], counts)


def _packed(packing: Packing, blocks: list[Block], partition: int, cards: Cards) -> pa.RecordBatch:
    columns: dict[str, Integers] = {
        name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns
    }
    places = buckets_of(columns[packing.key], packing.buckets)
    ids = bucket_ids(packing.buckets, packing.partitions)
    found = [(ids[place], value) for place, value in pack_buckets(columns, partition, places, cards.texts)]
    return _batch(found, dict.fromkeys(COUNTS, 0))


def _batch(rows: list[tuple[int, bytes]] | list[tuple[None, None]], counts: Mapping[str, int]) -> pa.RecordBatch:
    """The rows, each with these counts."""
    buckets, values = zip(*rows, strict=True)
    numbers = (pa.array([counts[name]] * len(rows), pa.int64()) for name in COUNTS)
    return pa.RecordBatch.from_arrays(
        [pa.array(buckets, pa.int32()), pa.array(values, pa.binary()), *numbers], schema=_ARROW
    )
