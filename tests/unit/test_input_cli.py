"""The command line's manners."""

from __future__ import annotations

import io
import subprocess
import sys

import psycopg2
import pytest
from confluent_kafka import KafkaError, KafkaException

from fraudstream import cli
from fraudstream.errors import ConfigError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def code_of(main):
    with pytest.raises(SystemExit) as exit_:
        cli.run(main)
    return exit_.value.code


def raising(error):
    def main():
        raise error

    return main


def test_a_users_mistake_is_one_line_on_stderr_and_code_2(capsys):
    assert code_of(raising(ConfigError("conf/x.yaml: no such key."))) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: conf/x.yaml: no such key.\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "a disk: No space left on device; make room (`df -h`"),
        (OSError(28, "No space left on device", "run/x"), "run/x: No space left on device; make room"),
        (PermissionError(13, "Permission denied", "run"), "run: Permission denied; see to this file"),
        (TimeoutError("timed out"), "timed out; try again"),
        (psycopg2.OperationalError("connection to server failed\n\tIs it running?"),
         "PostgreSQL: connection to server failed Is it running?; `make status`"),
        (psycopg2.InterfaceError(), "PostgreSQL: InterfaceError; `make status`"),
        (KafkaException(KafkaError(KafkaError._TRANSPORT, "no broker")), "Kafka: no broker; `make status`"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_one_line_that_names_it(capsys, error, line):
    assert code_of(raising(error)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1


def test_the_shell_needs_neither_kafka_nor_postgresql():
    program = "import sys; from fraudstream import cli; print({'psycopg2', 'confluent_kafka'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_codes_are_the_jobs_own_and_130_after_ctrl_c():
    assert code_of(lambda: None) == 0
    assert code_of(lambda: 3) == 3
    assert code_of(raising(KeyboardInterrupt())) == 130


def test_a_reader_that_goes_away_is_no_error():
    program = "from fraudstream import cli\ncli.run(lambda: [print('x' * 1000) for _ in range(10000)] and 0)"
    command = f'{sys.executable} -c "{program.replace(chr(10), "; ")}" | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_that_is_no_users_mistake_keeps_its_trace():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 // 0)


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(stream, environment, wanted):
    assert cli.colour_wanted(stream, environment) is wanted


def test_the_progress_line_is_rewritten_on_a_terminal_and_gone_afterwards():
    stream = Terminal()
    with cli.progress_line("auto", stream) as line:
        line.show(lambda: "12 rows")
    assert stream.getvalue() == "\r\x1b[2K12 rows\r\x1b[2K"


def test_progress_is_lines_now_and_then_where_no_terminal_is():
    stream = io.StringIO()
    line = cli.ProgressLine("auto", stream, plain_seconds=0.0)
    line.show(lambda: "12 rows")
    line.clear()
    assert stream.getvalue() == "12 rows\n"
    quiet = io.StringIO()
    cli.ProgressLine("none", quiet, plain_seconds=0.0).show(lambda: "12 rows")
    assert quiet.getvalue() == ""
