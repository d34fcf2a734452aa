"""What the tests of the secure stack share: a pipeline that has judged some rows in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fraudstream.stack.settings import StackSettings
from stack.world import World, world

ROWS = "insert into transactions (user_id, amount) select 1 + n % 7, 10 * n from generate_series(1, 600) n"


@pytest.fixture(scope="module")
def ran(
    stack: StackSettings, spark, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A pipeline of the module's own that has judged 600 rows of 7 users, where row n costs 10 n."""
    assert stack.secure, "these tests are of STACK_PROFILE=secure (make test-secure)"
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    with world(stack, spark, tmp_path_factory.mktemp(name), name) as made:
        made.capture()
        made.sql(ROWS)
        made.wait_for_row(600)
        made.judge()
        yield made
