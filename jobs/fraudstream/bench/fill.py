"""python -m fraudstream.bench.fill: write some partitions of a data set to its topic."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from confluent_kafka import Producer

from fraudstream.bench.dataset import FORMS, PROFILES, Columns, DataSet, columns, key
from fraudstream.bench.messages import HEADERS, places_of, values

_ROWS = 20_000  # of one partition before it is the next one's turn
# As docker/connect's connector: batches of half a megabyte, lz4.
_PRODUCER = {
    "linger.ms": 20,
    "batch.size": 524_288,
    "batch.num.messages": 100_000,
    "compression.type": "lz4",
    "enable.idempotence": True,
    "queue.buffering.max.messages": 200_000,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write and wait until all is acknowledged. Raises KafkaException where the broker refuses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("--form", choices=FORMS, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--partitions", type=int, nargs="+", required=True)
    given = parser.parse_args(argv)
    data = DataSet(given.profile, given.form, given.users, given.events)
    write(Producer({"bootstrap.servers": given.bootstrap, **_PRODUCER}), data, columns(data), given.partitions)


def write(producer: Producer, data: DataSet, found: Columns, partitions: Sequence[int]) -> None:
    """Send the events of the partitions, in their order, a slice of each in turn."""
    places = [places_of(found, partition) for partition in partitions]
    for begin in range(0, max(map(len, places)), _ROWS):
        for partition, own in zip(partitions, places, strict=True):
            part = own[begin : begin + _ROWS]
            users = np.asarray(found.user_id[part]).tolist()
            for user, value in zip(users, values(found, part, data.form), strict=True):
                while True:
                    try:
                        producer.produce(data.topic, value, key(user), partition, headers=HEADERS)
                        break
                    except BufferError:
                        producer.poll(0.05)
    producer.flush()


if __name__ == "__main__":
    main()
