"""What rules and queries may be called: checkpoints and files lie under their names."""

from __future__ import annotations

import re

from fraudstream.documents import shown
from fraudstream.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TAKEN = ("archive_alerts", "archive_shadow_alerts", "mirror_transactions", "average_temperature", "poll_transactions")


def check_name(name: object, here: str, kind: str = "rule") -> None:
    """Raise ConfigError, beginning with `here`, for what cannot be the name of a rule, or of a query."""
    if name in _TAKEN:
        raise ConfigError(f"{here}: {name} is the name of another query; name the {kind} otherwise.")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{here}: {shown(name)} is no {kind} name; use a-z, 0-9 and _, beginning with a letter, 64 at most."
        )
