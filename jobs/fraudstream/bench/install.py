"""What a peer needs before its first run: a virtual environment of its own, or compiled classes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fraudstream.bench.systems import PEERS, System
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import REPOSITORY

_INSTALL_S = 1800.0
_STAMP = ".installed"


class NotInstalled(FraudstreamError):
    """A peer that cannot be run here; the text is the reason."""


def python_of(home: Path, system: System) -> Path:
    """The Python of the system's virtual environment; ours where it has none."""
    if not system.requirements:
        return Path(sys.executable)
    return home / "venvs" / Path(system.requirements[0]).stem / "bin" / "python"


def classes_of(home: Path, system: System) -> Path:
    """Where the system's build puts its classes."""
    return home / "classes" / (system.build.parent.name if system.build else system.name)


def install(home: Path, system: System, say: Callable[[str], None]) -> None:
    """Make what is missing, once for every state of its files. Raises NotInstalled."""
    missing = [pattern for pattern in system.code if not any(REPOSITORY.glob(pattern))]
    if missing:
        raise NotInstalled(f"{missing[0]} is missing")
    if system.requirements:
        folder, files = python_of(home, system).parent.parent, requirements_of(system)
        _once(folder, files, lambda: _make_environment(folder, files, say))
    if system.build:
        build, folder = system.build, classes_of(home, system)
        sources = [path for path in sorted(build.parent.iterdir()) if path.is_file()]
        _once(folder, sources, lambda: _run([build], {"PEERS_BUILD": str(folder)}))


def requirements_of(system: System) -> list[Path]:
    """The files that pin what a peer is made of."""
    if system.build:
        return [system.build.with_name("jars.lock")]
    return [PEERS / "requirements" / name for name in system.requirements]


def remedy(system: System) -> str:
    """What lets the next run install it, in words."""
    if system.build:
        return "to run it, install a JDK (javac); its jars come from Maven Central"
    if system.requirements:
        return f"to run it, let pip reach the packages of peers/requirements/{system.requirements[0]}"
    return "its files belong to the repository"


def version_of(system: System) -> str:
    """The peer's package with its version ("bytewax 0.21.1"); empty for one that pins none."""
    for file in requirements_of(system):
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if found := re.search(rf"(?m)(?:^|:){re.escape(system.package)}(?:==|:)(\S+)", text):
            return f"{system.package} {found[1]}"
    return ""


def _once(folder: Path, sources: Sequence[Path], make: Callable[[], None]) -> None:
    try:
        wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    except OSError as error:
        raise NotInstalled(f"{error.filename} is missing") from None
    stamp = folder / _STAMP
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make()
    stamp.write_text(wanted, encoding="utf-8")


def _make_environment(folder: Path, files: Sequence[Path], say: Callable[[str], None]) -> None:
    """Of files of requirements, and perhaps of jars, which go into the project's cache."""
    say(f"installing {folder.name} into {folder} (once)")
    uv, python = Path(sys.executable).with_name("uv"), folder / "bin" / "python"
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder])
    _run([uv, "pip", "install", "--quiet", "--python", python, "-r", files[0]])
    for jars in (file for file in files if file.suffix == ".jars"):
        _run([sys.executable, PEERS / "jars.py", jars], {"PYTHONPATH": str(REPOSITORY / "jobs")})


def _run(words: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    """Raises NotInstalled with the command's last words."""
    try:
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, check=False, timeout=_INSTALL_S,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{Path(words[0]).name}: {error}") from None
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NotInstalled(f"{Path(words[0]).name}: {' | '.join(said[-2:])[:400] or 'it failed and said nothing'}")
