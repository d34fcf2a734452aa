"""The one way in which files of docker/ get what differs between bring-ups: ${NAME}, in capitals, is replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fraudstream.errors import ConfigError

# Lower case is left alone: ${file:...} belongs to Connect's own config providers.
_PLACE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


def render(text: str, variables: Mapping[str, str], source: str) -> str:
    """`text` with every ${NAME} replaced, comment lines left alone. Raises ConfigError for a name without a value."""
    lines = [line if line.startswith("#") else _filled(line, variables, source) for line in text.split("\n")]
    return "\n".join(lines)


def _filled(line: str, variables: Mapping[str, str], source: str) -> str:
    for name in _PLACE.findall(line):
        if name not in variables:
            raise ConfigError(f"{source}: nothing is known to put in for ${{{name}}}; known: {', '.join(variables)}.")
    return _PLACE.sub(lambda match: variables[match[1]], line)


def render_file(source: Path, folder: Path, variables: Mapping[str, str], *more: Path) -> Path:
    """Render `source`, and `more` behind it, into a file of the name of `source` in `folder`, and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    parts = [render(each.read_text(encoding="utf-8"), variables, str(each)) for each in (source, *more)]
    target.write_text("".join(parts), encoding="utf-8")
    return target
