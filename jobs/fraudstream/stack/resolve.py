"""Writes conf/jars.lock from the versions of docker/.env."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fraudstream.errors import StackError
from fraudstream.stack.artifacts import LOCK_FILE, Artifact, fetch, roots, sha256
from fraudstream.stack.settings import load_settings

_HEAD = """\
# Every file that is fetched: group, Maven coordinate (group:name[:type[:classifier]]:version), SHA-256.
# Written by `python -m fraudstream.stack lock` from the versions in docker/.env. Do not edit.
"""


def write_lock(path: Path = LOCK_FILE) -> int:
    """Resolve every group with Maven Central's metadata, fetch each file once and write its checksum.

    Returns the number of artifacts. Raises StackError when two files of one group would have one name.
    """
    wanted: list[tuple[str, str]] = []
    for group, coordinates in roots(load_settings().versions).items():
        resolved = coordinates if group == "debezium" else _resolve(coordinates)
        if group == "kafka":
            # Binds slf4j 1.7, which Kafka uses, in the version of Kafka's own log4j.
            log4j = next(text.split(":")[-1] for text in resolved if ":log4j-core:" in text)
            resolved.append(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}")
        if group == "spark":
            resolved = [text for text in resolved if text.split(":")[1] not in _shipped_with_pyspark()]
        wanted += [(group, text) for text in resolved]
    with tempfile.TemporaryDirectory() as scratch:
        locked = [Artifact(group, text, _checksum(group, text, Path(scratch))) for group, text in wanted]
    _check_names(locked)
    lines = [f"{artifact.group} {artifact.coordinate} {artifact.sha256}\n" for artifact in locked]
    path.write_text(_HEAD + "".join(lines), encoding="utf-8")
    return len(locked)


def _resolve(coordinates: Iterable[str]) -> list[str]:
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch), timeout=60)
        asked = [context.create_dependency(text) for text in coordinates]
        inputs, transitive = context.resolver.resolve(asked)
        needed = [*inputs, *(each for each in transitive if each.scope in ("compile", "runtime"))]
        return [f"{each.groupId}:{each.artifactId}:{each.version}" for each in needed if each.type == "jar"]


def _shipped_with_pyspark() -> set[str]:
    import pyspark

    files = (Path(pyspark.__file__).parent / "jars").glob("*.jar")
    return {re.sub(r"-\d[^/]*$", "", file.stem) for file in files}


def _checksum(group: str, coordinate: str, scratch: Path) -> str:
    return sha256(fetch(Artifact(group, coordinate, ""), scratch))


def _check_names(locked: Iterable[Artifact]) -> None:
    seen: dict[str, str] = {}
    for artifact in locked:
        if seen.setdefault(artifact.filename, artifact.coordinate) != artifact.coordinate:
            raise StackError(f"{seen[artifact.filename]} and {artifact.coordinate} have one file name; drop one.")
