"""A canary through the whole chain: its alerts come, the check holds with it, and no statistic has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.backtest.source import history_of_lake
from fraudstream.health import canaries
from fraudstream.streams import queries
from fraudstream.triage.desk import open_desk
from stack.world import world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]


def test_a_canary_comes_out_as_alerts_and_counts_nowhere(stack, spark, tmp_path: Path):
    with world(stack, spark, tmp_path, "canary") as ours:
        ours.capture()
        ours.sql("insert into transactions (user_id, amount) values (1, 5000)")
        ours.wait_for_row(1)
        rules = canaries.expected_rules(ours.rules)
        running = queries.start_rules(spark.newSession(), ours.rules, ours.pipeline)
        try:
            late = canaries.send(stack.dsn("app"), ours.pipeline, rules, within=0.001)
            assert late.late == rules == ["anomaly", "velocity", "high_amount"]
            sent = canaries.send(stack.dsn("app"), ours.pipeline, rules, within=120)
        finally:
            for query in running:
                query.stop()
        assert (sent.late, sorted(sent.seconds)) == ([], sorted(rules))
        ours.judge()
        # The oracle judges both canaries as well; the customer's row of 5,000 is one more high amount.
        assert ours.assert_exact() == {"anomaly": 2, "velocity": 2, "high_amount": 3}
        assert [each.transaction_id for each in open_desk(ours.pipeline.lake).alerts] == [1]
        assert history_of_lake(ours.pipeline.lake).left_out == {"canary": 12}
