"""The command line's manners: one line per error, exit codes, colour, and a progress line."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NoReturn, TextIO

from fraudstream.errors import FraudstreamError

ProgressMode = Literal["auto", "plain", "none"]
PROGRESS_MODES: tuple[ProgressMode, ...] = ("auto", "plain", "none")
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and exit with its code: 2 after an error that `complain` puts in one line, 130 after Ctrl-C.

    A reader that went away (`... | head`) ends the process quietly.
    """
    try:
        code = main() or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end, and would report the same broken pipe then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        complain(error)
        code = 2
    sys.exit(code)


def complain(error: Exception) -> None:
    """Say in one line on stderr what a user or the system around us caused: a FraudstreamError, the operating system's,
    PostgreSQL's or Kafka's errors. Raises any other error again: a mistake of the program keeps its trace."""
    if isinstance(error, FraudstreamError):
        text = str(error)
    elif isinstance(error, OSError):
        text = _of_system(error)
    elif isinstance(error, _loaded("psycopg2", "Error")):
        text = f"PostgreSQL: {' '.join(str(error).split()) or type(error).__name__}; `make status` shows what runs."
    elif isinstance(error, _loaded("confluent_kafka", "KafkaException")):
        said = error.args[0].str() if error.args and hasattr(error.args[0], "str") else str(error)
        text = f"Kafka: {' '.join(said.split())}; `make status` shows what runs."
    else:
        raise error
    print(paint("error:", "red", sys.stderr), text, file=sys.stderr)


def _of_system(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'a disk'}: {what}; make room (`df -h` shows where) and try again."
    if error.filename is None:
        return f"{what}; try again when the cause is gone."
    return f"{error.filename}: {what}; see to this file or folder and try again."


def _loaded(module: str, name: str) -> tuple[type[BaseException], ...]:
    """An error's type if its package has been imported, as whoever raised it has done; none of them is needed here."""
    found = sys.modules.get(module)
    return (getattr(found, name),) if found else ()


def colour_wanted(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """True when `stream` is a terminal that shows colours, and NO_COLOR is not set."""
    variables = os.environ if environment is None else environment
    return stream.isatty() and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour (red, green, yellow, blue, magenta, cyan, dim, bold), plain where none is wanted."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colour_wanted(stream or sys.stdout) else text


class ProgressLine:
    """One line on `stream` that tells how far a job is: rewritten in place on a terminal, else a line now and then."""

    def __init__(self, mode: ProgressMode = "auto", stream: TextIO | None = None, plain_seconds: float = 5.0) -> None:
        self._stream = stream or sys.stderr
        self._in_place = mode == "auto" and self._stream.isatty()
        self._every = {"none": float("inf")}.get(mode, 0.2 if self._in_place else plain_seconds)
        self._shown = time.monotonic() if not self._in_place else float("-inf")

    def show(self, text: Callable[[], str]) -> None:
        """Show `text()` if it is time to; it is not called otherwise."""
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        self._shown = now
        if self._in_place:
            width = max(20, shutil.get_terminal_size().columns - 1)
            self._stream.write(f"\r\x1b[2K{text()[:width]}")
        else:
            self._stream.write(f"{text()}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that other output starts at the margin."""
        if self._in_place:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()


@contextlib.contextmanager
def progress_line(mode: ProgressMode = "auto", stream: TextIO | None = None) -> Iterator[ProgressLine]:
    """A progress line that is gone afterwards."""
    line = ProgressLine(mode, stream)
    try:
        yield line
    finally:
        line.clear()
