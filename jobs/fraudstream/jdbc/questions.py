"""The exercise's five questions about people_big, in SQL that PostgreSQL and Spark understand alike.

Averages are taken of decimals and rounded to four digits, so that every engine finds the same ones."""

from __future__ import annotations

from typing import NamedTuple

TABLE = "people_big"
PAIRED = 100_000
"""The question about pairs is asked of this many people, as the exercise does: of all it means 10 billion pairs."""

_SALARY = "cast(salary AS decimal(12,0))"


class Question(NamedTuple):
    """`sql` is the query as the exercise has it, `better` what a person writes who has seen its plan."""

    name: str
    sql: str
    better: str


def _question(name: str, sql: str, better: str | None = None) -> Question:
    return Question(name, " ".join(sql.split()), " ".join((better or sql).split()))


QUESTIONS = (
    _question("rows", f"SELECT count(*) AS people FROM {TABLE}"),
    _question(
        "salary by department",
        f"SELECT department, round(avg({_SALARY}), 4) AS average FROM {TABLE} GROUP BY department",
    ),
    _question(
        "mean of departments by country",
        f"""
        SELECT country, round(avg(average), 4) AS average
        FROM (
            SELECT country, department, round(avg({_SALARY}), 4) AS average FROM {TABLE} GROUP BY country, department
        ) AS departments
        GROUP BY country
        """,
    ),
    _question("ten best paid", f"SELECT * FROM {TABLE} ORDER BY salary DESC, id LIMIT 10"),
    _question(
        "pairs of one country",
        f"""
        SELECT count(*) AS pairs
        FROM (SELECT country FROM {TABLE} WHERE id <= {PAIRED}) AS one
        JOIN (SELECT country FROM {TABLE} WHERE id <= {PAIRED}) AS other ON one.country = other.country
        """,
        f"""
        SELECT cast(coalesce(sum(people * people), 0) AS bigint) AS pairs
        FROM (SELECT count(*) AS people FROM {TABLE} WHERE id <= {PAIRED} GROUP BY country) AS countries
        """,
    ),
)
