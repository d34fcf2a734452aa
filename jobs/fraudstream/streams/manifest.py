"""What a checkpoint was made with, and the refusal to go on with anything else."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO

from fraudstream.errors import GuardError
from fraudstream.masking import SETTING, Mask

FILE = "fraudstream.json"
_held: dict[Path, IO[str]] = {}


def claim_checkpoint(checkpoint: str, made_with: Mapping[str, str | int], free: Collection[str] = ()) -> str:
    """Lock a local checkpoint for this process and return its generation, an id that lives and dies with it.

    `made_with` is stored at the first start. Raises GuardError when another driver holds the checkpoint, or when it
    was made with other values: state laid out for these would silently give other alerts. Those of the names in `free`
    may have changed since.
    """
    folder = Path(checkpoint)
    hold_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if path.exists():
        stored: dict[str, str | int] = json.loads(path.read_text(encoding="utf-8"))
        if "topic_id" in made_with and "topic_id" not in stored:  # made before ids were kept
            stored["topic_id"] = made_with["topic_id"]
            _write(path, stored)
        _refuse_changes(folder, stored, made_with, {"generation", *free})
        return str(stored["generation"])
    if (folder / "offsets").exists():
        raise GuardError(
            f"{folder}: a checkpoint without its {FILE}, so what it was made with is unknown. "
            "Put the file back, or start over with --reset.",
            "checkpoint-damaged",
        )
    generation = str(uuid.uuid4())
    _write(path, {"generation": generation, **made_with})
    return generation


def masked_with(mask: Mask | None) -> dict[str, str]:
    """What a checkpoint says of the key that its user ids are masked with; nothing if they are not."""
    return {} if mask is None else {SETTING: f"key {mask.fingerprint}"}


def require_mask(checkpoint: str, mask: Mask | None) -> None:
    """Raises GuardError if what the query of this checkpoint wrote has its user ids masked in another way."""
    path = Path(checkpoint, FILE)
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        _refuse_changes(path.parent, stored, masked_with(mask), stored.keys() - {SETTING})


def require_topic(checkpoint: str, topic: str, topic_id: str) -> None:
    """Raises GuardError if the offsets of this checkpoint are of another topic: one of another name, or one of the same
    name that was deleted since. One made before ids were kept says nothing of them."""
    path = Path(checkpoint, FILE)
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        now = {"topic": topic, "topic_id": topic_id}
        _refuse_changes(path.parent, stored, now, stored.keys() ^ now.keys())


def made_of_topic(checkpoint: str) -> str | None:
    """The id of the topic that the checkpoint was made with; None if it does not say."""
    path = Path(checkpoint, FILE)
    found = json.loads(path.read_text(encoding="utf-8")).get("topic_id") if path.exists() else None
    return None if found is None else str(found)


def _write(path: Path, made_with: Mapping[str, str | int]) -> None:
    written = path.with_suffix(".json.new")
    written.write_text(json.dumps(made_with, indent=1), encoding="utf-8")
    written.rename(path)


def is_new(checkpoint: str) -> bool:
    """Whether no query has run on this checkpoint yet."""
    return not (Path(checkpoint) / FILE).exists()


def hold_checkpoint(checkpoint: str) -> None:
    """Lock the checkpoint for this process. Raises GuardError when another driver has it."""
    if not _hold(Path(checkpoint)):
        raise GuardError(
            f"{checkpoint}: another driver is running on this checkpoint. Two would write each result twice; "
            "stop the other one first, or give this one a folder of its own (checkpoints in conf/pipeline.yaml).",
            "checkpoint-in-use",
        )


def hold_table(path: str) -> None:
    """Lock a Delta table for this process. Raises GuardError when another process that asks so writes it."""
    if not _hold(Path(path)):
        raise GuardError(
            f"{path}: another process writes this table. On a file system the commit of one can replace that of the "
            "other without an error; stop the other one first, or give this one a lake of its own.",
            "table-in-use",
        )


def _hold(folder: Path) -> bool:
    """Whether the folder's lock, a file beside it that ends with the process, is this process's."""
    if folder in _held:
        return True
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = (folder.parent / f".{folder.name}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _held[folder] = file
    return True


def _refuse_changes(
    folder: Path, stored: Mapping[str, str | int], made_with: Mapping[str, str | int], free: Collection[str]
) -> None:
    for name in sorted({**made_with, **stored}.keys() - free):  # the topic's name before its id
        before, now = (each.get(name, "not set") for each in (stored, made_with))
        if before != now and name == "topic_id":
            raise GuardError(
                f"{folder}: topic {stored['topic']} was deleted and made anew since this checkpoint was made (its id "
                f"was {before} and is {now}), so the offsets here are of other records. Bring the old topic back, or "
                f"start the query over from the beginning of the new one with --reset {folder.name}.",
                "topic-replaced",
            )
        if before != now:
            raise GuardError(
                f"{folder}: this checkpoint was made with {name} = {before}, now it is {now}. "
                f"Set {name} back, or start the query over from the beginning of the topic with --reset {folder.name}.",
                "checkpoint-mismatch",
            )
