"""conf/health.yaml: from where on a figure is a finding."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fraudstream import documents
from fraudstream.errors import ConfigError
from fraudstream.stack.settings import REPOSITORY

LIMITS_FILE = REPOSITORY / "conf" / "health.yaml"
_MOST = 2**63


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What each means stands in the file."""

    disk_free_bytes: int
    slot_inactive_s: int
    slot_left_percent: int
    heartbeat_s: int
    behind_s: int
    silent_s: int
    quarantined: int
    unjudged: int
    small_files: int
    canary_s: int


def load_limits(changes: Mapping[str, str] | None = None, path: Path = LIMITS_FILE) -> Limits:
    """The limits of the file, with `changes` to some. Raises ConfigError naming the key and what is allowed."""
    found = documents.load(path, "put the file back")
    names = [field.name for field in fields(Limits)]
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: it must be a mapping with the keys {', '.join(names)}.")
    _require_known(found, names, str(path))
    _require_known(changes or {}, names, "--limit")
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)} is missing; add it, a whole number.")
    values = {name: _whole(found[name], f"{path}: {name}") for name in names}
    return Limits(**values | {name: _whole(text, f"--limit {name}") for name, text in (changes or {}).items()})


def limit(text: str) -> tuple[str, str]:
    """NAME=VALUE as two."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, like disk_free_bytes=1000000000.")
    return name.strip(), value.strip()


def _require_known(found: Mapping[Any, Any], names: list[str], where: str) -> None:
    for key in found:
        if key not in names:
            close = get_close_matches(str(key), names, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{where}: unknown limit {key!r}.{hint} Allowed are {', '.join(names)}.")


def _whole(value: Any, what: str) -> int:
    text = "" if isinstance(value, bool) else str(value)
    if not text.isascii() or not text.isdigit() or int(text) >= _MOST:
        raise ConfigError(f"{what} is {documents.shown(value)}; it must be a whole number from 0 on.")
    return int(text)
