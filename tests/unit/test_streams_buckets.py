from __future__ import annotations

import numpy as np
import pytest

from fraudstream.rulebook.exact import NULL
from fraudstream.streams.buckets import bucket_ids, buckets_of, hashes_of


def test_the_hash_of_an_int_is_the_one_that_spark_computes():
    # SELECT hash(0), hash(1), hash(42) in Spark 4.2.
    assert hashes_of(np.array([0, 1, 42])).tolist() == [933211791, -559580957, 29417773]


@pytest.mark.parametrize(("buckets", "partitions"), [(8, 2), (16, 4), (64, 8), (3, 3), (1, 1)])
def test_every_shuffle_partition_holds_as_many_buckets(buckets: int, partitions: int):
    ids = bucket_ids(buckets, partitions)
    held = (hashes_of(np.array(ids)) % partitions).tolist()
    assert len(set(ids)) == buckets
    assert {held.count(partition) for partition in range(partitions)} == {buckets // partitions}


def test_the_bucket_of_a_key_is_the_one_that_spark_puts_it_into():
    # SELECT pmod(hash(bigint(key)), 1000003) in Spark 4.2; the hash of null is the seed.
    hashes = np.array([-1670924195, -1712319331, 1316951768, 42])
    assert buckets_of(np.array([0, 1, 42, NULL]), 1_000_003).tolist() == (hashes % 1_000_003).tolist()
