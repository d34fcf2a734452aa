"""The search for secrets finds one that was planted, in each kind of place, and names where."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from base64 import b64encode
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from fixtures.leaks import command_lines, files, leaks, messages, rows
from fraudstream.check.topic import Record

SECRET = "0f3c9a5be1d24786a0c2b4e6f8193d57"
SECRETS = {"other": "not-planted-anywhere", "capture": SECRET}


def test_a_secret_in_a_file_is_found_below_any_folder_but_the_one_where_it_belongs(tmp_path: Path):
    for name in ("secrets", "logs", "data/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"\xff\0password=" + SECRET.encode() + b"\0")
    (tmp_path / "logs" / "clean").write_text("nothing here")
    found = leaks(SECRETS, files(tmp_path / "logs", tmp_path / "data"))
    assert found == [("capture", str(tmp_path / "logs/file")), ("capture", str(tmp_path / "data/deep/file"))]
    everywhere = {place for _, place in leaks(SECRETS, files(tmp_path, but=tmp_path / "secrets"))}
    assert everywhere == {place for _, place in found}


def test_a_secret_in_a_compressed_archive_is_found_by_the_name_of_its_member(tmp_path: Path):
    path = tmp_path / "7.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("OPTIONS", f"{SECRET} {SECRET}")
        archive.writestr("CURRENT", "MANIFEST")
    assert SECRET.encode() not in path.read_bytes()
    assert leaks(SECRETS, files(tmp_path)) == [("capture", f"{path}: OPTIONS")]


@pytest.mark.parametrize(
    "planted",
    [["a", f"x{SECRET}x"], [b"a", b"\xff" + SECRET.encode()], [[{"k": ""}], [{"k": SECRET}]]],
    ids=["text", "bytes", "nested"],
)
def test_a_secret_in_a_row_of_a_parquet_file_is_found_though_the_file_is_compressed(tmp_path: Path, planted: list):
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"column": planted}), path, compression="gzip", write_statistics=False)
    assert SECRET.encode() not in path.read_bytes()
    assert leaks(SECRETS, files(tmp_path)) == [("capture", f"{path}: row 1")]


def test_a_secret_that_a_delta_table_has_no_more_is_found_in_its_earlier_version(tmp_path: Path):
    write_deltalake(tmp_path, pa.table({"id": [1, 2], "value": ["a", SECRET]}))
    DeltaTable(tmp_path).delete("id = 2")
    assert DeltaTable(tmp_path).to_pyarrow_table().to_pylist() == [{"id": 1, "value": "a"}]
    assert any(place.endswith(".parquet: row 1") for _, place in leaks(SECRETS, files(tmp_path)))


@pytest.mark.parametrize(
    ("planted", "where"),
    [
        ({"key": SECRET.encode()}, "key"),
        ({"value": b'{"database.password":"' + SECRET.encode() + b'"}'}, "value"),
        ({"headers": (("trace", b"a"), ("login", SECRET.encode()))}, "header"),
        ({"headers": ((SECRET, b""),)}, "header"),
    ],
    ids=["key", "value", "value-of-a-header", "name-of-a-header"],
)
def test_a_secret_is_found_in_each_part_of_a_message(planted: dict, where: str):
    clean = Record(1, 41, None, None, (), 0)
    record = Record(1, 42, b"{}", b"{}", (), 0)._replace(**planted)
    assert leaks(SECRETS, messages("connect-status", [clean, record])) == [("capture", f"connect-status-1-42: {where}")]


def test_a_secret_in_a_row_of_a_state_is_found():
    state = [{"key": {"bucket": 0}, "value": None}, {"key": {"bucket": 1}, "value": {"groupState": SECRET}}]
    assert leaks(SECRETS, rows("state of anomaly", state)) == [("capture", "state of anomaly: row 1")]


def test_a_secret_among_a_processs_words_is_found():
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", f"--password={SECRET}"], stdin=subprocess.PIPE
    )
    try:
        found = leaks(SECRETS, command_lines([psutil.Process(), psutil.Process(process.pid)]))
    finally:
        process.communicate()
    assert found == [("capture", f"command line of {process.pid}")]


def test_a_secret_in_the_header_of_a_basic_login_is_found():
    header = b"Authorization: Basic " + b64encode(f"fraudstream:{SECRET}".encode())
    assert leaks(SECRETS, [("log", header)]) == [("capture", "log")]
