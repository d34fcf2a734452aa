"""A line that is added stands alone, whatever stood before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.durable import append_line, is_torn


@pytest.mark.parametrize("durably", [True, False])
@pytest.mark.parametrize(
    ("before", "torn", "after"),
    [
        (None, False, b"new\n"),
        (b"", False, b"new\n"),
        (b"old\n", False, b"old\nnew\n"),
        (b"old\nol", True, b"old\nol\nnew\n"),
        ("ö".encode()[:1], True, b"\xc3\nnew\n"),
    ],
)
def test_a_line_never_joins_one_that_was_cut_short(
    tmp_path: Path, before: bytes | None, torn: bool, after: bytes, durably: bool
):
    path = tmp_path / "lines"
    if before is not None:
        path.write_bytes(before)
    assert is_torn(path) is torn
    append_line(path, "new", durably=durably)
    assert path.read_bytes() == after
    assert not is_torn(path)
