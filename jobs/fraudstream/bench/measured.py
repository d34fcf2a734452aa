"""Which code was measured: results of other code are no news of this one."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

from fraudstream.stack.settings import REPOSITORY

_PACKAGES = ("cdc", "input", "rulebook", "rules", "stack", "streams", "wire")
# How systems are started, and on which data; not how they are watched, nor how that is told.
_BENCH = (
    "systems", "ours", "setups", "raw_read", "known", "lake_batches", "mirror_batches", "archive_batches",
    "mirror_plan", "dataset", "messages", "fill",
)  # fmt: skip
MEASURED = (
    "requirements.lock", "spark-submit.sh", "conf/*",
    "docker/.env", "docker/connect/*", "docker/kafka/*", "docker/postgres/*",
    "peers/*.py", "peers/requirements/*", "peers/streams/*",
    "jobs/detect_fraud.py", "jobs/produce_transactions.py", "jobs/fraudstream/*.py",
    *(f"jobs/fraudstream/{package}/**/*" for package in _PACKAGES),
    *(f"jobs/fraudstream/bench/{module}.py" for module in _BENCH),
)  # fmt: skip
"""Patterns of the programs that are measured, with all that they read: code, settings, versions."""


def code(root: Path = REPOSITORY) -> str:
    """Tells the measured code of the repository in `root` from any other; what Python does not run does not count."""
    found = hashlib.sha256()
    for path in sorted({path for pattern in MEASURED for path in root.glob(pattern)}):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(f"\0{path.relative_to(root)}\0".encode() + _meaning(path))
    return found.hexdigest()[:12]


def _meaning(path: Path) -> bytes:
    """What the file says; of Python without comments, docstrings and layout."""
    text = path.read_bytes()
    try:
        return ast.dump(_Undocumented().visit(ast.parse(text))).encode() if path.suffix == ".py" else text
    except SyntaxError:
        return text  # someone is writing it


class _Undocumented(ast.NodeTransformer):
    """Takes out of a syntax tree what only stands there to be read."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Nothing of a text that is a statement of its own."""
        return None if isinstance(node.value, ast.Constant) else node
