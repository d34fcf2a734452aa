"""What a gatherer of facts keeps between two looks, so that it reads only what is new."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fraudstream.check.observe import Progress
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.stack.queries import conserved, query_states, states_of
from fraudstream.stack.status import size
from fraudstream.streams import progress as files
from fraudstream.streams.manifest import made_of_topic
from fraudstream.streams.queries import ARCHIVE, SHADOW_ARCHIVE

RECENT_S = 600.0
_KEPT = 10_000  # batches: more than one a second makes in two hours
_DROPPED = ("redelivered", "superseded", "not_kept", "uncorrected")


@dataclass
class Memory:
    """Batches read so far, and the newest versions of the lake's tables with what they hold."""

    batches: dict[str, tuple[int | None, int, Progress]] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    alerts: dict[str, Any] = field(default_factory=dict)

    def queries(self, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
        """By name of every query that has left a trace: state (queries.states_of), told (what its driver said last),
        topic, made_of (the id of the topic that its checkpoint was made with, None: unknown), position (next offset by
        partition, behind the last committed batch), damaged (why its checkpoint cannot be read, None: it can), batches,
        read, parts, holds (queries.conserved), dropped (changes of rows that a rule ignored, by reason), last_at (epoch
        seconds), batch_s, state_bytes, checkpoint_bytes, recent_unreadable and recent_unjudged (of the last ten
        minutes)."""
        told = query_states(pipeline.progress)[1]
        states = states_of(Path(pipeline.progress), Path(pipeline.checkpoints))
        topics = {ARCHIVE: pipeline.kafka.alerts_topic, SHADOW_ARCHIVE: pipeline.kafka.shadow_topic}
        return {
            name: {
                "state": state,
                "told": told.get(name, ""),
                "topic": topics.get(name, pipeline.kafka.transactions_topic),
                **_checkpoint(pipeline.checkpoint(name)),
                "checkpoint_bytes": size(Path(pipeline.checkpoint(name))),
                **self._batches(pipeline, name),
            }
            for name, state in states.items()
        }

    def _batches(self, pipeline: Pipeline, name: str) -> dict[str, Any]:
        found = self._progress(Path(pipeline.progress, f"{name}.jsonl"))
        found.update()
        found.forget(_KEPT)
        begin, duration = time.time() - RECENT_S, found.last.get("duration_ms")
        return {
            "batches": found.batches,
            **conserved(found.sums, "judged" in found.sums),
            "dropped": {reason: found.sums[reason] for reason in _DROPPED if reason in found.sums},
            "last_at": found.last.get("at"),
            "batch_s": None if duration is None else duration / 1000,
            "state_bytes": found.last.get("state_bytes"),
            "recent_unreadable": found.recent("unreadable", begin),
            "recent_unjudged": found.recent("unjudged", begin),
        }

    def _progress(self, path: Path) -> Progress:
        """What is known of the file, anew if it is another one: its query was started over."""
        try:
            stat = path.stat()
            file, length = stat.st_ino, stat.st_size
        except OSError:
            file, length = None, 0
        former, seen, found = self.batches.get(path.stem, (None, 0, Progress(path)))
        if former != file or length < seen:  # a deleted file's number may be given to the next one
            found = Progress(path)
        self.batches[path.stem] = file, length, found
        return found


def _checkpoint(checkpoint: str) -> dict[str, Any]:
    found: dict[str, Any] = {"made_of": None, "position": {}, "damaged": None}
    try:
        files.planned(checkpoint)  # a batch that was begun is read again by the next start
        return found | {"made_of": made_of_topic(checkpoint), "position": files.by_number(files.position(checkpoint))}
    except OSError:
        return found  # a file that Spark is just removing
    except (FraudstreamError, ValueError, TypeError, AttributeError) as error:
        # Each of these files has its name only when it is whole, so this is none that is being written.
        return found | {"damaged": f"{checkpoint} has a file that cannot be read: {error}"}
