"""Where a micro-batch of the columnar source begins and ends, as Spark's own Kafka source would cut it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence

from fraudstream.errors import GuardError
from fraudstream.wire.client import Address
from fraudstream.wire.reading import Range

Offsets = Mapping[int, int]
# Records that cost as much as the task that reads them does by itself, 20 ms.
_WORTH_A_TASK = 10_000


def limited(start: Offsets, end: Offsets, most: int) -> dict[int, int]:
    """Ends of a batch that takes at most about so many offsets, of each partition as large a share as it has of all;
    none starves."""
    sizes = {partition: max(end[partition] - start.get(partition, 0), 0) for partition in end}
    total = sum(sizes.values())
    if total <= most:
        return dict(end)
    return {
        partition: start.get(partition, 0) + min(size, _share(most * size / total)) for partition, size in sizes.items()
    }


def _share(exact: float) -> int:
    return math.ceil(exact) if exact < 1 else math.floor(exact)


def require_growth(topic: str, start: Offsets, end: Offsets, known: int | None = None) -> None:
    """Raises GuardError if a partition has gone, or ends before the query's position: records were lost, or the topic
    is another one."""
    for partition, offset in start.items():
        if end.get(partition, -1) < offset:
            found = f"ends at {end[partition]}" if partition in end else "is gone"
            raise GuardError(
                f"{topic}-{partition}: the query has come to offset {offset}, but the partition {found}: its records "
                "were lost, or the topic was deleted and made anew.",
                "records-gone",
            )


def ranges(
    topic: str, topic_id: uuid.UUID, leaders: Mapping[int, Address | None], start: Offsets, end: Offsets, tasks: int
) -> list[list[Range]]:
    """The offsets to read, as equal work for at most so many tasks, and no more than are worth it: the largest part
    first to who has least."""
    found = [
        Range(topic, topic_id, partition, start.get(partition, 0), end[partition], leaders.get(partition))
        for partition in end
        if end[partition] > start.get(partition, 0)
    ]
    worth = -(-_total(found) // _WORTH_A_TASK)
    work: list[list[Range]] = [[] for _ in range(min(tasks, len(found), worth))]
    for each in sorted(found, key=_size, reverse=True):
        min(work, key=_total).append(each)
    return work


def _size(part: Range) -> int:
    return part.end - part.start


def _total(parts: Sequence[Range]) -> int:
    return sum(map(_size, parts))
