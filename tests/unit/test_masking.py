"""Masked user ids: what they are is worked out here by hand, from SHA-256 alone."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.expected import captured
from fixtures.lake import change, write_table
from fixtures.masks import KEY, hmac_by_hand, key_file, masked_by_hand
from fraudstream import canary
from fraudstream.audit import rows
from fraudstream.cdc.envelope import read_change_event
from fraudstream.check.oracle import arrivals
from fraudstream.config import PIPELINE_FILE, load_pipeline
from fraudstream.errors import ConfigError, GuardError
from fraudstream.masking import Mask, mask_of, masked_id, masked_ids
from fraudstream.polling.rows import entering
from fraudstream.streams.manifest import claim_checkpoint, masked_with, require_mask
from fraudstream.streams.tables import TRANSACTIONS
from golden.topics import messages_of

INT64 = st.integers(-(2**63), 2**63 - 1).filter(lambda each: each != canary.USER)


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Mask:
    found = mask_of(str(key_file(tmp_path_factory.mktemp("secret"))))
    assert found
    return found


def test_the_hand_written_hmac_is_that_of_rfc_4231():
    """Test cases 1 and 2."""
    assert hmac_by_hand(b"\x0b" * 20, b"Hi There").hex() == (
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    )
    assert hmac_by_hand(b"Jefe", b"what do ya want for nothing?").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_an_id_is_masked_as_openssl_would(mask: Mask):
    # printf 1234567890 | openssl dgst -sha256 -mac HMAC -macopt hexkey:e05856...f2, its first 16 digits
    assert masked_id(1234567890, mask) == masked_by_hand(1234567890) == 0x94B76239F2638294 >> 1


@given(st.lists(INT64, min_size=1))
def test_a_column_has_for_each_id_what_hand_work_gives(mask: Mask, ids):
    found = masked_ids(np.array(ids, dtype=np.int64), mask)
    assert found.dtype == np.int64
    assert found.tolist() == [masked_by_hand(each) for each in ids] == [masked_id(each, mask) for each in ids]
    assert (found >= 0).all()


def test_distinct_ids_stay_distinct_and_an_empty_column_empty(mask: Mask):
    found = masked_ids(np.arange(-1000, 50_000), mask)
    assert len(np.unique(found)) == 51_000
    assert len(masked_ids(np.zeros(0, dtype=np.int64), mask)) == 0


def test_the_canary_is_nobody_and_keeps_its_id(mask: Mask):
    assert masked_id(-1, mask) == -1
    assert masked_ids(np.array([-1, 7]), mask).tolist() == [-1, masked_by_hand(7)]


# The key file


def pipeline_file(folder: Path, key: object, real_time: str = "false") -> Path:
    text = PIPELINE_FILE.read_text()
    assert 'masking_key_file: ""' in text
    assert "real_time_enabled: true" in text
    text = text.replace('masking_key_file: ""', f"masking_key_file: {key}")
    path = folder / "pipeline.yaml"
    path.write_text(text.replace("real_time_enabled: true", f"real_time_enabled: {real_time}"))
    return path


ENVIRONMENT = {"FRAUDSTREAM_HOME": "/data", "KAFKA_PORT": "9092"}


def test_the_shipped_configuration_masks_nothing():
    assert load_pipeline(environment=ENVIRONMENT).mask is None


def test_the_configuration_names_the_file_and_never_holds_the_key(tmp_path: Path):
    key_file(tmp_path)
    path = pipeline_file(tmp_path, "${SECRETS}/key")
    pipeline = load_pipeline(path, {**ENVIRONMENT, "SECRETS": str(tmp_path)})
    assert pipeline.masking_key_file == str(tmp_path / "key")
    assert pipeline.mask == Mask(str(tmp_path / "key"), pipeline.mask.fingerprint)
    shown = repr(pipeline).encode() + repr(pipeline.mask).encode() + pickle.dumps((pipeline, pipeline.mask))
    assert KEY not in shown
    assert KEY.hex().encode() not in shown


def test_a_relative_path_is_made_whole_for_workers_in_other_folders(tmp_path: Path, monkeypatch):
    key_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_pipeline(pipeline_file(tmp_path, "key"), ENVIRONMENT).masking_key_file == str(tmp_path / "key")


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        (KEY.hex(), 0o640, r"others may use .*key \(mode 0640\).*chmod 600 .*key"),
        (KEY.hex(), 0o604, r"mode 0604"),
        (KEY.hex()[:62], 0o600, r"must hold a key of at least 32 bytes as 64 or more hex digits.*openssl rand -hex 32"),
        (KEY.hex() + "0", 0o600, "64 or more hex digits"),
        (KEY.hex()[:-1] + "g", 0o600, "64 or more hex digits"),
        ("ab" * 513, 0o600, "64 or more hex digits"),
        ("", 0o600, "64 or more hex digits"),
    ],
)
def test_an_unfit_key_file_is_refused_and_its_text_not_shown(tmp_path: Path, text: str, mode: int, message: str):
    path = pipeline_file(tmp_path, key_file(tmp_path, text, mode))
    with pytest.raises(ConfigError, match=message) as error:
        load_pipeline(path, ENVIRONMENT)
    assert str(path) in str(error.value)
    assert not text or text[:32] not in str(error.value)


def test_a_key_may_end_in_a_line_end_and_its_owner_may_only_read_it(tmp_path: Path):
    path = pipeline_file(tmp_path, key_file(tmp_path, KEY.hex().upper() + "\n", 0o400))
    assert masked_id(7, load_pipeline(path, ENVIRONMENT).mask) == masked_by_hand(7)


def test_a_file_that_is_absent_a_folder_or_a_pipe_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"masking_key_file: .*none cannot be read"):
        load_pipeline(pipeline_file(tmp_path, tmp_path / "none"), ENVIRONMENT)
    with pytest.raises(ConfigError, match="masking_key_file"):
        load_pipeline(pipeline_file(tmp_path, tmp_path), ENVIRONMENT)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="64 or more hex digits"):
        load_pipeline(pipeline_file(tmp_path, tmp_path / "pipe"), ENVIRONMENT)


def test_real_time_queries_are_refused_with_masking(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"triggers\.real_time_enabled is true.*Set real_time_enabled to false"):
        load_pipeline(pipeline_file(tmp_path, key_file(tmp_path), "true"), ENVIRONMENT)


def test_a_worker_that_finds_another_key_in_the_file_masks_nothing(tmp_path: Path):
    path = key_file(tmp_path)
    mask = mask_of(str(path))
    path.write_text("ff" * 32)
    with pytest.raises(GuardError, match="has another key here"):
        masked_id(7, pickle.loads(pickle.dumps(mask)))


# Checkpoints


def masks(folder: Path) -> tuple[Mask, Mask]:
    folder.mkdir(exist_ok=True)
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    one, other = mask_of(str(key_file(folder / "a"))), mask_of(str(key_file(folder / "b", "ff" * 32)))
    assert one
    assert other
    return one, other


def test_a_checkpoint_is_bound_to_its_key_and_an_unmasked_one_to_none(tmp_path: Path):
    one, other = masks(tmp_path)
    assert masked_with(None) == {}
    assert list(masked_with(one)) == ["masking_key_file"]
    masked, plain = str(tmp_path / "masked"), str(tmp_path / "plain")
    claim_checkpoint(masked, {"topic": "t", **masked_with(one)})
    claim_checkpoint(plain, {"topic": "t"})
    claim_checkpoint(masked, {"topic": "t", **masked_with(one)})
    for checkpoint, mask in ((masked, None), (masked, other), (plain, one)):
        with pytest.raises(GuardError, match="made with masking_key_file = ") as error:
            claim_checkpoint(checkpoint, {"topic": "t", **masked_with(mask)})
        assert error.value.runbook == "checkpoint-mismatch"
        with pytest.raises(GuardError, match="made with masking_key_file = "):
            require_mask(checkpoint, mask)
    require_mask(masked, one)
    require_mask(plain, None)
    require_mask(str(tmp_path / "none"), one)


def test_the_same_key_in_another_place_is_the_same_key(tmp_path: Path):
    one, _ = masks(tmp_path)
    (tmp_path / "c").mkdir()
    moved = mask_of(str(key_file(tmp_path / "c", KEY.hex().upper())))
    assert masked_with(moved) == masked_with(one)


# Where Python reads rows


def test_row_and_image_before_are_masked_and_nothing_else(mask: Mask):
    messages = messages_of(
        "c 1 u1 20.00 +0\nu 1 u1 30.00 +0 was=20.00\nmove 1 u1>u2 30.00 +0 p0>p1\nd 1 u2 30.00 +0", 1
    )
    seen = 0
    for message in messages:
        plain = read_change_event(message.value, message.headers)
        masked = read_change_event(message.value, message.headers, mask=mask)
        for name in ("row", "before"):
            image = getattr(plain, name)
            expected = image and replace(image, user_id=masked_by_hand(image.user_id))
            assert getattr(masked, name) == expected
            seen += image is not None
        others = {field.name for field in fields(plain)} - {"row", "before"}
        assert {name: getattr(masked, name) for name in others} == {name: getattr(plain, name) for name in others}
    assert seen >= 6


def test_the_oracle_sees_masked_users(mask: Mask):
    (plain,) = arrivals(messages_of("c 1 u1 20.00 +0", 1), 262_144)
    (masked,) = arrivals(messages_of("c 1 u1 20.00 +0", 1), 262_144, mask)
    assert masked.row == replace(plain.row, user_id=masked_by_hand(plain.row.user_id))


def test_polled_rows_are_masked(mask: Mask):
    row = (1, 1234567890, 100, "VISA", 3, 5, 10)
    assert entering([row], 0, 0).batch["user_id"].tolist() == [1234567890]
    assert entering([row], 0, 0, mask).batch["user_id"].tolist() == [masked_by_hand(1234567890)]


class Database:
    """A connection's cursor over rows in the form of checksums.POSTGRES_COLUMNS and xmin."""

    def __init__(self, stored) -> None:
        self.stored, self.connection, self.found, self.spans = stored, self, [], []

    def cursor(self, name: str) -> Database:
        return Database(self.stored)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_) -> None:
        pass

    def execute(self, sql: str, arguments=None) -> None:
        if sql == rows._POSITION:
            self.found = [(5000,)]
            return
        width = 7 if "xmin" in sql else 6
        first, last = arguments or (0, 10**9)
        self.spans.append((first, last))
        self.found = [row[:width] for row in self.stored if first <= row[0] <= last]

    def fetchall(self):
        return self.found

    def __iter__(self):
        return iter(self.found)


def test_an_audit_compares_masked_rows_of_postgresql_with_the_mirror(tmp_path: Path, mask: Mask, monkeypatch):
    made = [change(number, f"{number}.50", user=masked_by_hand(1234567890 + number)) for number in (1, 2, 3, 2000)]
    made[2]["user_id"] = 1234567893  # a row that came unmasked
    write_table(tmp_path / "transactions", TRANSACTIONS, [{**each, "deleted": False} for each in made])
    names = ("id", "user_id", "amount", "card_type", "merchant_id", "created_us")
    stored = [
        (*(int(row[name] * 100) if name == "amount" else row[name] for name in names), "xmin")
        for row in ({**each, "user_id": 1234567890 + each["id"]} for each in made)
    ]
    database = Database(stored)
    monkeypatch.setattr(rows, "reading", lambda dsn: database)
    found = rows.suspects("", str(tmp_path), None, mask)
    assert found.ids == [3]
    assert found.postgres[3].row[0] == masked_by_hand(1234567893)
    assert found.compared == 4
    assert database.spans == [(0, 999)]  # the other thousand ids have the same checksum on both sides
    now = rows.stored_rows("", [1, 2], mask)
    assert [now[number].row[0] for number in (1, 2)] == [masked_by_hand(1234567891), masked_by_hand(1234567892)]


def test_captured_messages_of_every_form_have_their_user_masked(mask: Mask):
    for form in ("transactions", "double_schema", "flat"):
        plain = [read_change_event(each.value, each.headers).row for each in captured(form)]
        masked = [read_change_event(each.value, each.headers, mask=mask).row for each in captured(form)]
        assert any(plain)
        assert [row and row.user_id for row in masked] == [row and masked_by_hand(row.user_id) for row in plain]


def test_the_key_in_json_of_a_checkpoint_is_a_fingerprint_alone(tmp_path: Path):
    one, _ = masks(tmp_path)
    claim_checkpoint(str(tmp_path / "query"), masked_with(one))
    stored = json.loads((tmp_path / "query" / "fraudstream.json").read_text())
    assert stored["masking_key_file"] == f"key {one.fingerprint}"
    assert len(one.fingerprint) == 8
    assert KEY.hex()[:8] != one.fingerprint
