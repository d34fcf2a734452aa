"""conf/rules.yaml as rules, validated before anything starts."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fraudstream import rules as rule_files
from fraudstream.errors import ConfigError
from fraudstream.rulebook.budget import per_day
from fraudstream.rulebook.definition import Definition
from fraudstream.rulebook.earlier import Window
from fraudstream.rulebook.kept import COLUMNS
from fraudstream.rulebook.labels import Labels
from fraudstream.rulebook.transaction import Alert, columns_seen, windows_of
from fraudstream.rulebook.windows import REMEMBERED

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TAKEN = ("archive_alerts", "archive_shadow_alerts", "mirror_transactions")  # checkpoints lie under queries' names
_MAX_CHARACTERS, _MAX_DEPTH = 100_000, 10
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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name another file with --rules-file.") from error
    return parse_rules(text, path)


def parse_rules(text: str, path: Path) -> tuple[Rule, ...]:
    """The rules of the text of a rules file, as of `load_rules`; `path` is named in errors."""
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(f"{path}: {len(text)} characters; a rules file has at most {_MAX_CHARACTERS}.")
    try:
        _check_shape(text, path)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ConfigError(f"{path}: it must name rules, like `anomaly: {{severity: high}}`.")
    return tuple(_rule(name, entry, path) for name, entry in _unique(node, str(path)).items())


def _check_shape(text: str, path: Path) -> None:
    """Refuse what would make a small file grow without bounds, before it does."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}, line {line}: an alias (*name); write the value out, aliases are not read.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{path}, line {line}: nested over {_MAX_DEPTH} deep; a rules file needs at most 4.")


def _unique(node: yaml.MappingNode, where: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key -> (key node, value node). Raises ConfigError for a key that stands twice or is no text."""
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}, line {_line(key)}: a key must be a plain text.")
        if key.value in found:
            raise ConfigError(f"{where}, line {_line(key)}: {key.value} stands twice; keep one.")
        found[key.value] = (key, value)
    return found


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _rule(name: str, nodes: tuple[yaml.Node, yaml.Node], path: Path) -> Rule:
    key_node, entry = nodes
    here = f"{path}, line {_line(key_node)}"
    check_name(name, here)
    if not isinstance(entry, yaml.MappingNode):
        raise ConfigError(f"{here}: {name} must be a mapping of {', '.join(_KEYS)}; for the defaults write {{}}.")
    settings = _unique(entry, str(path))
    for key, (node, _) in settings.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}, line {_line(node)}: unknown key {key}.{_hint(key, _KEYS)}")
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


def check_name(name: str, here: str) -> None:
    """Raise ConfigError, beginning with `here`, for what cannot be the name of a rule."""
    if name in _TAKEN:
        raise ConfigError(f"{here}: {name} is the name of another query; name the rule otherwise.")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{here}: {name!r} is no rule name; use a-z, 0-9 and _, beginning with a letter.")


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
        raise ConfigError(f"{path}, line {_line(node)}: {key} is {_shown(node)}.{_hint(str(node.value), allowed)}")
    return str(node.value)


def _budget(settings: Mapping[str, tuple[yaml.Node, yaml.Node]], path: Path) -> int | None:
    if "budget" not in settings:
        return None
    node = settings["budget"][1]
    try:
        return per_day(node.value if isinstance(node, yaml.ScalarNode) else _shown(node))
    except ValueError as error:
        raise ConfigError(f"{path}, line {_line(node)}: budget: {error}.") from error


def _rule_file(name: str, settings: Mapping[str, tuple[yaml.Node, yaml.Node]], here: str, path: Path) -> str:
    node = settings["rule"][1] if "rule" in settings else None
    file = name if node is None else str(node.value) if isinstance(node, yaml.ScalarNode) else _shown(node)
    if file not in known_rules():
        where = f"{path}, line {_line(node)}" if node is not None else here
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
        raise ConfigError(f"{path}, line {_line(nodes[1])}: parameters must be a mapping.")
    for name, (key, node) in _unique(nodes[1], str(path)).items():
        if name not in definition.parameters:
            hint = _hint(name, list(definition.parameters))
            raise ConfigError(f"{path}, line {_line(key)}: rule {file} has no parameter {name}.{hint}")
        try:
            values[name] = definition.parameters[name].read(_value(node, path))
        except ValueError as error:
            raise ConfigError(f"{path}, line {_line(node)}: {name} is {_shown(node)}; {error}.") from error
    return values


def _value(node: yaml.Node, path: Path) -> Any:
    """The plain value of a parameter. Raises ValueError for one that YAML cannot read."""
    if isinstance(node, yaml.MappingNode):
        return {key: _value(value, path) for key, (_, value) in _unique(node, str(path)).items()}
    try:
        return yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError("it must be a plain number or text") from error


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:40])
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
