"""What a rule may ask of the earlier transactions of its key: windows, and their columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fraudstream.rulebook.expressions import Amount, Condition, Expression, Field, Time, micros
from fraudstream.rulebook.labels import Labels

# The columns of an earlier transaction, by the name that rules give them: under which it is kept.
COLUMNS = {"amount": "cents", "time": "created_at", "merchant_id": "merchant_id", "user_id": "user_id"}
_MOST_BACK = 10_000


@dataclass(frozen=True)
class Window:
    """Earlier transactions of the key: the last `rows`, or those within `span` microseconds; of these the ones that
    have the columns `alike` in common with this one, and for which `condition` holds."""

    rows: int = 0
    span: int = 0
    alike: tuple[str, ...] = ()
    condition: Condition | None = None

    @property
    def whole(self) -> Window:
        """The window without its filters."""
        return Window(self.rows, self.span)

    # What `where` compares.
    amount = Amount(earlier=True)
    time = Time(earlier=True)
    merchant_id = Field("merchant_id", earlier=True)

    def where(self, condition: Condition) -> Window:
        """Those for which the condition on their own columns holds, like `past.where(past.amount <= 5)`."""
        if not isinstance(condition, Condition):
            raise ValueError(f"where({condition!r}): it takes a condition, like past.amount <= 5")
        return replace(self, condition=condition if self.condition is None else self.condition & condition)

    def same(self, *names: str) -> Window:
        """Those that have the same value as this one in each of the columns; null is the same as nothing."""
        if not names:
            raise ValueError("same() names the columns that must be equal, like same('merchant_id', 'amount')")
        kept = (_column(name, "amount", "merchant_id", "user_id") for name in names)
        return replace(self, alike=tuple(sorted({*self.alike, *kept})))

    def count(self) -> Expression:
        """How many."""
        return Aggregate(self, "count")

    def distinct(self, name: str) -> Expression:
        """How many different values they have in the column; null is none."""
        return Aggregate(self, "distinct", _column(name, "amount", "merchant_id", "user_id"))

    def sum(self, name: str) -> Expression:
        """Their sum; 0 for none."""
        return Aggregate(self, "sum", _column(name, "amount"))

    def mean(self, name: str) -> Expression:
        """Their mean; null for none, and a comparison with null does not hold."""
        return Aggregate(self, "mean", _column(name, "amount"))

    def min(self, name: str) -> Expression:
        """The smallest; null for none."""
        return Aggregate(self, "min", _column(name, "amount", "time"))

    def max(self, name: str) -> Expression:
        """The greatest; null for none."""
        return Aggregate(self, "max", _column(name, "amount", "time"))

    def std(self, name: str) -> Expression:
        """Their population standard deviation; null for none.

        It is no fraction, so it may only be added, subtracted and multiplied or divided by a number; comparisons are
        decided exactly all the same.
        """
        return Aggregate(self, "std", _column(name, "amount"))

    def confirmed(self, labels: Labels, delay: str) -> Expression:
        """How many of them were confirmed as fraud at least `delay` before this transaction's event time."""
        return Confirmed(self, labels, micros(delay))

    def nth(self, back: int, name: str) -> Expression:
        """The value of the `back`-th of them before this one, in order, where the last is 1; null if there are fewer.

        `tx.time - past.last("time")` is the gap since the last one, in seconds.
        """
        if not 1 <= back <= _MOST_BACK:
            raise ValueError(f"nth({back}): it goes 1 to {_MOST_BACK} transactions back")
        return Nth(self, back, _column(name, "amount", "time"))

    def last(self, name: str) -> Expression:
        """The value of the last of them before this one; null for none."""
        return self.nth(1, name)


@dataclass(frozen=True, eq=False)
class Aggregate(Expression):
    """A window's count, or the distinct values, sum, mean, min, max or std of a column."""

    window: Window
    function: str
    column: str = ""

    @property
    def whole(self) -> bool:
        return self.function in ("count", "distinct")


@dataclass(frozen=True, eq=False)
class Nth(Expression):
    """The column's value in the `back`-th row before this one that the window shows."""

    window: Window
    back: int
    column: str


@dataclass(frozen=True, eq=False)
class Confirmed(Expression):
    """How many rows of the window have a label that is at least `delay` microseconds older than the transaction."""

    window: Window
    labels: Labels
    delay: int

    @property
    def whole(self) -> bool:
        return True


def _column(name: str, *allowed: str) -> str:
    if name not in allowed:
        has = " and ".join(repr(each) for each in allowed)
        raise ValueError(f"a window has no column {name!r} for this; it has {has}")
    return COLUMNS[name]
