"""The benchmark's own broker, on ports of its own beside whatever runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudstream.stack import kafka
from fraudstream.stack.processes import forget, process_of
from fraudstream.stack.settings import StackSettings, free_ports, load_settings


def own_settings(home: Path) -> StackSettings:
    """Of a stack in `home` without passwords, on ports that are free now."""
    return load_settings(home, free_ports(), {**os.environ, "STACK_PROFILE": "open"})


@contextmanager
def broker(settings: StackSettings) -> Iterator[None]:
    """A broker alone, on the data of the last run; that of a run which was killed is stopped first."""
    if process_of(settings, "kafka"):
        kafka.halt(settings)
    forget(settings, "kafka")
    settings.folder.mkdir(parents=True, exist_ok=True)
    try:
        kafka.launch(settings)
        kafka.wait_ready(settings)
        yield
    finally:
        kafka.halt(settings)
