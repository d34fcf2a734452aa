"""The jars of Spark, Kafka and Debezium: named with checksums in conf/jars.lock, fetched once into a cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from fraudstream.errors import ConfigError, StackError
from fraudstream.stack.settings import REPOSITORY

LOCK_FILE = REPOSITORY / "conf" / "jars.lock"
GROUPS = ("spark", "kafka", "debezium")


@dataclass(frozen=True)
class Artifact:
    """One file of Maven Central: its coordinate group:name[:type[:classifier]]:version and its SHA-256 in hex."""

    group: str
    coordinate: str
    sha256: str

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """Maven group, name, version, type and classifier ("" for none)."""
        maven_group, name, *middle, version = self.coordinate.split(":")
        kind, classifier = [*middle, *("jar", "")[len(middle) :]]
        return maven_group, name, version, kind, classifier

    @property
    def filename(self) -> str:
        """name-version[-classifier].type"""
        _, name, version, kind, classifier = self.parts
        return f"{name}-{version}{'-' if classifier else ''}{classifier}.{kind}"


def cache_folder() -> Path:
    """Where downloads are kept: FRAUDSTREAM_CACHE, else ~/.cache/fraudstream."""
    chosen = os.environ.get("FRAUDSTREAM_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "fraudstream"


def read_lock(path: Path = LOCK_FILE) -> tuple[Artifact, ...]:
    """The artifacts of the lock file. Raises ConfigError naming the line that is not `group coordinate sha256`."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3 or words[0] not in GROUPS or not 3 <= words[1].count(":") + 1 <= 5 or len(words[2]) != 64:
            raise ConfigError(
                f"{path}, line {number}: not `group coordinate sha256`; run `python -m fraudstream.stack lock`."
            )
        found.append(Artifact(*words))
    return tuple(found)


def roots(versions: Mapping[str, str]) -> dict[str, list[str]]:
    """The coordinates asked for, per group, by the names of StackSettings.versions; the rest of a group follows."""
    kafka, spark = versions["kafka"], versions["spark"]
    series = ".".join(spark.split(".")[:2])
    kafka_names = ("kafka_2.13", "connect-runtime", "connect-json", "kafka-tools")
    return {
        "spark": [
            f"org.apache.spark:spark-sql-kafka-0-10_2.13:{spark}",
            f"io.delta:delta-spark_{series}_2.13:{versions['delta']}",
            f"org.postgresql:postgresql:{versions['postgres_jdbc']}",
        ],
        "kafka": [
            *(f"org.apache.kafka:{name}:{kafka}" for name in kafka_names),
            f"org.apache.kafka:connect-basic-auth-extension:{versions['connect_basic_auth']}",
        ],
        "debezium": [f"io.debezium:debezium-connector-postgres:tar.gz:plugin:{versions['debezium']}"],
    }


def require_locked(versions: Mapping[str, str]) -> None:
    """Raises ConfigError when the lock file is not made from these versions."""
    locked = {artifact.coordinate for artifact in read_lock()}
    for coordinate in (each for group in roots(versions).values() for each in group):
        if coordinate not in locked:
            raise ConfigError(
                f"docker/.env or the environment asks for {coordinate}, which {LOCK_FILE} does not hold; correct the "
                "version, or run `python -m fraudstream.stack lock`."
            )


def jars(group: str) -> list[Path]:
    """The files of a group (spark, kafka or debezium), verified, in the order of the lock file.

    Fetches what the cache lacks; later calls need no network. Raises StackError for a file that cannot be had or has
    another checksum.
    """
    wanted = [artifact for artifact in read_lock() if artifact.group == group]
    if not wanted:
        raise ConfigError(f"no jars of group {group!r} in {LOCK_FILE}; the groups are {', '.join(GROUPS)}.")
    folder = cache_folder() / "jars"
    missing = _missing(wanted, folder, cache_folder() / f"{group}.verified")
    if missing:
        _download(missing, folder)
        _missing(wanted, folder, cache_folder() / f"{group}.verified")
    return [folder / artifact.filename for artifact in wanted]


def debezium_plugin() -> Path:
    """Folder that holds Debezium's unpacked plugin and nothing else: Connect's plugin.path."""
    (archive,) = jars("debezium")
    target = cache_folder() / archive.name.removesuffix(".tar.gz")
    if not target.exists():
        scratch = Path(tempfile.mkdtemp(prefix="unpack-", dir=cache_folder()))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            scratch.chmod(0o755)
            if not target.exists():
                scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _missing(wanted: Iterable[Artifact], folder: Path, stamp: Path) -> list[Artifact]:
    """Those of `wanted` not in `folder`. A file is hashed when its size or time differs from the stamp of the last
    check (60 MB take 0.2 s otherwise, at every start); one with another checksum is removed."""
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    seen, missing = {}, []
    for artifact in wanted:
        path = folder / artifact.filename
        try:
            stat = path.stat()
        except FileNotFoundError:
            missing.append(artifact)
            continue
        mark = [artifact.sha256, stat.st_size, stat.st_mtime_ns]
        if known.get(artifact.filename) == mark or sha256(path) == artifact.sha256:
            seen[artifact.filename] = mark
        else:
            print(f"{path}: damaged (its checksum is not that of {LOCK_FILE.name}), fetching it anew", file=sys.stderr)
            path.unlink(missing_ok=True)
            missing.append(artifact)
    if seen != known and not missing:
        # A cache shared read-only is hashed at every start instead.
        with contextlib.suppress(PermissionError):
            fresh = stamp.with_name(f"{stamp.name}.{os.getpid()}")
            fresh.write_text(json.dumps(seen), encoding="utf-8")
            fresh.replace(stamp)
    return missing


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(missing: list[Artifact], folder: Path) -> None:
    """Fetch into a scratch folder, verify, then rename: a file in the cache is always whole."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="fetch-", dir=folder.parent))
    pool = ThreadPoolExecutor(8)
    try:
        jobs = {pool.submit(fetch, artifact, scratch): artifact for artifact in missing}
        for count, job in enumerate(as_completed(jobs), start=1):
            artifact, path = jobs[job], job.result()
            found = sha256(path)
            if found != artifact.sha256:
                raise StackError(
                    f"{artifact.coordinate}: the file fetched has SHA-256 {found}, {LOCK_FILE} says {artifact.sha256}. "
                    "It is not used; try another network, or check the lock file against git."
                )
            path.replace(folder / artifact.filename)
            _progress(count, len(missing), artifact.filename)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(scratch, ignore_errors=True)


def _progress(count: int, total: int, name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[Kfetching jars {count}/{total} {name}", end="\n" if count == total else "", file=sys.stderr)
    elif count == total or count % 25 == 0:
        print(f"fetching jars {count}/{total}", file=sys.stderr)


def fetch(artifact: Artifact, scratch: Path) -> Path:
    """Download one file from Maven Central below `scratch`. Raises StackError saying what cannot be had and why."""
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise StackError("the package jgo, which fetches jars, is not installed; run `make setup`.") from None
    maven_group, name, version, kind, classifier = artifact.parts
    context = MavenContext(repo_cache=scratch, timeout=60)
    component = context.project(maven_group, name).at_version(version)
    try:
        return Path(component.artifact(classifier, kind).resolve())
    except (OSError, RuntimeError) as error:
        raise StackError(
            f"{artifact.coordinate} is neither in {cache_folder()} nor to be had from Maven Central "
            f"({type(error).__name__}); connect to the network once, or copy a filled cache there."
        ) from error
