"""Queries that several rules share, as conf/pipeline.yaml names them: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fraudstream.documents import shown
from fraudstream.errors import ConfigError
from fraudstream.names import check_name

SETTING = "shared_queries"


def checked(found: Mapping[Any, Any], path: Path) -> dict[str, tuple[str, ...]]:
    """The rules of each shared query by its name. Raises ConfigError naming the key, what was found and what is
    allowed."""
    queries: dict[str, tuple[str, ...]] = {}
    judged: dict[str, str] = {}
    for query, rules in found.items():
        check_name(query, f"{path}: {SETTING}", "query")
        where = f"{path}: {SETTING}.{query}"
        if not isinstance(rules, list) or len(rules) < 2:
            raise ConfigError(f"{where} is {shown(rules)}; it must be a list of two rules or more.")
        for rule in rules:
            check_name(rule, where)
            if rule in judged or rule in found:
                raise ConfigError(
                    f"{where} names {rule} {f'as {judged[rule]} does' if rule in judged else 'which is a query'}; "
                    "a rule belongs to one query."
                )
            judged[rule] = query
        queries[query] = tuple(rules)
    return queries


def require_alike(queries: Mapping[str, Sequence[str]], rules: Sequence[Any]) -> None:
    """Raises ConfigError if the `rules` (of rulebook.catalog) that are to run cannot share queries as these say."""
    running = {rule.name: rule for rule in rules}
    for query in queries.keys() & running.keys():
        raise ConfigError(f"{SETTING}: {query} is a rule; give the query a name of its own.")
    for query, names in queries.items():
        if not running.keys() & set(names):
            continue
        where = f"{SETTING}.{query} ({', '.join(names)})"
        for name in names:
            if name not in running or running[name].status != "live":
                raise ConfigError(
                    f"{where}: {name} is not live, or --rules leaves it out; a query's rules run all or none. Make "
                    "them all live, or take one out of the list and start the query over."
                )
            if running[name].stateless or running[name].corrections == "on":
                kind = "has no state" if running[name].stateless else "has corrections"
                raise ConfigError(f"{where}: {name} {kind}; only rules with state, and without corrections, share one.")
        keys = {name: running[name].key for name in names}
        if len(set(keys.values())) > 1:
            raise ConfigError(f"{where}: their keys differ ({keys}); rules of one query have the same key.")
