"""conf/rules.yaml as rules, validated before anything starts."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fraudstream import documents
from fraudstream import rules as rule_files
from fraudstream.documents import line_of
from fraudstream.errors import ConfigError
from fraudstream.names import NAME, check_name
from fraudstream.rulebook.budget import per_day
from fraudstream.rulebook.definition import Definition
from fraudstream.rulebook.earlier import Window
from fraudstream.rulebook.kept import COLUMNS
from fraudstream.rulebook.labels import Labels
from fraudstream.rulebook.transaction import Alert, columns_seen, windows_of
from fraudstream.rulebook.windows import REMEMBERED

_ALLOWED: dict[str, tuple[str, ...]] = {
    "severity": ("low", "medium", "high", "critical"),
    "status": ("live", "shadow", "paused", "draft"),
    "trigger": ("micro-batch", "real-time"),
    "snapshot": ("join", "judge"),
    "corrections": ("off", "on"),
}
_KEYS = ("rule", "parameters", "budget", *_ALLOWED)


@dataclass(frozen=True)
class Rule:
    """A rule of the catalog: a rule file with its parameters and how to run it."""

    name: str
    rule: str
    severity: str
    status: str
    trigger: str
    snapshot: str
    parameters: Mapping[str, Any]
    version: str
    key: str
    budget: int | None = None  # alerts a day
    corrections: str = "off"

    @cached_property
    def alert(self) -> Alert:
        """The rule's expressions; made anew in each process, so that a rule travels as its parameters alone."""
        return definition_of(self.rule).alert(self.parameters)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def windows(self) -> frozenset[Window]:
        """The windows the rule looks at."""
        return frozenset(windows_of(self.alert))

    @property
    def stateless(self) -> bool:
        """Whether the rule needs no earlier transaction: it looks at none, and corrects none."""
        return not self.windows and self.corrections == "off"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What is kept of an earlier transaction: its id, and what the rule sees of it."""
        seen = columns_seen(self.alert)
        return (*(name for name in COLUMNS if name == "id" or name in seen), *self._of_places)

    @property
    def _of_places(self) -> tuple[str, ...]:
        """What is kept of a place in a history that may be corrected."""
        if self.corrections == "off":
            return ()
        return ("lsn", "mark", "rewound") if self.span else ("lsn", "mark")

    @property
    def remembered(self) -> int:
        """How many of a user's last rows are kept at least."""
        return max([REMEMBERED, *(window.rows for window in self.windows)])

    @property
    def span(self) -> int:
        """The longest time window, in microseconds; 0 for none."""
        return max((window.span for window in self.windows), default=0)


def known_rules() -> list[str]:
    """Names of the rule files."""
    files = Path(rule_files.__path__[0]).glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def definition_of(name: str) -> Definition:
    """The definition in the rule file of that name. Raises ConfigError if the file defines no rule of its name."""
    file = f"{rule_files.__path__[0]}/{name}.py"
    try:
        found = getattr(importlib.import_module(f"{rule_files.__name__}.{name}"), name, None)
    except Exception as error:  # whatever the author of the file has written
        raise ConfigError(f"{file}: cannot be loaded ({type(error).__name__}: {error}).") from error
    if not isinstance(found, Definition):
        raise ConfigError(f"{file}: it must define {name} with @rule, named like its file.")
    return found


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of the file, in its order. Raises ConfigError naming file and line, what was found and is allowed."""
    return parse_rules(documents.read_text(path, "name another file with --rules-file"), path)


def parse_rules(text: str, path: Path) -> tuple[Rule, ...]:
    """The rules of the text of a rules file, as of `load_rules`; `path` is named in errors."""
    node = documents.compose(text, path)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ConfigError(f"{path}: it must name rules, like `anomaly: {{severity: high}}`.")
    return tuple(_rule(name, entry, path) for name, entry in _entries(node).items())


def _entries(node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key -> (key node, value node)."""
    return {key.value: (key, value) for key, value in node.value}


def _rule(name: str, nodes: tuple[yaml.Node, yaml.Node], path: Path) -> Rule:
    key_node, entry = nodes
    here = f"{path}, line {line_of(key_node)}"
    check_name(name, here)
    if not isinstance(entry, yaml.MappingNode):
        raise ConfigError(f"{here}: {name} must be a mapping of {', '.join(_KEYS)}; for the defaults write {{}}.")
    settings = _entries(entry)
    for key, (node, _) in settings.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}, line {line_of(node)}: unknown key {key}.{_hint(key, _KEYS)}")
    chosen = {key: _chosen(key, settings, path) for key in _ALLOWED}
    file = _rule_file(name, settings, here, path)
    definition = definition_of(file)
    parameters = _parameters(file, definition, settings.get("parameters"), path)
    rule = Rule(
        name=name, rule=file, parameters=parameters, version=version_of(name, file, definition, parameters),
        key=definition.key, budget=_budget(settings, path), **chosen,
    )  # fmt: skip
    _check_whole(rule, here)
    return rule


def _hint(found: str, allowed: tuple[str, ...] | list[str]) -> str:
    close = get_close_matches(found, allowed, 1)
    return f"{f' Did you mean {close[0]}?' if close else ''} Allowed are {', '.join(allowed)}."


def _chosen(key: str, settings: Mapping[str, tuple[yaml.Node, yaml.Node]], path: Path) -> str:
    allowed = _ALLOWED[key]
    default = "medium" if key == "severity" else allowed[0]
    if key not in settings:
        return default
    node = settings[key][1]
    if not isinstance(node, yaml.ScalarNode) or node.value not in allowed:
        hint = _hint(_shown(node).strip("'"), allowed)
        raise ConfigError(f"{path}, line {line_of(node)}: {key} is {_shown(node)}.{hint}")
    return str(node.value)


def _budget(settings: Mapping[str, tuple[yaml.Node, yaml.Node]], path: Path) -> int | None:
    if "budget" not in settings:
        return None
    node = settings["budget"][1]
    try:
        return per_day(node.value if isinstance(node, yaml.ScalarNode) else _shown(node))
    except ValueError as error:
        raise ConfigError(f"{path}, line {line_of(node)}: budget: {error}.") from error


def _rule_file(name: str, settings: Mapping[str, tuple[yaml.Node, yaml.Node]], here: str, path: Path) -> str:
    node = settings["rule"][1] if "rule" in settings else None
    file = name if node is None else str(node.value)
    if node is not None and not NAME.fullmatch(file):
        file = _shown(node)
    if file not in known_rules():
        where = f"{path}, line {line_of(node)}" if node is not None else here
        raise ConfigError(
            f"{where}: no rule {file} in {rule_files.__path__[0]}.{_hint(file, known_rules())} "
            "A new rule is a file of its name there."
        )
    return file


def _parameters(
    file: str, definition: Definition, nodes: tuple[yaml.Node, yaml.Node] | None, path: Path
) -> dict[str, Any]:
    values = {name: parameter.default for name, parameter in definition.parameters.items()}
    if nodes is None:
        return values
    if not isinstance(nodes[1], yaml.MappingNode):
        raise ConfigError(f"{path}, line {line_of(nodes[1])}: parameters must be a mapping.")
    for name, (key, node) in _entries(nodes[1]).items():
        if name not in definition.parameters:
            hint = _hint(name, list(definition.parameters))
            raise ConfigError(f"{path}, line {line_of(key)}: rule {file} has no parameter {name}.{hint}")
        try:
            values[name] = definition.parameters[name].read(documents.plain(node))
        except ValueError as error:
            raise ConfigError(f"{path}, line {line_of(node)}: {name} is {_shown(node)}; {error}.") from error
    return values


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return documents.shown(node.value)
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"


def _check_whole(rule: Rule, here: str) -> None:
    try:
        stateless = rule.stateless
    except ValueError as error:
        raise ConfigError(f"{here}: rule {rule.rule} cannot be built with these parameters: {error}.") from error
    except Exception as error:  # whatever the author of the rule has written
        raise ConfigError(f"{here}: rule {rule.rule} fails with {type(error).__name__}: {error}.") from error
    if rule.corrections == "on" and rule.key != "user_id":
        raise ConfigError(f"{here}: {rule.name} has the key {rule.key}; corrections are for rules with key user_id.")
    if rule.trigger == "real-time" and not stateless:
        raise ConfigError(
            f"{here}: {rule.name} needs earlier transactions, which real-time mode has not; set trigger: micro-batch."
        )


def version_of(name: str, file: str, definition: Definition, parameters: Mapping[str, Any]) -> str:
    """12 hex digits of the SHA-256 of name, file, code version and parameters in canonical JSON."""
    declared = {"name": name, "rule": file, "code": definition.code, "parameters": parameters}
    text = json.dumps(declared, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> str:
    """The text of a decimal; of labels their digest."""
    if isinstance(value, Labels):
        return value.digest
    if not isinstance(value, Decimal):
        raise TypeError(f"{value!r} cannot be part of a rule's version")
    return str(value)
