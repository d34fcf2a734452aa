"""Rules with other parameters than conf/rules.yaml gives them: what a sweep tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from typing import Any

from fraudstream import documents
from fraudstream.errors import ConfigError, FraudstreamError
from fraudstream.rulebook.catalog import Rule, definition_of, version_of
from fraudstream.rulebook.labels import Labels

MOST_VARIANTS = 100


@dataclass(frozen=True)
class Variant:
    """A rule with the parameters of a sweep; `changed` are those that differ from the configured ones, as texts."""

    rule: Rule
    changed: Mapping[str, str]

    @property
    def name(self) -> str:
        """The rule's name and what is changed of it."""
        return " ".join([self.rule.name, *(f"{name}={value}" for name, value in self.changed.items())])


@dataclass(frozen=True)
class Sweep:
    """The values of one parameter that are tried, as they were written; `rule` None: of the only rule."""

    rule: str | None
    parameter: str
    values: tuple[str, ...]


def parse_sweep(text: str) -> Sweep:
    """The sweep of `factor=2.5,3,4` or `anomaly.factor=2.5,3,4`. Raises FraudstreamError for another text."""
    name, equals, values = text.partition("=")
    rule, dot, parameter = name.strip().rpartition(".")
    found = tuple(dict.fromkeys(value.strip() for value in values.split(",") if value.strip()))
    if not equals or not parameter or not found or (dot and not rule):
        raise FraudstreamError(f"--param is {text!r}; write it like factor=2.5,3,4 or anomaly.factor=2.5,3,4.")
    return Sweep(rule or None, parameter, found)


def variants(rules: Sequence[Rule], sweeps: Sequence[Sweep]) -> list[Variant]:
    """Each rule as it is configured, and then with every combination of its sweeps' values.

    Raises FraudstreamError for a sweep of no rule or of several, and ConfigError for a parameter or a value that the
    rule does not take.
    """
    by_rule: dict[str, dict[str, tuple[str, ...]]] = {rule.name: {} for rule in rules}
    for sweep in sweeps:
        by_rule[_rule_of(sweep, by_rule)][sweep.parameter] = sweep.values
    found = []
    for rule in rules:
        tried = [Variant(rule, {}), *_combinations(rule, by_rule[rule.name])]
        found += list({variant.rule.version: variant for variant in reversed(tried)}.values())[::-1]
    if len(found) > MOST_VARIANTS:
        raise FraudstreamError(f"--param: {len(found)} combinations; a sweep has at most {MOST_VARIANTS}.")
    return found


def _rule_of(sweep: Sweep, rules: Mapping[str, Any]) -> str:
    if sweep.rule is None and len(rules) == 1:
        return next(iter(rules))
    if sweep.rule is None:
        raise FraudstreamError(
            f"--param {sweep.parameter}: there are {len(rules)} rules; name one with --rule, or write it like "
            f"{next(iter(rules))}.{sweep.parameter}=..."
        )
    if sweep.rule not in rules:
        raise FraudstreamError(f"--param: no rule {sweep.rule} is tried.{_hint(sweep.rule, list(rules))}")
    return sweep.rule


def _combinations(rule: Rule, tried: Mapping[str, tuple[str, ...]]) -> list[Variant]:
    if not tried:
        return []
    return [
        Variant(with_parameters(rule, dict(zip(tried, values, strict=True))), dict(zip(tried, values, strict=True)))
        for values in product(*tried.values())
    ]


def with_parameters(rule: Rule, texts: Mapping[str, str]) -> Rule:
    """The rule with these parameters, written as in conf/rules.yaml, and the version that it has there with them.
    Raises ConfigError for what the rule does not take."""
    definition = definition_of(rule.rule)
    values = dict(rule.parameters)
    for name, text in texts.items():
        if name not in definition.parameters:
            hint = _hint(name, list(definition.parameters))
            raise ConfigError(f"--param: rule {rule.rule} has no parameter {name}.{hint}")
        try:
            node = documents.compose(text, f"--param {name}")
            values[name] = definition.parameters[name].read(None if node is None else documents.plain(node))
        except ValueError as error:
            raise ConfigError(f"--param: {name} is {documents.shown(text)}; {error}.") from error
    return _versioned(rule, values)


def with_labels(rule: Rule, labels: Labels) -> Rule:
    """The rule with these labels, if it takes labels and names no file of its own."""
    empty = [name for name, value in rule.parameters.items() if isinstance(value, Labels) and not value.ids]
    return _versioned(rule, {**rule.parameters, **dict.fromkeys(empty, labels)}) if empty and labels.ids else rule


def _versioned(rule: Rule, values: Mapping[str, Any]) -> Rule:
    version = version_of(rule.name, rule.rule, definition_of(rule.rule), values)
    found = replace(rule, parameters=values, version=version)
    try:
        found.windows  # noqa: B018  builds the rule, as the catalog does
    except ValueError as error:
        raise ConfigError(f"--param: rule {rule.rule} cannot be built with these parameters: {error}.") from error
    return found


def _hint(found: str, allowed: list[str]) -> str:
    close = get_close_matches(found, allowed, 1)
    return f"{f' Did you mean {close[0]}?' if close else ''} There are {', '.join(allowed)}."
