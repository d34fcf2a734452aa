"""Passwords of the database's roles, and of the secure stack's principals: from the environment, else random ones in
files that only their owner reads."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from fraudstream.errors import ConfigError, StackError

ROLES = ("postgres", "capture", "batch", "app")
REST = "connect-rest"
SECURE = (REST, "kafka-admin", "kafka-connect", "kafka-spark", "kafka-reader")
_ALLOWED = re.compile(r"[A-Za-z0-9_.~!@%^*+,:/=-]{1,128}")


def variable(role: str) -> str:
    """Name of the environment variable that sets a role's password."""
    return f"FRAUDSTREAM_{role.upper().replace('-', '_')}_PASSWORD"


def password(folder: Path, role: str) -> str:
    """The role's password. Raises ConfigError for an unknown role, StackError when it has none yet."""
    if role not in ROLES + SECURE:
        raise ConfigError(f"no database role {role!r}; the roles are {', '.join(ROLES)}.")
    if variable(role) in os.environ:
        return _checked(role, os.environ[variable(role)])
    path = folder / f"{role}.properties"
    try:
        return path.read_text(encoding="utf-8").strip().removeprefix("password=")
    except FileNotFoundError:
        raise StackError(
            f"{path} does not exist: the stack was never started here. Run `make up`, or set {variable(role)}."
        ) from None
    except PermissionError:
        raise StackError(f"{path} belongs to another user; work as the user who started the stack.") from None


def ensure(folder: Path, roles: Sequence[str] = ROLES) -> dict[str, str]:
    """The passwords of the roles; those in no file yet are made, those of the environment are written to their file,
    where Connect reads them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {}
    for role in roles:
        path = folder / f"{role}.properties"
        known = variable(role) in os.environ or path.exists()
        found[role] = password(folder, role) if known else secrets.token_hex(16)
        line = f"password={found[role]}\n"
        if not path.exists() or path.read_text(encoding="utf-8") != line:
            write_private(path, line)
    return found


def _checked(role: str, value: str) -> str:
    if not _ALLOWED.fullmatch(value):
        raise ConfigError(
            f"{variable(role)} is empty, too long or has a character that needs quoting somewhere; "
            "use 1 to 128 letters, digits and _ . ~ ! @ % ^ * + , : / = -"
        )
    return value


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; it is there whole or not at all."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
