"""A bucket's rows as they come from Spark, made into the columns of a fold: values by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.expected import CARD, EARLY, EXACT, WHOLE, captured
from fixtures.masks import key_file, masked_by_hand
from fraudstream.cdc.shape import MAX_BYTES
from fraudstream.masking import mask_of
from fraudstream.streams.frames import read_frame

NULL = -(2**63)
NUMBERS = (
    "partition", "offset", "id", "user_id", "cents", "created_at", "merchant_id", "lsn", "tx_id", "committed_ms",
    "captured_ms",
)  # fmt: skip
NOTHING = {"unjudged": 0, "unreadable": 0, "ignored": 0}
KNOWN = {
    "partition": 1, "offset": 40, "id": 7, "user_id": 1001, "cents": 1234, "created_at": EARLY, "merchant_id": 3,
    "lsn": 90, "tx_id": 50, "committed_ms": 1_795_420_000_000, "captured_ms": 1_795_420_000_100,
    "card_type": "VISA", "judge": True,
}  # fmt: skip


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """What Arrow hands over: no nulls but in `card_type` and `message`."""
    made = pd.DataFrame(list(rows), columns=[*NUMBERS, "card_type", "judge", "message", "moved"])
    types: dict[str, Any] = {**dict.fromkeys(NUMBERS, "int64"), "card_type": object, "judge": bool, "message": object}
    return made.astype({**types, "moved": bool})


def known(**values: Any) -> dict[str, Any]:
    """A row that Spark has read, with some other values."""
    return {**KNOWN, "message": None, "moved": False, **values}


def other(message: bytes | None, offset: int = 0, moved: bool = False) -> dict[str, Any]:
    """A row that Spark has left to Python: nothing but its place, its bytes and its mark means something."""
    unread = {**dict.fromkeys(NUMBERS, 666), "card_type": "none", "judge": False}
    return {**unread, "partition": 2, "offset": offset, "message": message, "moved": moved}


def rows_of(batch: Any) -> list[dict[str, Any]]:
    """The rows of the columns, with plain Python values."""
    columns = {name: column.tolist() for name, column in batch.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def check_types(batch: Any) -> None:
    types = {name: column.dtype for name, column in batch.items()}
    assert types == {**dict.fromkeys(NUMBERS, np.int64), "card_type": np.dtype(object), "judge": np.dtype(bool)}


def test_the_user_of_a_message_of_another_form_is_masked_here_and_others_already_were(tmp_path: Path):
    message = captured("precise")[0].value
    plain, _ = read_frame(frame(known(), other(message)), MAX_BYTES)
    masked, _ = read_frame(frame(known(), other(message)), MAX_BYTES, mask_of(str(key_file(tmp_path))))
    assert plain["user_id"][0] == 1001
    assert masked["user_id"].tolist() == [1001, masked_by_hand(int(plain["user_id"][1]))]
    check_types(masked)


def test_rows_that_are_known_stay_as_they_are():
    batch, counts = read_frame(frame(known(), known(offset=41, card_type=None, judge=False)), MAX_BYTES)
    assert rows_of(batch) == [KNOWN, {**KNOWN, "offset": 41, "card_type": None, "judge": False}]
    assert counts == NOTHING
    check_types(batch)


FORMS = {
    ("precise_schema", 1): {
        "id": 2, "user_id": 1001, "cents": 123410, "created_at": EXACT, "merchant_id": 17, "lsn": 32701000,
        "tx_id": 825, "committed_ms": 1795420742226, "captured_ms": 1795420742297, "card_type": "AMEX", "judge": True,
    },
    ("precise", 0): {
        "id": 1, "user_id": 1000, "cents": 100, "created_at": EARLY, "merchant_id": 1, "lsn": 32687408,
        "tx_id": 798, "committed_ms": 1795421054269, "captured_ms": 1795421054902, "card_type": "VISA", "judge": False,
    },
    ("flat", 4): {
        "id": 3, "user_id": 1001, "cents": 1230000000, "created_at": WHOLE, "merchant_id": 500, "lsn": 32688112,
        "tx_id": 803, "committed_ms": 1795421365366, "captured_ms": 1795421365366, "card_type": CARD, "judge": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("at", FORMS, ids=lambda at: at[0])
def test_a_row_of_another_form_has_its_exact_values(at):
    form, number = at
    batch, counts = read_frame(frame(other(captured(form)[number].value, offset=9)), MAX_BYTES)
    assert rows_of(batch) == [{"partition": 2, "offset": 9, **FORMS[at]}]
    assert counts == NOTHING
    check_types(batch)


def test_rows_of_all_forms_stand_with_those_that_are_known():
    others = [other(captured(form)[number].value, place) for place, (form, number) in enumerate(FORMS)]
    batch, counts = read_frame(frame(others[0], known(), *others[1:], known(offset=41)), MAX_BYTES)
    read = [{"partition": 2, "offset": place, **values} for place, values in enumerate(FORMS.values())]
    found = {(row["partition"], row["offset"]): row for row in rows_of(batch)}
    assert found == {(row["partition"], row["offset"]): row for row in [KNOWN, {**KNOWN, "offset": 41}, *read]}
    assert len(batch["id"]) == 5
    assert counts == NOTHING
    check_types(batch)


OUT = {
    "unreadable": [b"no JSON", b"", captured("flat_bare")[0].value, captured("wide_precise")[3].value],
    # NaN and an infinite created_at.
    "unjudged": [captured("flat")[6].value, captured("flat")[8].value],
    # An update, a delete, a row of an incremental snapshot, a truncate and a heartbeat.
    "ignored": [
        *(captured("flat")[number].value for number in (2, 3, 18)),
        *(message.value for message in captured("transactions")[-2:]),
    ],
}


@pytest.mark.parametrize("entry", OUT)
def test_messages_that_enter_no_history_are_counted(entry):
    rows = [other(message, offset) for offset, message in enumerate(OUT[entry])]
    batch, counts = read_frame(frame(*rows, known()), MAX_BYTES)
    assert rows_of(batch) == [KNOWN]
    assert counts == {**NOTHING, entry: len(OUT[entry])}
    check_types(batch)


def test_messages_of_all_entries_are_counted_apart_and_the_types_stay_without_a_row():
    rows = [other(message) for messages in OUT.values() for message in messages]
    batch, counts = read_frame(frame(*rows), MAX_BYTES)
    assert counts == {"unreadable": 4, "unjudged": 2, "ignored": 5}
    assert rows_of(batch) == []
    check_types(batch)


def test_an_insert_that_was_moved_is_ignored():
    message = captured("flat")[16]
    assert message.headers[0] == ("__debezium.oldkey", b'{"user_id":1001}')
    batch, counts = read_frame(frame(other(message.value, moved=True)), MAX_BYTES)
    assert (rows_of(batch), counts) == ([], {**NOTHING, "ignored": 1})
    batch, counts = read_frame(frame(other(message.value, moved=False)), MAX_BYTES)
    assert ([row["user_id"] for row in rows_of(batch)], counts) == ([1002], NOTHING)


def test_what_a_message_lacks_is_the_null_of_integers():
    message = (
        b'{"op":"c","after":{"id":8,"user_id":1001,"amount":5.5,"card_type":null,"merchant_id":null,"created_at":0}}'
    )
    batch, counts = read_frame(frame(other(message, offset=3)), MAX_BYTES)
    assert rows_of(batch) == [
        {
            "partition": 2, "offset": 3, "id": 8, "user_id": 1001, "cents": 550, "created_at": 0, "merchant_id": NULL,
            "lsn": NULL, "tx_id": NULL, "committed_ms": NULL, "captured_ms": NULL, "card_type": None, "judge": True,
        }
    ]  # fmt: skip
    assert counts == NOTHING
    check_types(batch)


def test_the_null_of_a_known_row_stays():
    batch, _ = read_frame(frame(known(merchant_id=NULL), other(captured("precise")[0].value)), MAX_BYTES)
    assert batch["merchant_id"].tolist() == [NULL, 1]
    check_types(batch)


def test_a_message_above_the_callers_bound_is_unreadable():
    message = captured("precise")[0].value
    assert read_frame(frame(other(message)), len(message))[1] == NOTHING
    assert read_frame(frame(other(message)), len(message) - 1)[1] == {**NOTHING, "unreadable": 1}
