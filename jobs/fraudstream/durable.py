"""Files that are on the disk, whole, when they have their name."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_durably(path: Path, value: bytes) -> None:
    """Write the file, or put it in the place of the one there; its folder, which must exist, is on the disk with it."""
    # Another process may be writing the same, on another machine.
    written = path.with_name(f".{path.name}.{uuid.uuid4()}")
    try:
        with written.open("wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        written.rename(path)
    finally:
        written.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A name is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
