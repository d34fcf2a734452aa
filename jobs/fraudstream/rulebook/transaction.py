"""What a rule is written against: the transaction, its windows and the alert; and what an alert needs of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cache
from string import Formatter

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.deviation import split
from fraudstream.rulebook.earlier import Aggregate, Nth, Window

_MOST_ROWS = 10_000


@dataclass(frozen=True)
class Alert:
    """What a rule's body returns: when to alert, its score, and how to explain it."""

    when: e.Condition
    reason: str
    evidence: Mapping[str, e.Expression]
    score: e.Expression | None


class Transaction:
    """The symbolic transaction that a rule's body is written against."""

    amount: e.Expression = e.Amount()
    time: e.Expression = e.Time()  # seconds since 1970
    card_type = e.Field("card_type")
    merchant_id = e.Field("merchant_id")

    def previous(self, rows: int) -> Window:
        """The last `rows` transactions of the rule's key (of the user) before this one."""
        if not 1 <= rows <= _MOST_ROWS:
            raise ValueError(f"previous({rows}): a window has 1 to {_MOST_ROWS} rows")
        return Window(rows=rows)

    def within(self, duration: str) -> Window:
        """The earlier transactions of the rule's key (of the user) with an event time in (t - duration, t]."""
        span = e.micros(duration)
        if not span:
            raise ValueError(f"within({duration!r}): a window is longer than nothing")
        return Window(span=span)

    def card_points(self, table: Mapping[str, e.Number]) -> e.Expression:
        """The number that `table` gives the transaction's card type; 0 where it names none."""
        return e.CardPoints(tuple((card, e.fraction(points)) for card, points in sorted(table.items())))

    def alert(
        self,
        *,
        when: e.Condition,
        reason: str,
        evidence: Mapping[str, e.Expression | e.Number],
        score: e.Expression | None = None,
    ) -> Alert:
        """The alert. `reason` is one sentence with {amount}, {score} and the names of `evidence` to fill in.

        Raises ValueError for a name that the sentence cannot have, and for a standard deviation where it cannot stand.
        """
        figures = {name: e.expression(value) for name, value in evidence.items()}
        alert = Alert(when, reason, figures, score)
        _check(alert)
        return alert


def seconds(duration: str) -> e.Expression:
    """The seconds of a duration like "60s", to compare with a difference of times."""
    return e.expression(Fraction(e.micros(duration), 1_000_000))


def points(when: e.Condition, number: e.Number) -> e.Expression:
    """`number` where the condition holds, else 0."""
    return e.Points(when, e.fraction(number))


@cache
def sentence_parts(reason: str) -> tuple[tuple[str, str], ...]:
    """The reason as pairs of a text and the name of the figure behind it ("" at the end)."""
    return tuple((text, name or "") for text, name, _, _ in Formatter().parse(reason))


def windows_of(alert: Alert) -> set[Window]:
    """All windows that the alert's parts look at."""
    return {node for node in _all_nodes(alert) if isinstance(node, Window)}


def columns_seen(alert: Alert) -> set[str]:
    """The columns of earlier transactions, as they are kept, that the alert's parts need."""
    found = set()
    for node in _all_nodes(alert):
        match node:
            case Aggregate(_, _, column) | Nth(_, _, column):
                found |= {column} - {""}
            case Window(_, span, alike, condition):
                found |= {*alike, *(["created_at"] if span else [])}
                found |= {name for name, is_earlier in _leaves(condition) if is_earlier}
    return found


def _leaves(root: object) -> Iterator[tuple[str, bool]]:
    """The columns that stand in an expression outside of windows, and whether they are those of an earlier one."""
    for node in _nodes(root):
        match node:
            case e.Amount(earlier):
                yield "cents", earlier
            case e.Time(earlier):
                yield "created_at", earlier
            case e.Membership(name, _, earlier):
                yield name, earlier
            case e.CardPoints():
                yield "card_type", False


def _check(alert: Alert) -> None:
    if not isinstance(alert.when, e.Condition):
        raise ValueError(f"when is {alert.when!r}; it must be a condition, like tx.amount > 500")
    allowed = {*alert.evidence, "amount", *(["score"] if alert.score else [])}
    for _, name, form, conversion in Formatter().parse(alert.reason):
        if form or conversion:
            raise ValueError(f"the reason formats {{{name}}}; figures are shown as they stand in the evidence")
        if name is not None and name not in allowed:
            raise ValueError(f"the reason names {{{name}}}; it may name {', '.join(sorted(allowed))}")
    for node in _all_nodes(alert):
        if isinstance(node, e.Comparison):
            split(node.left - node.right)
        if isinstance(node, Window) and node.condition is not None:
            _check_where(node.condition)
    if any(is_earlier for root in _roots(alert) for _, is_earlier in _leaves(root)):
        raise ValueError("a window's own column, like past.amount, stands outside of past.where(...)")
    for figure in alert.evidence.values():
        split(figure)
    if alert.score and split(alert.score)[2]:
        raise ValueError("a score cannot have a standard deviation, which is no fraction")


def _check_where(condition: e.Condition) -> None:
    if any(isinstance(node, Window) for node in _nodes(condition)):
        raise ValueError("where(...) compares columns of the window, like past.amount, with numbers; not with windows")
    if not all(is_earlier for _, is_earlier in _leaves(condition)):
        raise ValueError(
            "where(...) compares columns of the window, like past.amount, with numbers; for equality with this "
            "transaction there is past.same('amount')"
        )


def _roots(alert: Alert) -> tuple[object, ...]:
    return alert.when, alert.score, *alert.evidence.values()


def _all_nodes(alert: Alert) -> Iterator[object]:
    for root in _roots(alert):
        yield from _nodes(root)


def _nodes(node: object) -> Iterator[object]:
    yield node
    if isinstance(node, e.Expression | e.Condition):
        for field in fields(node):
            yield from _nodes(getattr(node, field.name))
