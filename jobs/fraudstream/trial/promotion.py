"""Promoting a shadow rule: conf/rules.yaml is edited, its comments stay, and what runs follows the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from fraudstream import documents
from fraudstream.config import Pipeline
from fraudstream.errors import FraudstreamError
from fraudstream.rulebook.catalog import Rule, load_rules, parse_rules
from fraudstream.rulebook.labels import Labels
from fraudstream.streams import record

_NEEDED = ("version", "against", "against_version", "created_at", "records")


def require_comparison(rule: Rule, report: Path, rules: Mapping[str, Rule], pipeline: Pipeline) -> str | None:
    """The live rule of the same rule file that the shadow rule was compared with, None for none.

    Raises FraudstreamError unless the report compares this version of the rule, and the other as it is now, over some
    records, and was made since the rule became a shadow of this version.
    """
    again = f"run `./spark-submit.sh compare_rules {rule.name}` and look at it before you promote the rule."
    if not report.exists():
        raise FraudstreamError(f"{rule.name} has not been compared with what is live; {again}")
    try:
        found: dict[str, Any] = {**dict.fromkeys(_NEEDED), **json.loads(report.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError) as error:
        raise FraudstreamError(f"{report}: it cannot be read ({error}); {again}") from error
    if found["version"] != rule.version:
        raise FraudstreamError(f"{report}: it compares version {found['version']}, now it is {rule.version}; {again}")
    known = record.entries(pipeline.lake, rule.name)
    if not known or not record.is_of(known[-1], rule) or found["created_at"] < known[-1]["recorded_at"]:
        raise FraudstreamError(f"{report}: it is older than the shadow rule's version {rule.version}; {again}")
    other = found["against"]
    if other is not None and (other not in rules or rules[other].version != found["against_version"]):
        raise FraudstreamError(f"{report}: {other} is not version {found['against_version']} any more; {again}")
    if other is not None and rules[other].status != "live":
        raise FraudstreamError(f"{report}: {other} is {rules[other].status} now, not live; {again}")
    if not found["records"]:
        raise FraudstreamError(f"{report}: there was no record yet that both rules had judged; {again}")
    successor_of = None if other is None or rules[other].rule != rule.rule else rules[other]
    _require_alike(rule, successor_of)
    return None if successor_of is None else successor_of.name


def _require_alike(rule: Rule, other: Rule | None) -> None:
    """Raises FraudstreamError where the rule would not judge, once promoted, as it did when it was compared."""
    if "on" in (rule.corrections, other.corrections if other else "off"):
        raise FraudstreamError(
            f"{rule.name}: a rule with corrections judges earlier transactions again, so no version can take over from "
            f"another. Edit the rules file, and start detect_fraud with --forget {other.name if other else rule.name}."
        )
    if other is None:
        return
    if rule.snapshot != other.snapshot:
        raise FraudstreamError(
            f"{rule.name} was tried with snapshot: {rule.snapshot}, {other.name} has snapshot: {other.snapshot}; make "
            "them alike, and compare again."
        )
    if any(value == Labels() != other.parameters[name] for name, value in rule.parameters.items()):
        raise FraudstreamError(f"{rule.name} was tried without labels, {other.name} has some; give it these, too.")


def promote(file: Path, name: str, other: str | None) -> None:
    """Make the shadow rule live in the rules file: without another, its status is set; else its parameters become those
    of the `other`, which goes on as a new version, and its own entry is paused.

    Raises FraudstreamError, and changes nothing, if the edited file would not be that.
    """
    text = documents.read_text(file, "name another file with --rules-file")
    before = {rule.name: rule for rule in load_rules(file)}
    wanted = dict(before)
    if other is None:
        edited = with_setting(text, (name, "status"), "live")
        wanted[name] = replace(before[name], status="live")
    else:
        parameters = before[name].parameters
        edited = with_setting(text, (name, "status"), "paused")
        for parameter, value in parameters.items():
            if value != before[other].parameters[parameter]:
                edited = with_setting(edited, (other, "parameters", parameter), _written(value))
        wanted[name] = replace(before[name], status="paused")
        wanted[other] = replace(before[other], parameters=parameters)
    after = {rule.name: rule for rule in parse_rules(edited, file)}
    if {each: replace(rule, version="") for each, rule in after.items()} != {
        each: replace(rule, version="") for each, rule in wanted.items()
    }:
        raise FraudstreamError(f"{file}: it could not be edited; set the status and parameters of {name} by hand.")
    written = file.with_name(f".{file.name}.new")
    written.write_text(edited, encoding="utf-8")
    written.rename(file)


def with_setting(text: str, path: Sequence[str], value: str) -> str:
    """The text of a YAML mapping with `value` (as YAML) at the path of keys, in place of another one if there is one.
    All else in it stays. The path's first key must be there."""
    node: Any = documents.compose(text, "the rules file")
    for place, key in enumerate(path):
        found = next((child for name, child in node.value if name.value == key), None)
        if found is None:
            for rest in reversed(path[place + 1 :]):
                value = f"{{{rest}: {value}}}"
            return _with_entry(text, node, f"{key}: {value}")
        node = found
    return f"{text[: node.start_mark.index]}{value}{text[_end(node) :]}"


def _with_entry(text: str, node: yaml.MappingNode, entry: str) -> str:
    begin = node.start_mark.index
    if node.flow_style:
        return f"{text[: begin + 1]}{entry}{', ' if node.value else ''}{text[begin + 1 :]}"
    return f"{text[:begin]}{entry}\n{' ' * node.start_mark.column}{text[begin:]}"


def _end(node: yaml.Node) -> int:
    """Behind the node's last character: a block mapping's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    index: int = node.end_mark.index
    return index


def _written(value: Any) -> str:
    """A parameter's value as YAML on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_written(name)}: {_written(each)}' for name, each in value.items())}}}"
    if isinstance(value, Decimal):
        return str(value)
    text = value.file if isinstance(value, Labels) else value
    return yaml.safe_dump(text, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
