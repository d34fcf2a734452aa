"""Files that are on the disk, whole, when they have their name, and files of whole lines."""

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


def append_line(path: Path, line: str, *, durably: bool = True) -> None:
    """Add a line to a file, whose folder must exist. One that its writer's end has cut short is ended first, so that
    this one does not join it. Not `durably`, it outlives the process but not the machine."""
    text = ("\n" if is_torn(path) else "") + line + "\n"
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        if durably:
            os.fsync(file.fileno())


def is_torn(path: Path) -> bool:
    """Whether the file is there and ends in the middle of a line."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def sync_folder(folder: Path) -> None:
    """A name is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
