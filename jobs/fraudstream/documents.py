"""YAML files that users write, read as plain values: no tags, no aliases, no key twice, bounded in size and depth.

Files of users are read here and nowhere else, so that none of them can name a Python object, grow without bounds, or
mean two things at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from fraudstream.errors import ConfigError

MAX_BYTES = 65_536  # read within about a second, whatever stands in it
MAX_DEPTH = 10
MAX_KEY, MAX_NUMBER = 200, 64  # characters
_PLAIN = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map"))
_NUMBERS, _NULL = _PLAIN[1:3], _PLAIN[4]
# The text of a value with its ${NAME} replaced. Raises ValueError saying what is missing.
Fill = Callable[[str], str]


def load(path: Path, advice: str, fill: Fill = str) -> Any:
    """The plain value of the file. Raises ConfigError naming the line, what was found and is allowed; if the file
    cannot be read, the text ends with `advice`."""
    node = compose(read_text(path, advice), path, fill)
    return None if node is None else plain(node)


def read_text(path: Path, advice: str) -> str:
    """The text of the file. Raises ConfigError if it cannot be read, is not UTF-8, or has over MAX_BYTES."""
    try:
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a path may hold what no path can
        raise ConfigError(f"{path}: cannot be read ({getattr(error, 'strerror', error)}); {advice}.") from error
    if len(found) > MAX_BYTES:
        raise ConfigError(f"{path}: over {MAX_BYTES} bytes; a file has at most so many.")
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError as error:
        line = found.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: cannot be read (byte 0x{found[error.start]:02x} is not UTF-8); save it as UTF-8."
        ) from error


def compose(text: str, where: Path | str, fill: Fill = str) -> yaml.Node | None:
    """The nodes of a YAML text, with their places; None for an empty one. `where` begins each error; `fill` is applied
    to values, not to keys, and what it brings is one value, whatever stands in it. Raises ConfigError."""
    try:
        return _Composer(text, where, fill).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}, line {line}: not valid YAML: {_printable(said)[:200]}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{where}, line {line}: not valid YAML: a character {text[error.position]!a}.") from error


def plain(node: yaml.Node) -> Any:
    """The value of a node of `compose`: mappings with texts as keys, lists, texts, numbers, true, false and null."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain(value) for value in node.value]
    return yaml.SafeLoader("").construct_object(node)


def line_of(node: yaml.Node) -> int:
    """The line where the node begins, from 1 on."""
    return int(node.start_mark.line) + 1


def shown(value: Any) -> str:
    """A value in an error: on one line and not long."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = _printable(repr(value))
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


class _Composer(yaml.SafeLoader):
    """PyYAML's composer, which refuses what is not plain before it takes any room."""

    def __init__(self, text: str, where: Path | str, fill: Fill) -> None:
        super().__init__(text)
        self._where, self._fill, self._depth = where, fill, 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self._refuse(line, "an alias (*name); write the value out, aliases are not read.")
        if event.tag is not None:
            self._refuse(line, f"the tag {shown(event.tag)}; write a plain value, tags are not read.")
        is_key = isinstance(parent, yaml.MappingNode) and index is None
        written = getattr(event, "value", None)
        if isinstance(event, yaml.ScalarEvent):
            event.value = self._filled(event.value, is_key, line)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(line, f"nested over {MAX_DEPTH} deep; no file needs more than 4.")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        elif isinstance(node, yaml.ScalarNode) and not is_key:
            if node.tag == _NULL and node.value != written:
                node.tag = _PLAIN[0]  # a variable that holds nothing is an empty text
            self._check_value(node)
        return node

    def _filled(self, text: str, is_key: bool, line: int) -> str:
        """The text with JSON's pairs of escapes as one character each, and filled in."""
        try:
            text = text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            found = self._fill(text)
        except UnicodeDecodeError:
            self._refuse(line, f"half a character in {shown(text)}; write it whole.")
        except ValueError as error:
            self._refuse(line, str(error))
        if is_key and found != text:
            self._refuse(line, f"a variable in the key {shown(text)}; only values hold variables.")
        return found

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key, _ in node.value:
            line = line_of(key)
            is_text = isinstance(key, yaml.ScalarNode)
            if not is_text or len(key.value) > MAX_KEY or not key.value.isprintable():
                self._refuse(line, f"a key must be a plain text of at most {MAX_KEY} printable characters.")
            if key.value in seen:
                self._refuse(line, f"{key.value} stands twice; keep one.")
            seen.add(key.value)

    def _check_value(self, node: yaml.ScalarNode) -> None:
        if node.tag not in _PLAIN:
            self._refuse(line_of(node), f"{shown(node.value)} is no plain value; put a text in quotes.")
        if node.tag not in _NUMBERS:
            return
        if len(node.value) > MAX_NUMBER:
            self._refuse(line_of(node), f"a number of {len(node.value)} characters; one has at most {MAX_NUMBER}.")
        try:
            plain(node)
        except ValueError:
            self._refuse(line_of(node), f"{shown(node.value)} is no number; put a text in quotes.")

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise ConfigError(f"{self._where}, line {line}: {what}")
