"""What the author of a rule may write, and what is refused when the rules are loaded."""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fraudstream.errors import ConfigError
from fraudstream.rulebook.definition import rule
from fraudstream.rulebook.transaction import Transaction, points, windows_of
from unit.histories import alerting, folded, row, rule_file, rule_of

TX = Transaction()
PAST = TX.previous(3)


def alert(when: Any = TX.amount > 1, reason: str = "{amount}", **more: Any) -> Any:
    return TX.alert(when=when, reason=reason, evidence=more.pop("evidence", {}), **more)


@pytest.fixture
def run(monkeypatch):
    return lambda body, entry="{}": rule_file(monkeypatch, body, entry)


def test_a_rule_of_ones_own_is_a_function_of_the_transaction(run):
    def first_large(tx, *, limit=Decimal(1000)):
        past = tx.previous(64)
        return tx.alert(
            when=(tx.amount >= limit) & ~(past.max("amount") >= limit),
            reason="{amount} is the first amount of {limit} or more, up to now {largest}",
            evidence={"limit": limit, "largest": past.max("amount"), "least": past.min("amount")},
        )

    found = run(first_large)
    alerts, _ = folded(found, [row(1, 999), row(2, 10), row(3, 1000), row(4, 2000), row(5, 1500, user=2)], cuts=[2])
    assert [each["reason"] for each in alerts] == [
        "1000.00 is the first amount of 1000 or more, up to now 999.00",
        "1500.00 is the first amount of 1000 or more, up to now nothing",
    ]
    assert alerts[0]["evidence"] == {"limit": 1000, "largest": "999.00", "least": "10.00"}


def test_cards_and_merchants_are_conditions(run):
    def abroad(tx):
        when = tx.card_type.is_in("AMEX", "VISA") & ~tx.merchant_id.is_in(1, 2)
        return tx.alert(when=when, reason="abroad", evidence={})

    rows = [row(1), row(2, merchant_id=3), row(3, merchant_id=3, card_type="MC"), row(4, merchant_id=3, card_type=None)]
    assert alerting(run(abroad), rows) == [2]


def test_several_windows_in_one_rule_each_see_their_own(run):
    def busy(tx):
        short, long = tx.within("10s"), tx.within("1h")
        evidence = {"short": short.count(), "long": long.count(), "last": tx.previous(1).sum("amount")}
        return tx.alert(when=long.count() > 1, reason="busy", evidence=evidence)

    rows = [row(1, 5, at=0), row(2, 6, at=100), row(3, 7, at=3599), row(4, 8, at=3600), row(5, 9, at=50)]
    alerts, _ = folded(run(busy), rows, cuts=[2, 3])
    assert [(each["transaction_id"], each["evidence"]) for each in alerts] == [
        (3, {"short": 0, "long": 2, "last": "6.00"}),
        (4, {"short": 1, "long": 2, "last": "7.00"}),
    ]


@pytest.mark.parametrize("cuts", [(), range(9)])
def test_filters_take_rows_out_of_a_window_whose_edges_stand(run, cuts):
    def filtered(tx):
        past = tx.previous(4)
        few, same = past.where(past.amount < 7), past.same("merchant_id")
        evidence = {
            "few": few.count(), "most": few.max("amount"), "least": past.where(past.amount > 5).min("amount"),
            "last": few.last("amount"), "second": few.nth(2, "amount"), "same": same.count(), "sum": same.sum("amount"),
            "shops": past.distinct("merchant_id"), "amounts": same.distinct("amount"),
            "gap": tx.time - past.last("time"),
        }  # fmt: skip
        return tx.alert(when=tx.amount >= 9, reason="", evidence=evidence)

    shops = [1, 2, 2, 1, 3, 2]
    rows = [
        row(number, amount, at=10 * number, merchant_id=shop)
        for number, (amount, shop) in enumerate(zip([1, 5, 8, 5, 6, 9], shops, strict=True))
    ]
    # The last four before the last row: 5, 8, 5, 6 at merchants 2, 2, 1, 3; the row itself is at merchant 2.
    assert [alert["evidence"] for alert in folded(run(filtered), rows, cuts)[0]] == [
        {
            "few": 3, "most": "6.00", "least": "6.00", "last": "6.00", "second": "5.00", "same": 2, "sum": "13.00",
            "shops": 3, "amounts": 2, "gap": "10.00",
        }
    ]  # fmt: skip


def test_a_rule_may_be_keyed_by_merchant(run):
    def busy(tx):
        past = tx.previous(9)
        return tx.alert(when=past.distinct("user_id") >= 2, reason="{n}", evidence={"n": past.count()})

    rows = [row(1, user=1), row(2, user=2), row(3, user=2, merchant_id=2), row(4, user=2), row(5, user=3)]
    by_user = run(busy)
    assert alerting(by_user, rows) == []
    by_merchant = replace(by_user, key="merchant_id")
    assert by_merchant.columns == ("id", "user_id")
    assert [(alert["transaction_id"], alert["reason"]) for alert in folded(by_merchant, rows, [2, 3])[0]] == [
        (4, "2"), (5, "3"),
    ]  # fmt: skip


def test_parameters_get_their_types_from_defaults_and_annotations(run):
    def typed(tx, *, count=3, limit=Decimal(5), window="60s", table: dict[str, Decimal] = {}):  # noqa: B006
        return tx.alert(when=tx.amount > limit, reason="over", evidence={})

    found = run(typed, "{parameters: {count: 4, limit: 5.5, window: 10m, table: {A: 1}}}")
    assert found.parameters == {"count": 4, "limit": Decimal("5.5"), "window": "10m", "table": {"A": Decimal(1)}}
    with pytest.raises(ConfigError, match=r"count is '4\.5'; it must be a whole number"):
        run(typed, "{parameters: {count: 4.5}}")


def test_what_a_rule_file_gets_wrong_is_told_by_name(run, monkeypatch):
    def broken(tx):
        return tx.alert(when=tx.previous(3).median("amount") > 1, reason="", evidence={})

    with pytest.raises(ConfigError, match=r"line 1: rule broken fails with AttributeError.*median"):
        run(broken)
    monkeypatch.setattr(sys.modules["fraudstream.rules.broken"], "broken", None)
    with pytest.raises(ConfigError, match=r"broken.py: it must define broken with @rule, named like its file"):
        rule_of.__wrapped__("broken: {}")
    monkeypatch.delitem(sys.modules, "fraudstream.rules.broken")
    with pytest.raises(ConfigError, match=r"broken.py: cannot be loaded \(ModuleNotFoundError"):
        rule_of.__wrapped__("broken: {}")


def test_a_parameter_without_a_default_and_a_key_without_histories_are_refused():
    with pytest.raises(ValueError, match="parameter limit of rule needs needs a default"):

        @rule()
        def needs(tx, *, limit):
            raise AssertionError

    with pytest.raises(ValueError, match="a rule's key is one of user_id, merchant_id, not 'card'"):
        rule(key="card")


MISTAKES = [
    (lambda: alert(reason="{amont}"), ValueError, "the reason names {amont}; it may name amount"),
    (lambda: alert(reason="{}"), ValueError, "the reason names {}"),
    (lambda: alert(reason="{score}"), ValueError, "the reason names {score}"),
    (lambda: alert(reason="{amount:.1f}"), ValueError, "the reason formats {amount}"),
    (lambda: alert(reason="{amount!r}"), ValueError, "the reason formats {amount}"),
    (lambda: alert(reason="{amount"), ValueError, "expected '}'"),
    (lambda: alert(when=True), ValueError, "when is True; it must be a condition"),
    (lambda: alert(when=(TX.amount > 1) and (TX.amount < 2)), TypeError, "combine conditions with & | ~"),
    (lambda: TX.amount > 0.1, TypeError, "write Decimal('0.1')"),
    (lambda: PAST.mean("merchant_id"), ValueError, "a window has no column 'merchant_id' for this; it has"),
    (lambda: PAST.last("merchant_id"), ValueError, "for this; it has 'amount' and 'time'"),
    (lambda: PAST.sum("time"), ValueError, "for this; it has 'amount'"),
    (lambda: PAST.distinct("time"), ValueError, "for this; it has 'amount' and 'merchant_id' and 'user_id'"),
    (lambda: PAST.same("card_type"), ValueError, "no column 'card_type' for this"),
    (lambda: PAST.same(), ValueError, "same() names the columns that must be equal"),
    (lambda: PAST.nth(0, "amount"), ValueError, "nth(0): it goes 1 to 10000 transactions back"),
    (lambda: PAST.nth(10_001, "amount"), ValueError, "nth(10001)"),
    (lambda: PAST.where(PAST.amount == 5), ValueError, "where(False): it takes a condition"),
    (lambda: alert(when=PAST.where(TX.amount > 1).count() > 1), ValueError, "there is past.same('amount')"),
    (lambda: alert(when=PAST.where(PAST.amount < TX.amount).count() > 1), ValueError, "there is past.same('amount')"),
    (lambda: alert(when=PAST.where(PAST.amount > PAST.mean("amount")).count() > 1), ValueError, "not with windows"),
    (lambda: alert(when=PAST.where(TX.card_points({"A": 1}) > PAST.amount).count() > 1), ValueError, "past.same"),
    (lambda: alert(when=PAST.amount > 1), ValueError, "past.amount, stands outside of past.where"),
    (lambda: alert(evidence={"m": points(PAST.merchant_id.is_in(1), 2)}), ValueError, "stands outside of past.where"),
    (lambda: PAST.merchant_id.is_in("1"), TypeError, "it takes one or more int values"),
    (lambda: TX.previous(0), ValueError, "a window has 1 to 10000 rows"),
    (lambda: TX.previous(10_001), ValueError, "a window has 1 to 10000 rows"),
    (lambda: TX.within("0s"), ValueError, "a window is longer than nothing"),
    (lambda: TX.within("-5s"), ValueError, "'-5s' is no duration"),
    (lambda: TX.card_type.is_in(1), TypeError, "it takes one or more str values"),
    (lambda: TX.merchant_id.is_in("1"), TypeError, "it takes one or more int values"),
    (lambda: TX.merchant_id.is_in(), TypeError, "it takes one or more int values"),
    (lambda: alert(when=PAST.std("amount") * TX.amount > 1), ValueError, "a standard deviation may only be added"),
    (lambda: alert(when=TX.amount / PAST.std("amount") > 1), ValueError, "a standard deviation may only be added"),
    (lambda: alert(when=PAST.std("amount") > TX.previous(4).std("amount")), ValueError, "two windows have two"),
    (lambda: alert(evidence={"z": 1 * PAST.std("amount") / 0}), ValueError, "a standard deviation may only be added"),
    (lambda: alert(score=1 + PAST.std("amount")), ValueError, "a score cannot have a standard deviation"),
    (lambda: alert(score=points(PAST.std("amount") * PAST.sum("amount") > 1, 2)), ValueError, "may only be added"),
]


@pytest.mark.parametrize(("mistake", "kind", "text"), MISTAKES)
def test_a_mistake_is_refused_when_the_rule_is_read(mistake, kind, text):
    with pytest.raises(kind) as refused:
        mistake()
    assert text in str(refused.value)


def test_braces_written_twice_stand_once(run):
    def braces(tx):
        return tx.alert(when=tx.amount > 0, reason="{{{amount}}}", evidence={})

    assert folded(run(braces), [row(1, 5)])[0][0]["reason"] == "{5.00}"


def test_windows_are_found_wherever_they_stand():
    found = alert(
        when=~((TX.previous(1).count() > 1) | (TX.amount > TX.previous(2).mean("amount"))),
        score=points(TX.previous(3).count() > 1, 5) + 1,
        evidence={"n": 1 - TX.previous(4).count()},
    )
    assert {window.rows for window in windows_of(found)} == {1, 2, 3, 4}
