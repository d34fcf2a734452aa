"""The ledger: written line by line, read tolerantly at its end and strictly elsewhere."""

from __future__ import annotations

import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.input.ledger import Ledger, read_ledger

INSERT = ["c", 1, 1000, "12.34", "VISA", 17, "2026-11-23T06:41:51.123456"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "ledger.jsonl"


def written(path, *transactions):
    ledger = Ledger(path)
    for outcome, changes in transactions:
        ledger.append(outcome, changes)
    ledger.close()


def test_what_was_appended_is_read_back(path):
    written(path, ("committed", [INSERT, ["d", 1]]))
    written(path, ("unknown", [["u", *INSERT[1:]]]), ("committed", [["t"]]))
    found = list(read_ledger(path))
    assert [(each.outcome, each.changes) for each in found] == [
        ("committed", [INSERT, ["d", 1]]), ("unknown", [["u", *INSERT[1:]]]), ("committed", [["t"]]),
    ]  # fmt: skip
    assert all(1.7e9 < each.at < 5e9 for each in found)


def test_a_line_is_in_the_file_as_soon_as_append_returns(path):
    ledger = Ledger(path)
    ledger.append("committed", [INSERT])
    assert len(list(read_ledger(path))) == 1
    ledger.close()


def test_a_torn_last_line_is_left_out_and_said(path, capsys):
    written(path, ("committed", [INSERT]), ("committed", [["d", 1]]))
    path.write_bytes(path.read_bytes()[:-5])
    assert [each.changes for each in read_ledger(path)] == [[INSERT]]
    assert "line 2 is torn" in capsys.readouterr().err
    said = []
    list(read_ledger(path, said.append))
    assert len(said) == 1


def test_a_broken_line_elsewhere_is_an_error_that_names_it(path):
    written(path, ("committed", [INSERT]))
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(FraudstreamError, match="line 1 is no transaction"):
        list(read_ledger(path))


def test_nothing_is_appended_behind_a_torn_line(path):
    written(path, ("committed", [INSERT]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FraudstreamError, match="torn line"):
        Ledger(path)


def test_a_ledger_that_cannot_be_opened_is_said_in_one_line(tmp_path):
    with pytest.raises(FraudstreamError, match="--ledger"):
        Ledger(tmp_path)
    with pytest.raises(FraudstreamError, match="No such file"):
        list(read_ledger(tmp_path / "none"))
