"""What was measured, a line each in one file for all plans: it only grows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream.bench.measured import code
from fraudstream.durable import append_line


@dataclass(frozen=True)
class Results:
    """The file of results. Each has a `key`, the `code` that it is of, and the time `at` which it was there."""

    file: Path

    def current(self) -> dict[str, dict[str, Any]]:
        """The newest result of each key, by key, of the code as it is now; without those taken back."""
        now = code()
        newest = {line["key"]: line for line in _lines(self.file) if line["code"] == now}
        return {key: line for key, line in newest.items() if not line.get("forgotten")}

    def add(self, result: Mapping[str, Any]) -> None:
        """Keep one more; it is on the disk when this returns."""
        append_line(self.file, json.dumps({**result, "at": round(time.time())}))

    def forget(self, keys: Sequence[str]) -> None:
        """Take back what was measured of these, of the code as it is now. Their lines stay."""
        known = self.current()
        for key in keys:
            if key in known:
                self.add({"key": key, "code": known[key]["code"], "forgotten": True})


def is_done(result: Mapping[str, Any]) -> bool:
    """Whether it need not be tried again: it was run, and nothing is wrong with it."""
    if "found" in result:
        return not result["found"]["failures"]
    return not (result.get("absent") or result["failed"]) and bool(result.get("equal", True))


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The results in the file; a line cut short by a kill is passed over."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
