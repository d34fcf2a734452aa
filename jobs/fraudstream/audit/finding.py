"""What an audit finds: a kind, where, and the ids or offsets it is about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Position = tuple[int, int]  # partition and offset
_SHOWN = 5


class Kind(NamedTuple):
    """What a kind of finding says of its `count`, and how it is closed."""

    text: str
    remedy: str


REPAIR = "make repair"
ORACLE = "compare the rule with docs/semantics.md"
RESET = "./spark-submit.sh detect_fraud --reset QUERY ..."
KINDS = {
    "row_not_captured": Kind("rows of PostgreSQL whose present state never came into the topic", REPAIR),
    "row_not_mirrored": Kind("rows are not as the topic's changes leave them", REPAIR),
    "row_ghost": Kind("rows that PostgreSQL has not, and no delete of them is in the topic", REPAIR),
    "commit_lost": Kind("committed changes of the ledger are not in the topic", "that of the rows above"),
    "commit_doubled": Kind("changes in the topic that the ledger has not, or not that often", "look at the ledger"),
    "change_missing": Kind("changes of the topic are missing", REPAIR),
    "change_doubled": Kind("changes stand there more than once", REPAIR),
    "change_unknown": Kind("changes are not in the topic", REPAIR),
    "quarantine_missing": Kind("unreadable messages are missing", REPAIR),
    "quarantine_doubled": Kind("messages stand there more than once", REPAIR),
    "quarantine_unknown": Kind("messages are not in the topic, have other bytes there, or are mirrored", REPAIR),
    "message_doubled": Kind("messages repeat a change that stands in the topic before them", REPAIR),
    "checkpoint_gone": Kind("checkpoint of a query that has worked: where it stood is unknown", RESET),
    "batch_unbalanced": Kind("batches whose parts do not add up to what was read", RESET),
    "batch_gap": Kind("records lie between two batches and were not read", RESET),
    "batch_overlap": Kind("records were read by two batches", RESET),
    "batch_count": Kind("records more or less were counted than the topic has", RESET),
    "alert_missing": Kind("alerts of the recomputation are missing", REPAIR),
    "alert_differs": Kind("alerts have other bytes than the recomputation", REPAIR),
    "alert_extra": Kind("alerts that the recomputation has not", REPAIR),
    "oracle_missing": Kind("alerts of the oracle are not in Kafka", ORACLE),
    "oracle_differs": Kind("alerts have other fields than the oracle says", ORACLE),
    "oracle_extra": Kind("alerts that the oracle has not", ORACLE),
    "archived_missing": Kind("alerts of the topic are missing", REPAIR),
    "archived_doubled": Kind("alerts stand there more than once", REPAIR),
    "archived_extra": Kind("alerts are not in the topic", REPAIR),
    "archived_differs": Kind("alerts are not as the topic has them", REPAIR),
}


@dataclass(frozen=True)
class Finding:
    """`ids` are transaction or alert ids, `positions` partitions and offsets of the topic; `where` is a table, a topic
    or a query. `about` is what a repair needs besides."""

    kind: str
    where: str
    ids: Sequence[int | str] = ()
    positions: Sequence[Position] = ()
    count: int = 0
    about: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", self.count or max(len(self.ids), len(self.positions)))

    @property
    def text(self) -> str:
        """One line for people: how many of what, where, and the first of them."""
        return f"{self.where}: {self.count:,} {KINDS[self.kind].text}{self._examples()}"

    def _examples(self) -> str:
        if self.positions:
            spans = offset_ranges(self.positions)
            parts = [f"{number}: {ranges_text(found[:_SHOWN])}" for number, found in spans.items()]
            more = any(len(found) > _SHOWN for found in spans.values())
            return f" (offsets of partition {'; '.join(parts)}{' ...' if more else ''})"
        if not self.ids:
            return ""
        if isinstance(self.ids[0], str):
            shown = [str(each)[:12] for each in self.ids[:_SHOWN]]
            return f" ({', '.join(shown)}{' ...' if len(self.ids) > _SHOWN else ''})"
        return f" ({ids_text(int(each) for each in self.ids)})"

    def as_json(self) -> dict[str, Any]:
        """The finding for machines; numbers as ranges [first, last]."""
        numbers = [each for each in self.ids if isinstance(each, int)]
        return {
            "kind": self.kind, "where": self.where, "count": self.count, "remedy": KINDS[self.kind].remedy,
            "text": self.text, "ids": ranges(numbers) if numbers else list(self.ids),
            "offsets": {str(number): found for number, found in offset_ranges(self.positions).items()},
        }  # fmt: skip


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """The numbers, each once, as ascending ranges [first, last]: 3, 1, 2, 7 -> [1, 3], [7, 7]."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def ranges_text(found: Sequence[Sequence[int]]) -> str:
    """Ranges for people: "1-3, 7"."""
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)


def ids_text(ids: Iterable[int]) -> str:
    """The first of the ids for people: "ids 1-3, 7"."""
    found = ranges(ids)
    return f"ids {ranges_text(found[:_SHOWN])}{' ...' if len(found) > _SHOWN else ''}"


def offset_ranges(positions: Iterable[Position]) -> Mapping[int, list[list[int]]]:
    """Ranges of offsets by partition."""
    offsets: dict[int, list[int]] = defaultdict(list)
    for partition, offset in positions:
        offsets[partition].append(offset)
    return {partition: ranges(offsets[partition]) for partition in sorted(offsets)}


@dataclass
class Part:
    """One part of an audit: its figures, its findings, and notes. `incomplete` are the reasons for which something that
    was asked for could not be compared: without findings such a part is not in order, but unknown."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)

    def found(self, kind: str, where: str, **about: Any) -> None:
        """Add a finding, if it is about anything."""
        finding = Finding(kind, where, **about)
        if finding.count:
            self.findings.append(finding)

    def as_json(self) -> dict[str, Any]:
        """The part for machines."""
        found = [each.as_json() for each in self.findings]
        return {
            "part": self.name, "ok": not found and not self.incomplete, "figures": self.figures, "findings": found,
            "incomplete": self.incomplete, "notes": self.notes,
        }  # fmt: skip
