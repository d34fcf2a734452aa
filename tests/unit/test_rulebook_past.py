"""When rows lie in a base, what the state has then, and what becomes of bases that are no more needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fraudstream.errors import GuardError
from fraudstream.rulebook import past
from fraudstream.rulebook.catalog import Rule, load_rules
from fraudstream.rulebook.fold import fold
from fraudstream.streams import bases as folder_bases
from fraudstream.streams.bases import FolderBases

NOON = 1_772_366_400_000_000
USERS = 500


@pytest.fixture
def rule(tmp_path: Path) -> Rule:
    (tmp_path / "rules.yaml").write_text("anomaly: {parameters: {history: 50}}")
    return load_rules(tmp_path / "rules.yaml")[0]


@pytest.fixture
def bases(tmp_path: Path) -> FolderBases:
    return FolderBases(str(tmp_path / "bases"), retained=3)


def batch(first: int, count: int) -> dict[str, np.ndarray]:
    """Rows with the ids and offsets first, first + 1, ... of USERS users in turn; each 16 cents more than the last."""
    number = np.arange(first, first + count)
    zero = np.zeros(count, dtype=np.int64)
    none = dict.fromkeys(("partition", "merchant_id", "lsn", "tx_id", "committed_ms", "captured_ms"), zero)
    return {
        **none, "judge": np.ones(count, dtype=bool), "offset": number, "id": number, "user_id": number % USERS,
        "cents": number * 16, "created_at": NOON + number, "card_type": np.array(["VISA"] * count, dtype=object),
    }  # fmt: skip


def files(bases: FolderBases) -> list[str]:
    return sorted(path.name for path in Path(bases.folder).glob("**/*") if path.is_file())


def full(rule: Rule, bases: FolderBases) -> tuple[bytes, int]:
    """The state after 20,000 rows in one batch, and the next id."""
    return fold(rule, None, batch(0, 20_000), "t", bases).state, 20_000


def test_few_rows_and_large_batches_stay_in_the_state_value(rule, bases):
    few = fold(rule, None, batch(0, 1000), "t", bases).state
    assert fold(rule, few, batch(1000, 10), "t", bases).state == fold(rule, few, batch(1000, 10), "t").state
    state, at = full(rule, bases)
    assert fold(rule, state, batch(at, 20_000 // 64 + 1), "t", bases).state[0] != past._FORMAT
    assert files(bases) == []


def test_a_small_batch_leaves_what_is_kept_in_a_base_and_the_value_has_the_new_rows(rule, bases):
    state, at = full(rule, bases)
    outcome = fold(rule, state, batch(at, 100), "t", bases)
    assert len(outcome.state) < 1500 < 100_000 < len(state)
    (name,) = files(bases)
    assert Path(bases.folder, name).read_bytes() == state
    again = fold(rule, outcome.state, batch(at, 100), "t", bases)
    assert (again.redelivered, again.judged) == (100, 0), "what the log has is known"
    assert fold(rule, again.state, batch(0, 100), "t", bases).redelivered == 100, "and what the base has"


def test_a_full_log_becomes_one_with_its_base_and_gives_the_state_of_one_batch(rule, bases):
    state, at = full(rule, bases)
    for first in range(at, at + 1300, 100):
        state = fold(rule, state, batch(first, 100), "t", bases).state
    opened = past.opened(state, rule, bases)
    assert len(opened.log["user"]) == 0, "1,300 rows are more than a 16th of 20,000"
    whole = past.opened(fold(rule, None, batch(0, at + 1300), "t").state, rule, None).base
    assert opened.base.users.tolist() == whole.users.tolist() == [*range(USERS)]
    assert opened.base.lengths.tolist() == whole.lengths.tolist()
    assert {name: column.tolist() for name, column in opened.base.columns.items()} == {
        name: column.tolist() for name, column in whole.columns.items()
    }


def test_a_base_is_deleted_only_when_no_retained_state_has_it(rule, bases):
    state, at = full(rule, bases)
    states = []
    for first in range(at, at + 100 * 300, 300):
        state = fold(rule, state, batch(first, 300), "t", bases).state
        states.append(state)
    assert 2 < len(files(bases)) < 7, "of about 18"
    folder_bases._verify.cache_clear()
    for each in states[-4 * bases.retained :]:
        assert past.opened(each, rule, bases).base.users.tolist() == [*range(USERS)]
    with pytest.raises(GuardError, match=r"is not there.*checkpoint-damaged"):
        past.opened(states[0], rule, bases)


def test_large_batches_take_the_rows_back_into_the_value_and_bases_go_in_time(rule, bases):
    state, at = full(rule, bases)
    for first in range(at, at + 20 * 300, 300):
        state = fold(rule, state, batch(first, 300), "t", bases).state
    at += 20 * 300
    assert len(files(bases)) > 2
    whole = fold(rule, state, batch(at, 5000), "t", bases).state
    opened = past.opened(whole, rule, bases)
    kept = past.opened(fold(rule, None, batch(0, at + 5000), "t").state, rule, None).base
    assert (opened.name, len(opened.log)) == ("", 0)
    assert opened.base.columns["id"].tolist() == kept.columns["id"].tolist()
    assert len(files(bases)) > 2, "they may be needed still"
    for first in range(at + 5000, at + 5000 + 14 * 5000, 5000):
        whole = fold(rule, whole, batch(first, 5000), "t", bases).state
    assert files(bases) == []
    assert whole[0] != past._FORMAT


def test_the_same_fold_again_changes_nothing_and_a_read_only_one_writes_nothing(rule, bases, tmp_path):
    state, at = full(rule, bases)
    once = fold(rule, state, batch(at, 100), "t", bases)
    before = files(bases)
    assert fold(rule, state, batch(at, 100), "t", bases) == once
    assert files(bases) == before
    elsewhere = FolderBases(str(tmp_path / "elsewhere"), retained=3, is_read_only=True)
    assert fold(rule, state, batch(at, 100), "t", elsewhere).state == once.state
    assert files(elsewhere) == []


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b""),
                                    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")])  # fmt: skip
def test_a_base_that_is_gone_or_damaged_is_named(rule, bases, damage):
    state, at = full(rule, bases)
    state = fold(rule, state, batch(at, 100), "t", bases).state
    damage(next(Path(bases.folder).iterdir()))
    folder_bases._verify.cache_clear()
    with pytest.raises(GuardError, match="checkpoint-damaged"):
        fold(rule, state, batch(at + 100, 100), "t", bases)


def test_a_state_with_a_base_is_refused_where_nobody_knows_its_place(rule, bases):
    state, at = full(rule, bases)
    state = fold(rule, state, batch(at, 100), "t", bases).state
    with pytest.raises(ValueError, match="base of its checkpoint"):
        fold(rule, state, batch(at + 100, 100), "t")


def test_a_logs_columns_are_short_and_whole_at_the_ends_of_their_range():
    for values in ([5, 7, 260], [-(2**63), 2**63 - 1], [], [2**62, 2**62 + 3]):
        column = np.array(values, dtype=np.int64)
        least, short = past._from_least(column)
        assert (short.astype(np.int64) + least).tolist() == values
    assert past._from_least(np.array([2**62, 2**62 + 3]))[1].itemsize == 1
