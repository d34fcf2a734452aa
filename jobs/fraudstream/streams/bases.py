"""The bases of a query's states (rulebook.past): files in its checkpoint, never changed once they are there."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from pyspark.sql import SparkSession

from fraudstream.durable import sync_folder, write_durably
from fraudstream.errors import GuardError

_OWN_FOLDERS = 4  # of an epoch, a bucket, a rule, and all of a checkpoint


@dataclass(frozen=True)
class FolderBases:
    """Bases of one state, each a file of `folder`. A state counts a fold a batch, and one more for each version of a
    rule that begins in it: none of the last `retained` batches needs one replaced four times as many folds ago."""

    folder: str
    retained: int
    is_read_only: bool = False
    """Holds what it would write, and leaves all files as they are."""
    least_rows: int = 16_384
    """Fewer are no burden to a state value."""
    small_batch: int = 64
    """Batches of more than this part of the rows would make a base of every few of them."""
    held: dict[str, bytes] = field(default_factory=dict, compare=False)

    def of(self, *parts: str | int) -> FolderBases:
        """Those in a folder below."""
        return replace(self, folder=str(Path(self.folder, *map(str, parts))))

    def is_due(self, kept: int, arriving: int) -> bool:
        """Whether a state of so many rows should keep them in a base when so many arrive."""
        return kept >= max(self.least_rows, self.small_batch * arriving)

    def read(self, name: str) -> memoryview:
        """The bytes of the base. Raises GuardError when it is gone or damaged."""
        held = self.held.get(name)
        return memoryview(_opened(str(Path(self.folder, name))) if held is None else held)

    def write(self, folds: int, value: bytes) -> str:
        """Keep a base, on the disk when this returns; its name, the same for the same bytes at as many folds."""
        name = f"{folds}-{_digest(value)}"
        path = Path(self.folder, name)
        if self.is_read_only:
            self.held[name] = value
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_durably(path, value)
        # Also of one that is there: the task that wrote it may have ended before.
        for folder in [*path.parents][:_OWN_FOLDERS]:
            sync_folder(folder)
        return name

    def delete(self, replaced: Sequence[tuple[int, str]], folds: int) -> list[tuple[int, str]]:
        """Delete the bases (folds at which they were replaced, name) that no retained state has any more at so many
        folds; the others."""
        left = [(at, name) for at, name in replaced if at + 4 * self.retained >= folds]
        if not self.is_read_only:
            for at, name in replaced:
                if (at, name) not in left:
                    Path(self.folder, name).unlink(missing_ok=True)
        return left


def bases_of(spark: SparkSession, checkpoint: str, rule: str) -> FolderBases:
    """Those of the rule in its query's checkpoint, in a folder for each bucket and in it for each epoch."""
    retained = int(spark.conf.get("spark.sql.streaming.minBatchesToRetain") or 0)
    return FolderBases(str(Path(checkpoint, "bases", rule).absolute()), retained)


def _opened(path: str) -> mmap.mmap:
    """The file's bytes; mapped anew each time, since what is mapped keeps its room on the disk after it is deleted."""
    try:
        _verify(path)
        with Path(path).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: empty
        raise _unfit(path, f"not there ({error})") from error


@lru_cache(maxsize=10_000)
def _verify(path: str) -> None:
    """Once for each process: a base of 8 MB takes 5 ms, as much as a batch's fold."""
    if _digest(Path(path).read_bytes()) != path.rsplit("-", 1)[1]:
        raise _unfit(path, "damaged")


def _unfit(path: str, how: str) -> GuardError:
    return GuardError(
        f"{path}: this part of a checkpoint is {how}, and histories with it. Put the checkpoint back from a copy, or "
        "start its rules over with --reset.",
        "checkpoint-damaged",
    )


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:32]
