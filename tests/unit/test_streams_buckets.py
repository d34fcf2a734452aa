from __future__ import annotations

import pytest

from fraudstream.streams.buckets import bucket_ids, spark_hash


def test_the_hash_of_an_int_is_the_one_that_spark_computes():
    # SELECT hash(0), hash(1), hash(42) in Spark 4.2.
    assert [spark_hash(number) for number in (0, 1, 42)] == [933211791, -559580957, 29417773]


@pytest.mark.parametrize(("buckets", "partitions"), [(8, 2), (16, 4), (64, 8), (3, 3), (1, 1)])
def test_every_shuffle_partition_holds_as_many_buckets(buckets: int, partitions: int):
    ids = bucket_ids(buckets, partitions)
    held = [spark_hash(number) % partitions for number in ids]
    assert len(set(ids)) == buckets
    assert {held.count(partition) for partition in range(partitions)} == {buckets // partitions}
