"""Which bucket of users a row belongs to, such that every shuffle partition holds as many buckets."""

from __future__ import annotations

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.rulebook.exact import NULL, Integers

_M = 0xFFFFFFFF
_SEED = 42


def bucket_of(key: str, buckets: int, partitions: int) -> Column:
    """The bucket id of the row's `key` column: an int that Spark's hash partitioning spreads evenly."""
    ids = F.array(*(F.lit(number) for number in bucket_ids(buckets, partitions)))
    return F.element_at(ids, F.pmod(F.hash(key), F.lit(buckets)) + 1)


def buckets_of(keys: Integers, buckets: int) -> Integers:
    """The same for int64 keys (NULL for null), as places in `bucket_ids`."""
    words = keys.view(np.uint64)
    low, high = (words & np.uint64(_M)).astype(np.uint32), (words >> np.uint64(32)).astype(np.uint32)
    hashed = _with_length(_folded(_folded(np.full(len(keys), _SEED, dtype=np.uint32), low), high), 8)
    result: Integers = np.where(keys == NULL, _SEED, hashed.view(np.int32)) % buckets
    return result


def bucket_ids(buckets: int, partitions: int) -> list[int]:
    """`buckets` int32 numbers of which each of `partitions` hash partitions gets the same share.

    groupBy(bucket) hashes the number again, and two consecutive numbers may well fall into one partition, which
    leaves a core idle; so the numbers are chosen by Spark's own partitioning function.
    """
    share = buckets // partitions
    count = 2 * buckets + 64
    while True:
        place = hashes_of(np.arange(count)) % partitions
        held = [np.flatnonzero(place == partition)[:share].tolist() for partition in range(partitions)]
        if all(len(numbers) == share for numbers in held):
            return [numbers[index] for index in range(share) for numbers in held]
        count *= 2


def hashes_of(numbers: Integers) -> Integers:
    """Spark's hashes of ints: Murmur3 x86 32 bit, seed 42 (Murmur3_x86_32.hashInt)."""
    words = numbers.astype(np.uint32)
    hashes: Integers = _with_length(_folded(np.full(len(words), _SEED, dtype=np.uint32), words), 4).view(np.int32)
    return hashes


def _folded(hashes: Integers, words: Integers) -> Integers:
    """The hashes after one more word each (uint32)."""
    mixed = _rotated(words * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
    return _rotated(hashes ^ mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _with_length(hashes: Integers, size: int) -> Integers:
    """The hashes of so many bytes, finished."""
    hashes = hashes ^ np.uint32(size)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashes = (hashes ^ (hashes >> np.uint32(shift))) * np.uint32(factor)
    return hashes ^ (hashes >> np.uint32(16))


def _rotated(words: Integers, bits: int) -> Integers:
    return words << np.uint32(bits) | words >> np.uint32(32 - bits)
