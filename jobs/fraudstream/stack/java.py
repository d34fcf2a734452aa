"""The Java that Kafka, Connect and Spark run on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from fraudstream.errors import StackError

OLDEST = 17
_ADVICE = f"install a JDK {OLDEST} or newer and put it on PATH, or set JAVA_HOME"


@lru_cache(maxsize=1)
def require_java() -> Path:
    """The `java` of JAVA_HOME, else of PATH. Raises StackError when there is none or it is older than 17."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not found or not os.access(found, os.X_OK):
        place = f"JAVA_HOME={home} holds no bin/java" if home else "no java on PATH"
        raise StackError(f"No Java: {place}; {_ADVICE}.")
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = java_version(answer.stderr + answer.stdout)
    if version is None:
        raise StackError(f"{found} does not say its version (exit code {answer.returncode}); {_ADVICE}.")
    if version < OLDEST:
        raise StackError(f"{found} is Java {version}, and {OLDEST} or newer is needed; {_ADVICE}.")
    return Path(found)


def java_version(output: str) -> int | None:
    """The major version in the output of `java -version` (8 for 1.8.0), None where there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(match[1]) if match else None
