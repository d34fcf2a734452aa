"""Command-line options that the Spark jobs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from fraudstream.config import PIPELINE_FILE


def job_parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser with --config, and an example below its help."""
    parser = argparse.ArgumentParser(
        description=description, epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=PIPELINE_FILE, help="another pipeline.yaml")
    return parser


def names(text: str) -> list[str]:
    """A comma-separated list, each name once."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    for name in found:
        if found.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{name!r} stands there more than once; name it once.")
    return found


def choices(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """A parser of comma-separated names, each one of `allowed`."""

    def parse(text: str) -> list[str]:
        found = names(text)
        for name in found:
            if name not in allowed:
                close = get_close_matches(name, allowed, 1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}.{hint}")
        return found

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}.")
        return int(text)

    return parse
