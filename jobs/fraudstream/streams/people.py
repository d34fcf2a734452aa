"""The table people_big in the lake."""

from __future__ import annotations

from fraudstream.streams.table_mirror import CapturedTable

_COLUMNS = {
    "id": "long", "first_name": "string", "last_name": "string", "gender": "string", "department": "string",
    "salary": "long", "country": "string",
}  # fmt: skip


def people_table(topic: str) -> CapturedTable:
    """The people, with the columns of PostgreSQL."""
    return CapturedTable(name="people_big", topic=topic, row=_COLUMNS, columns=_COLUMNS)
