"""Which bucket of users a row belongs to, such that every shuffle partition holds as many buckets."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

_M = 0xFFFFFFFF


def bucket_of(key: str, buckets: int, partitions: int) -> Column:
    """The bucket id of the row's `key` column: an int that Spark's hash partitioning spreads evenly."""
    ids = F.array(*(F.lit(number) for number in bucket_ids(buckets, partitions)))
    return F.element_at(ids, F.pmod(F.hash(key), F.lit(buckets)) + 1)


def bucket_ids(buckets: int, partitions: int) -> list[int]:
    """`buckets` int32 numbers of which each of `partitions` hash partitions gets the same share.

    groupBy(bucket) hashes the number again, and two consecutive numbers may well fall into one partition, which
    leaves a core idle; so the numbers are chosen by Spark's own partitioning function.
    """
    share = buckets // partitions
    held: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
    number = 0
    while any(len(numbers) < share for numbers in held.values()):
        numbers = held[spark_hash(number) % partitions]
        if len(numbers) < share:
            numbers.append(number)
        number += 1
    return [numbers[index] for index in range(share) for numbers in held.values()]


def spark_hash(number: int) -> int:
    """Spark's hash of one int column: Murmur3 x86 32 bit, seed 42 (Murmur3_x86_32.hashInt), as a signed int."""
    mixed = _rotate(number * 0xCC9E2D51 & _M, 15) * 0x1B873593 & _M
    h = (_rotate(42 ^ mixed, 13) * 5 + 0xE6546B64) & _M
    h ^= 4
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> shift)) * factor) & _M
    h ^= h >> 16
    return h - (1 << 32) if h >= 1 << 31 else h


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _M
