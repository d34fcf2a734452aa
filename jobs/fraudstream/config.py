"""conf/pipeline.yaml as one frozen object, validated whole before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from fraudstream import documents, shared_queries
from fraudstream.clients import read_properties, spark_options
from fraudstream.errors import ConfigError
from fraudstream.masking import SETTING, Mask, mask_of
from fraudstream.stack.settings import REPOSITORY, load_environment, load_settings

PIPELINE_FILE = REPOSITORY / "conf" / "pipeline.yaml"
RULES_FILE = REPOSITORY / "conf" / "rules.yaml"
READERS = ("built-in", "columnar")
_DURATION = re.compile(r"^\d+ (milliseconds?|seconds?|minutes?|hours?)$")
# Milliseconds: whole numbers, which have no greatest one.
_UNITS = {"millisecond": 1, "second": 1000, "minute": 60_000, "hour": 3_600_000}
_LOG_KEPT = 720 * _UNITS["hour"]
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
# Kafka's clients load what these options name; a login module such as JNDI's fetches code from wherever it is told.
_NAMES_CLASS = re.compile(r"(\.class(es)?|\.reporters|security\.providers|serializer|\.assignment\.strategy)$", re.I)
_LOGIN = re.compile(
    r"\s*([\w.$]+)\s+(?:required|requisite|sufficient|optional)"
    r"""(?:\s+[\w.]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s;"'/*]+))*\s*;\s*""",
    re.IGNORECASE,
)
_CLASSES = (
    "org.apache.kafka.", "com.sun.security.auth.module.Krb5LoginModule", "software.amazon.msk.auth.iam.",
    "io.strimzi.kafka.oauth.",
)  # fmt: skip
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """Topics, and the options passed to Spark."""

    bootstrap_servers: str
    client_properties: str
    reader: str
    largest_batch: int
    transactions_topic: str
    alerts_topic: str
    options: Mapping[str, str]
    source: Mapping[str, str]
    sink: Mapping[str, str]

    @property
    def client_options(self) -> dict[str, str]:
        """Spark's options of every client: those of the file `client_properties`, over which `options` wins. Raises
        ConfigError when the file cannot be read, or an option in it loads a foreign class."""
        inherited = read_properties(Path(self.client_properties)) if self.client_properties else {}
        return {**_texts(spark_options(inherited), self.client_properties), **self.options}

    @property
    def shadow_topic(self) -> str:
        """The topic of the alerts of shadow rules."""
        return f"{self.alerts_topic}.shadow"


@dataclass(frozen=True, kw_only=True)
class State:
    """How the users' histories are cut: buckets (state values) over shuffle partitions."""

    buckets: int
    partitions: int


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """Lengths of the micro-batches, as Spark's durations."""

    rules: str
    real_time: str
    real_time_enabled: bool
    archive_alerts: str
    mirror_transactions: str


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """How often a table's writer looks after its files, and for how long old versions keep theirs; as Spark's
    durations."""

    every: str
    keep: str


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The pipeline's configuration; folders are paths of a file system, one that all nodes see where there are more."""

    kafka: Kafka
    lake: str
    checkpoints: str
    progress: str
    state: State
    shared_queries: Mapping[str, Sequence[str]]
    max_message_bytes: int
    masking_key_file: str
    triggers: Triggers
    upkeep: Upkeep

    @property
    def mask(self) -> Mask | None:
        """How user ids are masked; None: not at all."""
        return mask_of(self.masking_key_file)

    def table(self, name: str) -> str:
        """Path of a Delta table of the lake."""
        return f"{self.lake}/{name}"

    def checkpoint(self, query: str) -> str:
        """Checkpoint folder of a streaming query, or of the one that judges by a rule of that name."""
        return f"{self.checkpoints}/{self.query_of(query)}"

    def query_of(self, rule: str) -> str:
        """The query that judges by a rule: a shared one, or one of the rule's name."""
        return next((query for query, rules in self.shared_queries.items() if rule in rules), rule)

    def judged_by(self, name: str) -> Sequence[str]:
        """The rules by which a query judges, or the query of a rule: those that share it, or the one of its name."""
        return self.shared_queries.get(self.query_of(name), (name,))


_SECTIONS = {"kafka": Kafka, "state": State, "triggers": Triggers, "upkeep": Upkeep}


def load_pipeline(
    path: Path = PIPELINE_FILE, environment: Mapping[str, str] | None = None, principal: str = "spark"
) -> Pipeline:
    """The configuration in `path`, for a `principal` of Kafka where the stack is secure.

    Raises ConfigError naming the key, what was found and what is allowed."""
    variables = {**load_environment(), **(os.environ if environment is None else environment)}
    variables.setdefault("FRAUDSTREAM_HOME", str(REPOSITORY / "run"))
    variables.setdefault("KAFKA_CLIENT_PROPERTIES", _client_properties(principal, variables))
    found = documents.load(path, "name another file with --config", lambda text: _filled(text, variables))
    values = _checked(found, Pipeline, "", path)
    for section, kind in _SECTIONS.items():
        values[section] = kind(**_checked(values[section], kind, f"{section}.", path))
    for name in ("lake", "checkpoints", "progress"):
        values[name] = _folder(name, values[name], path)
    if values[SETTING]:
        values[SETTING] = str(Path(values[SETTING]).absolute())  # Spark's workers may start in another folder
    values[shared_queries.SETTING] = shared_queries.checked(values[shared_queries.SETTING], path)
    pipeline = Pipeline(**values)
    _check_ranges(pipeline, path)
    _check_masking(pipeline, path)
    return pipeline


def write_variant(path: Path, values: Mapping[str, Any]) -> None:
    """Write conf/pipeline.yaml with other values, by their keys ("kafka.source.minPartitions": "8")."""
    settings = documents.load(PIPELINE_FILE, "put the file back")
    for name, value in values.items():
        place, rest = settings, name.split(".", 2)
        for word in rest[:-1]:
            place = place[word]
        place[rest[-1]] = value
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def _client_properties(principal: str, variables: Mapping[str, str]) -> str:
    settings = load_settings(environment=variables)
    return str(settings.client_file(principal)) if settings.secure else ""


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with the variables' values. Raises ValueError for variables that are not set."""
    missing = sorted({name for name in _VARIABLE.findall(text)} - variables.keys())
    if missing:
        raise ValueError(f"{', '.join(missing)} is not set; set it in the environment or docker/.env.")
    return _VARIABLE.sub(lambda match: variables[match[1]], text)


_TYPES = {"str": str, "int": int, "bool": bool, "Mapping[str, str]": dict}


def _checked(found: Any, kind: type, prefix: str, path: Path) -> dict[str, Any]:
    """The mapping `found` if it has exactly the fields of `kind`, each of its type."""
    known = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {prefix or 'the file'} must be a mapping with the keys {', '.join(known)}.")
    for key in found.keys() - known.keys():
        close = get_close_matches(str(key), known, 1)
        hint = f" Did you mean {prefix}{close[0]}?" if close else ""
        raise ConfigError(f"{path}: unknown key {prefix}{key}.{hint} Allowed are {', '.join(known)}.")
    for key, wanted in known.items():
        if key not in found:
            raise ConfigError(f"{path}: {prefix}{key} is missing; add it (a {wanted}).")
        expected = _TYPES.get(wanted, dict)
        if not isinstance(found[key], expected) or (expected is int and isinstance(found[key], bool)):
            raise ConfigError(f"{path}: {prefix}{key} is {documents.shown(found[key])}; it must be a {wanted}.")
    return {
        key: _texts(value, f"{path}: {prefix}{key}") if known[key] == "Mapping[str, str]" else value
        for key, value in found.items()
    }


def _texts(options: Mapping[str, Any], where: str) -> dict[str, str]:
    """Kafka's options as texts. Raises ConfigError for one that is no plain value, or that loads a foreign class."""
    found = {}
    for key, value in options.items():
        if value is None or isinstance(value, dict | list):
            shown = documents.shown(value)
            raise ConfigError(f"{where}: {key} is {shown}; it must be a text, a number, true or false.")
        found[key] = str(value).lower() if isinstance(value, bool) else str(value)
        for name in _loaded(key, found[key], where):
            if not name.startswith(_CLASSES):
                shown = documents.shown(name)
                raise ConfigError(f"{where}: {key} loads {shown}; a class may begin with {', '.join(_CLASSES)}.")
    return found


def _loaded(key: str, text: str, where: str) -> list[str]:
    """The classes that the option names. Raises ConfigError for a login that is not of the one plain form."""
    if _NAMES_CLASS.search(key):
        return [name.strip() for name in text.split(",")]
    if not key.lower().endswith("jaas.config"):
        return []
    login = _LOGIN.fullmatch(text)
    if login is None:  # the text is not shown: it holds a password
        raise ConfigError(f'{where}: {key} must be one login, like MODULE required username="me" password="...";')
    return [login[1]]


def _folder(name: str, text: str, path: Path) -> str:
    """The path in `text`, which may be a URI of scheme file. Locks, manifests and progress need a real file system."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return text
    found = urlsplit(text)
    if scheme[1].lower() != "file" or found.netloc not in ("", "localhost") or not found.path.startswith("/"):
        raise ConfigError(
            f"{path}: {name} is {documents.shown(text)}; it must be a path that all nodes see (/mnt/shared/{name}, or "
            f"file:///mnt/shared/{name}); object stores and HDFS only where they are mounted as a file system."
        )
    return unquote(found.path)


def _check_ranges(pipeline: Pipeline, path: Path) -> None:
    if pipeline.kafka.reader not in READERS:
        found = documents.shown(pipeline.kafka.reader)
        raise ConfigError(f"{path}: kafka.reader is {found}; it must be {' or '.join(READERS)}.")
    for name, low, high, value in (
        ("kafka.largest_batch", 1, 10_000_000, pipeline.kafka.largest_batch),
        ("state.buckets", 1, 65536, pipeline.state.buckets),
        ("state.partitions", 1, 4096, pipeline.state.partitions),
        ("max_message_bytes", 1024, 104857600, pipeline.max_message_bytes),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{path}: {name} is {documents.shown(value)}; it must lie between {low} and {high}.")
    if pipeline.state.buckets % pipeline.state.partitions:
        raise ConfigError(
            f"{path}: state.buckets is {pipeline.state.buckets}; it must be a multiple of state.partitions "
            f"({pipeline.state.partitions}), so that every partition holds as many buckets."
        )
    _check_durations(pipeline, path)


def _check_durations(pipeline: Pipeline, path: Path) -> None:
    for section, kind in (("triggers", Triggers), ("upkeep", Upkeep)):
        for field in fields(kind):
            duration = getattr(getattr(pipeline, section), field.name)
            if isinstance(duration, str) and not _DURATION.match(duration):
                raise ConfigError(
                    f"{path}: {section}.{field.name} is {documents.shown(duration)}; write it like '5 seconds'."
                )
    number, unit = pipeline.upkeep.keep.split()
    if int(number) * _UNITS[unit.removesuffix("s")] > _LOG_KEPT:
        raise ConfigError(
            f"{path}: upkeep.keep is {documents.shown(pipeline.upkeep.keep)}; it may be 720 hours at most: "
            "Delta keeps a table's log no longer."
        )


def _check_masking(pipeline: Pipeline, path: Path) -> None:
    try:
        mask = pipeline.mask
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if mask and pipeline.triggers.real_time_enabled:
        raise ConfigError(
            f"{path}: {SETTING} is set and triggers.real_time_enabled is true; ids are masked by Python, which a "
            "real-time query does not run. Set real_time_enabled to false: such rules then run in micro-batches."
        )
