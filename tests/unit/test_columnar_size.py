"""How large the columnar source's batches are; sizes and seconds by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.streams.columnar import source
from fraudstream.streams.columnar.size import BatchSize

TOPIC = "payments"


def sizes(least: int, most: int, *took: float) -> list[int]:
    """Of the next batch, after each full one of so many seconds."""
    size, found = BatchSize(least, most), []
    for seconds in took:
        size.begin(100.0, full=True)
        size.end(100.0 + seconds)
        found.append(size.records)
    return found


def test_a_batch_has_twice_as_many_records_after_a_fast_full_one_and_half_as_many_after_a_slow_one():
    assert sizes(200, 700, 5.0, 1.9, 1.9, 0.1) == [200, 400, 700, 700]
    assert sizes(200, 800, 1.0, 1.0, 2.0, 4.0, 4.1, 9.0, 9.0) == [400, 800, 800, 800, 400, 200, 200]


def test_it_stays_as_it_is_where_more_is_not_allowed():
    assert sizes(200, 1, 0.1, 9.0) == [200, 200]


def test_a_batch_that_has_all_there_is_says_nothing():
    size = BatchSize(200, 800)
    size.end(1.0)
    size.begin(1.0, full=False)
    size.end(1.1)
    size.begin(2.0, full=True)
    size.begin(3.0, full=False)  # the driver asked twice
    size.end(3.1)
    assert size.records == 200


@given(st.integers(1, 10**6), st.integers(1, 10**7), st.lists(st.floats(0.0, 10.0), max_size=30))
def test_it_never_leaves_its_bounds(least, most, took):
    assert all(least <= each <= max(least, most) for each in sizes(least, most, *took))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch):
    """A reader of a topic that ends with offset 2000 (`end`), and a clock (`now`)."""
    at = SimpleNamespace(now=0.0, end=2000)
    monkeypatch.setattr(source, "time", SimpleNamespace(monotonic=lambda: at.now))
    monkeypatch.setattr(source.ColumnarReader, "_offsets", lambda self, which: {0: at.end})

    def made(**options: str) -> tuple[source.ColumnarReader, SimpleNamespace]:
        return source.ColumnarReader({"subscribe": TOPIC, **options}), at

    return made


def ends(reader: source.ColumnarReader, at: SimpleNamespace, *took: float) -> list[int]:
    """Where the batches end that take so many seconds each, the last one with them."""
    found = [0]
    for seconds in (*took, 0.0):
        end = reader.latestOffset({TOPIC: {"0": found[-1]}}, reader.getDefaultReadLimit())
        found.append(end[TOPIC]["0"])
        at.now += seconds
    return found[1:]


def test_a_reader_that_catches_up_takes_larger_batches_as_long_as_they_are_fast(reader):
    one, at = reader(maxOffsetsPerTrigger="100", largestBatch="400")
    assert ends(one, at, 6.0, 1.0, 1.0, 1.0, 5.0, 1.0) == [100, 200, 400, 800, 1200, 1400, 1800]


def test_a_reader_at_the_end_of_its_topic_waits_without_a_larger_batch(reader):
    one, at = reader(maxOffsetsPerTrigger="1500", largestBatch="9000")
    assert ends(one, at, 5.0, 0.1, 0.1) == [1500, 2000, 2000, 2000]
    at.end = 4000
    assert one.latestOffset({TOPIC: {"0": 2000}}, one.getDefaultReadLimit()) == {TOPIC: {"0": 3500}}


def test_without_a_bound_a_batch_has_all_there_is(reader):
    one, at = reader(largestBatch="400")
    assert ends(one, at, 1.0) == [2000, 2000]
