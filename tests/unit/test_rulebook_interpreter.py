"""Any rule: columns in any batches give what the interpreter gives one transaction at a time."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.catalog import Rule
from fraudstream.rulebook.interpreter import Paid, holds, seen, value
from fraudstream.rulebook.payload import NULL, figure
from fraudstream.rulebook.transaction import Transaction, points
from unit.histories import NOON, SECOND, alerting, folded, row

TX = Transaction()
numbers = st.sampled_from([0, 1, 2, -3, 7, 500, Decimal("0.5"), Decimal("-2.25"), Fraction(1, 3)])
relations = st.sampled_from([lambda a, b: a > b, lambda a, b: a >= b, lambda a, b: a < b, lambda a, b: a <= b])
whole_windows = st.one_of(
    st.integers(1, 6).map(TX.previous), st.sampled_from(["1s", "30s", "60s", "5m"]).map(TX.within)
)  # fmt: skip
columns = st.lists(st.sampled_from(["merchant_id", "amount", "user_id"]), min_size=1, max_size=2)


def where(window):
    of_amounts = st.tuples(relations, st.integers(1, 6)).map(lambda parts: parts[0](2 * window.amount, parts[1]))
    of_times = st.tuples(relations, st.integers(0, 10)).map(
        lambda parts: parts[0](window.time, NOON // SECOND + 100 * parts[1])
    )
    of_merchants = st.just(window.merchant_id.is_in(1, 2))
    return st.one_of(of_amounts, of_times, of_merchants, of_merchants.map(lambda each: ~each)).map(window.where)


windows = st.one_of(
    whole_windows,
    st.tuples(whole_windows, columns).map(lambda pair: pair[0].same(*pair[1])),
    st.one_of(whole_windows, whole_windows.map(lambda each: each.same("merchant_id"))).flatmap(where).flatmap(
        lambda each: st.one_of(st.just(each), where(each))
    ),
)  # fmt: skip
aggregates = st.one_of(
    windows.map(lambda window: window.count()),
    st.tuples(windows, st.sampled_from(["merchant_id", "amount", "user_id"])).map(
        lambda pair: pair[0].distinct(pair[1])
    ),
    st.tuples(windows, st.sampled_from(["sum", "mean", "min", "max", "last"])).map(
        lambda pair: getattr(pair[0], pair[1])("amount")
    ),
    st.tuples(windows, st.integers(1, 5)).map(lambda pair: pair[0].nth(pair[1], "amount")),
    st.tuples(windows, st.sampled_from(["min", "max", "last"])).map(
        lambda pair: TX.time - getattr(pair[0], pair[1])("time")
    ),
    st.tuples(windows, st.integers(1, 5)).map(lambda pair: TX.time - pair[0].nth(pair[1], "time")),
)
tables = st.dictionaries(st.sampled_from(["VISA", "AMEX", "MC"]), numbers, max_size=3).map(TX.card_points)


def arithmetic(operands):
    operator = st.sampled_from([lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b])
    return st.tuples(operator, operands, operands).map(lambda parts: parts[0](parts[1], parts[2]))


expressions = st.recursive(
    st.one_of(st.just(TX.amount), aggregates, tables, numbers.map(e.expression)), arithmetic, max_leaves=4
)
comparisons = st.tuples(relations, expressions, expressions).map(lambda parts: parts[0](parts[1], parts[2]))
deviations = st.tuples(relations, windows, numbers, numbers).map(
    lambda parts: parts[0](TX.amount, parts[1].mean("amount") + parts[2] * parts[1].std("amount") + parts[3])
)
scores = st.tuples(relations, comparisons, numbers, numbers).map(
    lambda parts: parts[0](points(parts[1], parts[2]) + points(TX.amount > 5, 2), parts[3])
)
members = st.one_of(st.just(TX.card_type.is_in("VISA", "MC")), st.just(TX.merchant_id.is_in(2, 3)))
conditions = st.recursive(
    st.one_of(comparisons, deviations, scores, members),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda condition: ~condition),
    ),
    max_leaves=3,
)
rows = st.builds(
    lambda user, cents, at, card, merchant: {
        "user": user, "cents": cents, "at": at, "card_type": card, "merchant_id": merchant,
    },
    st.integers(1, 3),
    st.one_of(st.integers(-300, 1500), st.sampled_from([10**14, -(10**14), 50000])),
    st.sampled_from([0, 1, 29, 30, 31, 59, 60, 61, 299, 300, 630, 660, 661, 901]),
    st.sampled_from(["VISA", "AMEX", None]),
    st.sampled_from([1, 2, 3, 4, None]),
)  # fmt: skip


def rule_with(condition: e.Condition, key: str, evidence: dict[str, e.Expression] | None = None) -> Rule:
    rule = Rule(
        name="any", rule="any", severity="low", status="live", trigger="micro-batch", snapshot="join", parameters={},
        version="0", key=key,
    )  # fmt: skip
    rule.__dict__["alert"] = TX.alert(when=condition, reason="any", evidence=evidence or {})
    return rule


def decided_one_by_one(condition: e.Condition, key: str, history: list[dict]) -> list[int]:
    earlier = defaultdict(list)
    found = []
    for number, each in enumerate(history):
        now = Paid(
            each["cents"], NOON + each["at"] * SECOND, each["card_type"], each["merchant_id"], user_id=each["user"]
        )
        mine = earlier[getattr(now, key)]
        if holds(condition, now, mine):
            found.append(number)
        mine.append(now)
    return found


def placed(history: list[dict]) -> list[dict]:
    return [
        row(number, **{**each, "merchant_id": NULL if each["merchant_id"] is None else each["merchant_id"]})
        for number, each in enumerate(history)
    ]


@given(
    condition=conditions,
    key=st.sampled_from(["user_id", "user_id", "merchant_id"]),
    history=st.lists(rows, min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_columns_decide_like_one_transaction_at_a_time(condition, key, history, cuts):
    found = sorted(alerting(rule_with(condition, key), placed(history), cuts))
    assert found == decided_one_by_one(condition, key, history)


few_rows = st.builds(
    lambda cents, at, merchant: {"user": 1, "cents": cents, "at": at, "card_type": None, "merchant_id": merchant},
    st.sampled_from([100, 200, 300]), st.sampled_from([0, 1, 30, 60, 61, 90, 700]), st.sampled_from([1, 2, None]),
)  # fmt: skip


@given(
    expression=aggregates,
    history=st.lists(few_rows, min_size=5, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
@settings(max_examples=500, deadline=None)
def test_each_figure_of_a_window_is_that_of_one_transaction_at_a_time(expression, history, cuts):
    # One user with many equal values: windows overlap, values repeat within them and fall out of them.
    rule = rule_with(TX.amount > 0, "user_id", {"figure": expression})
    found = {alert["transaction_id"]: alert["evidence"]["figure"] for alert in folded(rule, placed(history), cuts)[0]}
    earlier: list[Paid] = []
    for number, each in enumerate(history):
        now = paid(each["cents"], each["at"], merchant_id=each["merchant_id"], user_id=1)
        assert found[number] == figure(value(expression, now, earlier), expression.whole)
        earlier.append(now)


def paid(cents: int, at: float = 0, **more) -> Paid:
    return Paid(cents, NOON + round(at * SECOND), **more)


def test_the_interpreter_sees_the_windows_of_the_definitions():
    earlier = [paid(1, 0), paid(2, 0.000001), paid(3, 60), paid(4, 61)]
    assert [each.cents for each in seen(TX.within("60s"), paid(9, 60), earlier)] == [2, 3]
    assert [each.cents for each in seen(TX.previous(2), paid(9, 60), earlier)] == [3, 4]
    late = [paid(1, 0), paid(2, 1), paid(3, 660)]
    assert [each.cents for each in seen(TX.within("60s"), paid(9, 5), late)] == [2]


def test_the_interpreter_reckons_exactly_and_knows_null():
    past, now = TX.previous(3), paid(70000, card_type="AMEX")
    earlier = [paid(100), paid(20000), paid(20000), paid(20100)]
    assert value(past.mean("amount"), now, earlier) == Fraction(60100, 300)
    assert value(past.mean("amount"), now, []) is None
    assert value(TX.amount / past.sum("amount"), now, []) is None
    assert value(TX.card_points({"AMEX": 5}) - 1, now, []) == 4
    assert holds(TX.amount > 3 * past.mean("amount"), now, earlier)
    assert not holds(TX.amount > past.mean("amount"), now, [])
    assert holds(~(TX.amount > past.mean("amount")), now, [])


def test_the_interpreter_decides_a_tie_of_sigmas():
    past, earlier = TX.previous(4), [paid(40000), paid(40000), paid(60000), paid(60000)]
    limit = past.mean("amount") + 3 * past.std("amount")
    assert not holds(TX.amount > limit, paid(80000), earlier)
    assert holds(TX.amount >= limit, paid(80000), earlier)
    assert holds(TX.amount > limit, paid(80001), earlier)


def test_the_interpreter_filters_and_looks_back():
    earlier = [paid(100, 0, merchant_id=1), paid(200, 10, merchant_id=2), paid(100, 20, merchant_id=2), paid(300, 30)]
    past, now = TX.previous(3), paid(100, 50.5, merchant_id=2)
    assert [each.cents for each in seen(past.same("merchant_id"), now, earlier)] == [200, 100]
    assert [each.cents for each in seen(past.same("merchant_id", "amount"), now, earlier)] == [100]
    assert [each.cents for each in seen(past.same("merchant_id"), paid(1), earlier)] == []
    assert [each.cents for each in seen(past.where(past.amount >= 2), now, earlier)] == [200, 300]
    assert [each.cents for each in seen(past.where(past.amount >= 2).where(past.amount < 3), now, earlier)] == [200]
    assert value(past.distinct("merchant_id"), now, earlier) == 1
    assert value(TX.previous(4).distinct("merchant_id"), now, earlier) == 2
    assert value(past.nth(2, "amount"), now, earlier) == 1
    assert value(past.nth(4, "amount"), now, earlier) is None
    assert value(TX.time - past.last("time"), now, earlier) == Fraction(41, 2)
    assert value(TX.time - past.min("time"), now, earlier) == Fraction(81, 2)
