"""Nothing is decided by what comes later: no alert, and with --as-of no figure of a report."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

import backtest_rules
from fixtures.lake import change, write_lake, write_table
from fraudstream.arrow import decimals
from fraudstream.backtest.files import history_of_file
from fraudstream.backtest.runtime import judge
from fraudstream.backtest.source import History
from fraudstream.backtest.truth import Label, confirmed, labels_of_file
from fraudstream.backtest.variants import with_labels
from fraudstream.input.world import Size
from fraudstream.input.world_files import labels_table, make_world, transactions_table
from fraudstream.rulebook.exact import NULL
from fraudstream.streams.tables import CHANGES
from fraudstream.triage.tables import SCHEMAS
from unit.histories import rule_of

DAY = 86_400_000_000
FIRST = 20_513 * DAY  # 2026-03-01
MOMENTS = (FIRST + 20 * DAY, FIRST + 33 * DAY + 45_296_000_001)
# Parameters with which each rule alerts some dozen times and more before and after the moments.
RULES = """
anomaly: {parameters: {history: 10, floor: 50, factor: 2}}
velocity: {parameters: {window: 1h, more_than: 2, amount_over: 20}}
high_amount: {parameters: {over: 120}}
card_testing: {parameters: {window: 2h, at_least: 2, small: 12, amount_over: 20}}
repeated_amount: {parameters: {window: 1h, times: 2, amount_over: 0}}
dormant_burst: {parameters: {payments: 2, window: 8h, dormant: 20h, sum_over: 20}}
many_merchants: {parameters: {window: 4h, merchants: 4}}
spending_limit: {parameters: {window: 24h, limit: 300}}
compromised_merchant: {parameters: {window: 14d, at_least: 2, share_over: 0.05}}
"""


@pytest.fixture(scope="module")
def tables() -> tuple[pa.Table, pa.Table]:
    """Transactions and labels of a small world; its frauds become known after three days."""
    world = make_world(Size(customers=30, terminals=12, days=45, radius=60.0), 5)
    # Some pay in whole francs, so that amounts repeat at one terminal.
    whole = world.rows["user_id"] % 3 == 0
    world.rows["cents"][whole] = 1000
    world.rows["at"][whole] -= world.rows["at"][whole] % 3_600_000_000
    return transactions_table(world, FIRST), labels_table(world, FIRST, 3 * DAY)


def written(folder: Path, transactions: pa.Table, labels: pa.Table) -> list[str]:
    folder.mkdir()
    for name, table in (("transactions", transactions), ("labels", labels)):
        pq.write_table(table, folder / f"{name}.parquet")
    return ["--transactions", str(folder / "transactions.parquet"), "--labels", str(folder / "labels.parquet")]


def micros(column: Any) -> np.ndarray:
    return column.cast(pa.int64()).to_numpy()


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def other_future(tables: tuple[pa.Table, pa.Table], moment: int) -> tuple[pa.Table, pa.Table]:
    """The same up to the moment; then other users, amounts and merchants, fewer rows, and other labels."""
    transactions, labels = tables
    later = micros(transactions["created_at"]) > moment
    random = np.random.default_rng(3)
    for name in ("user_id", "merchant_id"):
        column = transactions[name].to_numpy()
        transactions = replaced(transactions, name, pa.array(np.where(later, random.permutation(column), column)))
    cents = (transactions["amount"].to_pandas().astype(float) * 100).round().to_numpy().astype(np.int64)
    transactions = replaced(transactions, "amount", decimals(np.where(later, cents * 7 + 1, cents)))
    transactions = transactions.filter(pa.array(~later | (random.random(len(later)) < 0.6)))
    is_new = micros(labels["labelled_at"]) > moment
    text = labels["label"].to_pandas().to_numpy(dtype=object)
    turned = np.where(text == "confirmed", "dismissed", "confirmed")
    labels = replaced(labels, "label", pa.array(np.where(is_new, turned, text)))
    return transactions, labels.filter(pa.array(~is_new | (random.random(len(is_new)) < 0.7)))


def rules_file(folder: Path) -> Path:
    path = folder / "rules.yaml"
    path.write_text(RULES)
    return path


def report(home: Path, options: list[str], *more: str) -> dict[str, Any]:
    rules = str(rules_file(home.parent))
    backtest_rules.main([*options, *more, "--rules-file", rules, "--home", str(home), "--progress", "none"])
    found = json.loads((home / "report.json").read_text(encoding="utf-8"))
    for each in found["rules"]:
        del each["seconds"]
    del found["seconds"], found["command"]
    # What the files hold besides, of which nothing is told but how much it is.
    for name in ("name", "read", "enter"):
        del found["source"][name]
    for name in ("source", "later"):
        del found["labels"][name]
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_report_as_of_a_moment_is_the_same_whatever_comes_later(tables, moment, tmp_path: Path):
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).isoformat()
    as_of = ["--as-of", text, "--label-delay", "3d"]
    one = report(tmp_path / "one", written(tmp_path / "a", *tables), *as_of)
    other = report(tmp_path / "other", written(tmp_path / "b", *other_future(tables, moment)), *as_of)
    assert one == other
    # It is not the same because it is empty.
    assert all(each["alerts"] >= 10 for each in one["rules"]), {each["rule"]: each["alerts"] for each in one["rules"]}
    assert min(one["known"].values()) > 20
    whole = report(tmp_path / "whole", written(tmp_path / "c", *tables))
    assert whole["known"]["fraud"] > one["known"]["fraud"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", [line.split(":")[0] for line in RULES.strip().splitlines()])
def test_what_a_rule_said_by_a_moment_is_the_same_whatever_comes_later(tables, name, moment, tmp_path: Path):
    entry = next(line for line in RULES.splitlines() if line.startswith(f"{name}:"))
    said, said_later = [], []
    for folder, (transactions, labels) in (("a", tables), ("b", other_future(tables, moment))):
        written(tmp_path / folder, transactions, labels)
        # All labels, also those that are known only later: a rule has to look at their times itself.
        known = confirmed(labels_of_file(tmp_path / folder / "labels.parquet"))
        found = judge(with_labels(rule_of(entry), known), history_of_file(tmp_path / folder / "transactions.parquet"))
        until = datetime(1970, 1, 1) + timedelta(microseconds=moment)
        said.append(
            [
                {name: value for name, value in each.items() if name not in ("alert_id", "rule_version")}
                for each in found.messages
                if datetime.fromisoformat(each["event_time"].rstrip("Z")) <= until
            ]
        )
        said_later.append(len(found.messages) - len(said[-1]))
    assert said[0] == said[1]
    assert said_later[0] >= 3
    assert len(said[0]) >= 10


def test_labels_younger_than_their_delay_change_nothing(tables):
    transactions, labels = tables
    times = dict(zip(transactions["id"].to_pylist(), micros(transactions["created_at"]).tolist(), strict=True))
    rule = rule_of("compromised_merchant: {parameters: {window: 14d, at_least: 2, share_over: 0.05, delay: 5d}}")
    found = [
        Label(row["transaction_id"], "confirmed", times[row["transaction_id"]] + 3 * DAY)
        for row in labels.to_pylist()
        if row["label"] == "confirmed"
    ]
    history = memory(transactions)
    said = judge(with_labels(rule, confirmed(found)), history).messages
    assert len(said) >= 10
    assert judge(rule, history).messages == []
    # For each alert: take away every label that was not 5 days old then, and it says the same.
    for message in said[:: max(1, len(said) // 8)]:
        now = times[message["transaction_id"]]
        old = confirmed([label for label in found if label.at + 5 * DAY <= now])
        again = {each["transaction_id"]: each["evidence"] for each in judge(with_labels(rule, old), history).messages}
        assert again[message["transaction_id"]] == message["evidence"]
        younger = confirmed([label for label in found if label.at + 5 * DAY > now])
        alone = judge(with_labels(rule, younger), history).messages
        assert message["transaction_id"] not in {each["transaction_id"] for each in alone}


def memory(transactions: pa.Table):
    count = len(transactions)
    batch = {name: transactions[name].to_numpy() for name in ("id", "user_id", "merchant_id")}
    cents = (transactions["amount"].to_pandas().astype(float) * 100).round().to_numpy().astype(np.int64)
    batch |= {"cents": cents, "created_at": micros(transactions["created_at"]), "offset": np.arange(count)}
    batch |= {"partition": np.zeros(count, dtype=np.int64), "judge": np.ones(count, dtype=bool)}
    batch |= {"card_type": np.full(count, None, dtype=object)}
    batch |= dict.fromkeys(("lsn", "tx_id", "committed_ms", "captured_ms"), np.full(count, NULL))
    return History("memory", "t", batch)


def test_as_of_a_moment_the_lake_has_what_was_captured_by_then(tmp_path: Path):
    # 3 happened before the moment and was captured after it; 2 was amended and 1 was labelled after it.
    changes = [change(n, "5000.00", at=n) for n in (1, 2)]
    moment = changes[1]["captured_at"] + timedelta(seconds=1)
    lake = write_lake(tmp_path / "lake", changes, [])
    late = {
        **change(2, "10.00", at=2), "op": "u", "entry": "ignored", "before_user_id": 7, "offset": 50, "lsn": 900,
        "captured_at": moment + timedelta(seconds=5),
    }  # fmt: skip
    missed = {**change(3, "6000.00", at=0), "offset": 60, "captured_at": moment + timedelta(seconds=5)}
    write_table(tmp_path / "lake" / "transaction_changes", CHANGES, [late, missed])
    label = {"transaction_id": 1, "label": "confirmed", "labelled_at": moment + timedelta(seconds=1), "by": "me"}
    write_deltalake(f"{lake}/labels", pa.Table.from_pylist([label], schema=SCHEMAS["labels"]))
    rules = tmp_path / "rules.yaml"
    rules.write_text("high_amount: {corrections: on}")
    found = []
    for more in (["--as-of", moment.isoformat()], []):
        options = ["--lake", lake, "--rules-file", str(rules), "--home", str(tmp_path / "out"), *more]
        backtest_rules.main([*options, "--progress", "none"])
        report_ = json.loads((tmp_path / "out" / "report.json").read_text())
        found.append((report_["rules"][0]["alerts"], report_["known"]["fraud"], report_["source"]["in_period"]))
    assert found == [(2, 0, 2), (2, 1, 3)]
