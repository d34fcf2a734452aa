"""What a rule is written against: the transaction, its windows and the alert; and what an alert needs of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from string import Formatter

from fraudstream.rulebook import expressions as e
from fraudstream.rulebook.deviation import split

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
    card_type = e.Field("card_type")
    merchant_id = e.Field("merchant_id")

    def previous(self, rows: int) -> e.Window:
        """The user's last `rows` transactions before this one."""
        if not 1 <= rows <= _MOST_ROWS:
            raise ValueError(f"previous({rows}): a window has 1 to {_MOST_ROWS} rows")
        return e.Window(rows=rows)

    def within(self, duration: str) -> e.Window:
        """The user's earlier transactions with an event time in (t - duration, t]."""
        span = e.micros(duration)
        if not span:
            raise ValueError(f"within({duration!r}): a window is longer than nothing")
        return e.Window(span=span)

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


def points(when: e.Condition, number: e.Number) -> e.Expression:
    """`number` where the condition holds, else 0."""
    return e.Points(when, e.fraction(number))


def sentence_parts(reason: str) -> list[tuple[str, str]]:
    """The reason as pairs of a text and the name of the figure behind it ("" at the end)."""
    return [(text, name or "") for text, name, _, _ in Formatter().parse(reason)]


def windows_of(alert: Alert) -> set[e.Window]:
    """All windows that the alert's parts look at."""
    return {node for node in _all_nodes(alert) if isinstance(node, e.Window)}


def sees_amounts(alert: Alert) -> bool:
    """Whether a part of the alert needs the amounts of earlier transactions."""
    return any(isinstance(node, e.Aggregate) and bool(node.field) for node in _all_nodes(alert))


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
    for figure in alert.evidence.values():
        split(figure)
    if alert.score and split(alert.score)[2]:
        raise ValueError("a score cannot have a standard deviation, which is no fraction")


def _all_nodes(alert: Alert) -> Iterator[object]:
    for root in (alert.when, alert.score, *alert.evidence.values()):
        yield from _nodes(root)


def _nodes(node: object) -> Iterator[object]:
    yield node
    if isinstance(node, e.Expression | e.Condition):
        for field in fields(node):
            yield from _nodes(getattr(node, field.name))
