"""What a driver killed between a commit and its report leaves open is counted again. The kill itself is a drill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudstream.streams import progress
from stack.world import World, world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]
# 200 rows of 97 users: mostly small amounts, every 41st large, and one user's rows so close that velocity alerts.
ROWS = """
insert into transactions (user_id, amount, card_type, merchant_id, created_at)
select 1 + n % 97, case when n % 41 = 0 then 4700 else 20 + n % 13 end, 'VISA', n % 7,
       timestamp '2026-03-01 12:00:00' + interval '1 second' * (n % 97 + 7 * (n / 97))
from generate_series({first}, {first} + 199) as n
"""


@pytest.fixture
def a_world(stack, spark, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with world(stack, spark, tmp_path, request.node.name.removeprefix("test_")[:40]) as made:
        made.capture()
        yield made


def test_a_report_lost_with_its_driver_is_counted_again_from_the_checkpoint(a_world: World):
    a_world.sql(ROWS.format(first=0))
    a_world.wait_for_row(200)
    a_world.run_rules()
    a_world.sql(ROWS.format(first=100))  # on top of a state, some of it late
    a_world.wait_for_row(400)
    a_world.judge()  # Spark reports a batch a moment after its query's end: the archive's run leaves time for it
    lost = {}
    for query in ("anomaly", "velocity", "high_amount"):
        path = Path(a_world.pipeline.progress, f"{query}.jsonl")
        *_, lost[query] = progress.read_lines(a_world.pipeline.progress, query)
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    a_world.run_rules()
    for query, last in lost.items():
        *_, again = progress.read_lines(a_world.pipeline.progress, query)
        assert again["recounted"]
        parts = ("batch_id", "start", "end", "read", *progress.PARTS)
        assert {name: again[name] for name in parts} == {name: last[name] for name in parts}
        assert again["read"] == 200
