"""Files that try to run code, to take all memory, or to mean something else than they show: each is refused in one
line, within a second, before there is a Spark session."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import detect_fraud
from fraudstream import documents
from fraudstream.config import PIPELINE_FILE, load_pipeline
from fraudstream.errors import ConfigError
from fraudstream.health.limits import LIMITS_FILE, load_limits
from fraudstream.rulebook.catalog import load_rules
from fraudstream.rulebook.labels import read_labels
from fraudstream.stack.access import client_properties
from fraudstream.stack.settings import REPOSITORY, load_settings

READERS: dict[str, Callable[[Path], Any]] = {
    "rules": load_rules,
    "pipeline": load_pipeline,
    "limits": lambda path: load_limits(path=path),
}
_LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

# Of any file: its bytes, and what must be said behind the file's name.
ANY_FILE: dict[str, tuple[bytes, str]] = {
    "a Python object": (b"a: !!python/object/apply:os.system [id]", ", line 1: the tag 'tag:yaml.org,2002:python/obj"),
    "a Python name": (b"a: 1\nb: !!python/name:os.system", ", line 2: the tag 'tag:yaml.org,2002:python/name:os.sy"),
    "a Python module": (b"!!python/module:os {}", ", line 1: the tag 'tag:yaml.org,2002:python/module:os'"),
    "a tag as a key": (b"? !!python/object:os.system {}\n: 1", ", line 1: the tag 'tag:yaml.org,2002:python/object"),
    "a tag renamed": (b"%TAG ! tag:yaml.org,2002:python/\n--- !name:os.system x", ", line 2: the tag 'tag:yaml.org"),
    "a tag of its own": (b"a: !danger x", ", line 1: the tag '!danger'; write a plain value, tags are not read."),
    "a tag that does not fit": (b"a: !!bool maybe", ", line 1: the tag 'tag:yaml.org,2002:bool'"),
    "bytes": (b"a: !!binary aGk=", ", line 1: the tag 'tag:yaml.org,2002:binary'"),
    "a billion laughs": (_LAUGHS.encode(), ", line 2: an alias (*name); write the value out, aliases are not read."),
    "a list that holds itself": (b"a: &a [*a]", ", line 1: an alias (*name)"),
    "a key that holds itself": (b"a: &a {? *a : 1}", ", line 1: an alias (*name)"),
    "merged keys": (b"a: &a {b: 1}\nc: {<<: *a}", ", line 2: an alias (*name)"),
    "5000 lists": (b"[" * 5000 + b"]" * 5000, ", line 1: nested over 10 deep; no file needs more than 4."),
    "5000 mappings": (b"{a: " * 5000 + b"1" + b"}" * 5000, ", line 1: nested over 10 deep"),
    "5000 lists in a block": (b"- " * 5000 + b"1", ", line 1: nested over 10 deep"),
    "5000 keys of keys": (b"? " * 5000 + b"1", ", line 1: nested over 10 deep"),
    "5000 lists not closed": (b"a: 1\nb: " + b"[" * 5000, ", line 2: nested over 10 deep"),
    "a byte too many": (b"a: 1\n" + b"#" * (documents.MAX_BYTES - 4), ": over 65536 bytes; a file has at most"),
    "a quote that never ends": (b'a: "' + b"x" * 60_000, ", line 1: not valid YAML: while scanning a quoted scalar"),
    "Latin-1": (b"a: 1\nb: caf\xe9", ", line 2: cannot be read (byte 0xe9 is not UTF-8); save it as UTF-8."),
    "UTF-16": ("a: 1".encode("utf-16"), ", line 1: cannot be read (byte 0xff is not UTF-8)"),
    "a NUL byte": (b"a: 1\nb: x\x00y", r", line 2: not valid YAML: a character '\x00'."),
    "an escape sequence": (b"a: \x1b[2J", r", line 1: not valid YAML: a character '\x1b'."),
    "a NUL in a key": (rb'"a\0b": 1', ", line 1: a key must be a plain text of at most 200 printable characters."),
    "a line break in a key": (rb'"a\nb": 1', ", line 1: a key must be a plain text"),
    "a terminal's code in a key": (rb'"\e[31mred": 1', ", line 1: a key must be a plain text"),
    "a text that runs backwards in a key": ("\u202eyek: 1".encode(), ", line 1: a key must be a plain text"),
    "a key of 201 characters": (b"k" * 201 + b": 1", ", line 1: a key must be a plain text of at most 200"),
    "half a character": (rb'a: "\ud83d"', r", line 1: half a character in '\ud83d'; write it whole."),
    "half a character in a key": (rb'"\ude00": 1', r", line 1: half a character in '\ude00'"),
    "a list as a key": (b"? [a]\n: 1", ", line 1: a key must be a plain text"),
    "a key twice": (b"a: 1\nb: 2\n'a': 3", ", line 3: a stands twice; keep one."),
    "a key twice within": (b"a: {b: 1, c: 2, b: 3}", ", line 1: b stands twice; keep one."),
    "a number of 60,000 digits": (b"a: " + b"9" * 60_000, ", line 1: a number of 60000 characters; one has at most"),
    "a number of 50,000 hex digits": (b"a: 0x" + b"f" * 50_000, ", line 1: a number of 50002 characters"),
    "a number to base 60": (b"a: 1" + b":59" * 20_000, ", line 1: a number of 60001 characters"),
    "a number without digits": (b"a: 0b_", ", line 1: '0b_' is no number; put a text in quotes."),
    "a date": (b"a: 2026-02-31", ", line 1: '2026-02-31' is no plain value; put a text in quotes."),
    "a lonely equals sign": (b"a: =", ", line 1: '=' is no plain value"),
    "two documents": (b"a: 1\n--- {b: 2}", ", line 2: not valid YAML: expected a single document"),
    "another YAML": (b"%YAML 7.0\n--- {a: 1}", ", line 1: not valid YAML: found incompatible YAML document"),
    "a tab": (b"a:\n\t- 1", ", line 2: not valid YAML: while scanning for the next token"),
}  # fmt: skip

# Of conf/rules.yaml. A name becomes a folder and a checkpoint; a rule's file is one of the package, and no path.
_NO_NAME = "is no rule name; use a-z, 0-9 and _, beginning with a letter, 64 at most."
RULES: dict[str, tuple[str, str]] = {
    "the folder above": ("../up: {rule: anomaly}", f", line 1: '../up' {_NO_NAME}"),
    "a folder below": ("a/b: {rule: anomaly}", f", line 1: 'a/b' {_NO_NAME}"),
    "an absolute path": ("/etc/cron.d/x: {rule: anomaly}", f", line 1: '/etc/cron.d/x' {_NO_NAME}"),
    "a path of Windows": (r"'..\up': {rule: anomaly}", _NO_NAME),
    "a dot": (".: {rule: anomaly}", f", line 1: '.' {_NO_NAME}"),
    "300 characters": (f"{'a' * 300}: {{rule: anomaly}}", ", line 1: a key must be a plain text of at most 200"),
    "150 characters": (f"{'a' * 150}: {{rule: anomaly}}", f"... (152 characters) {_NO_NAME}"),
    "a name in Cyrillic": ("\u0430nomaly: {rule: anomaly}", f", line 1: '\u0430nomaly' {_NO_NAME}"),  # its first letter
    "a name with a format": ("'{0.__class__}': {rule: anomaly}", f", line 1: '{{0.__class__}}' {_NO_NAME}"),
    "a name of a shell": ("$(reboot): {rule: anomaly}", f", line 1: '$(reboot)' {_NO_NAME}"),
    "another query's name": ("mirror_transactions: {rule: anomaly}", "is the name of another query"),
    "a rule file above": ("a: {rule: ../../../tmp/evil}", ", line 1: no rule '../../../tmp/evil' in"),
    "a rule file by its path": ("a: {rule: /tmp/evil.py}", ", line 1: no rule '/tmp/evil.py' in"),
    "a module of Python": ("a: {rule: os}", ", line 1: no rule os in"),
    "a module by dots": ("a: {rule: fraudstream.session}", ", line 1: no rule 'fraudstream.session' in"),
    "the package itself": ("a: {rule: __init__}", ", line 1: no rule '__init__' in"),
    "lines in a rule file": (r'a: {rule: "x\ny\e[2J"}', r", line 1: no rule 'x\ny\x1b[2J' in"),
    "a rule file of 60,000": (f"a: {{rule: {'x' * 60_000}}}", "... (60002 characters) in"),
    "an expression": ('anomaly: {expression: "amount > 5"}', ", line 1: unknown key expression. Allowed are rule,"),
    "a condition": ("anomaly: {when: java_method('java.lang.System','exit',1)}", ", line 1: unknown key when."),
    "Spark's reflection": ("anomaly:\n  when: \"reflect('java.lang.System','exit',1)\"", ", line 2: unknown key when."),
    "a subquery": ("anomaly: {parameters: {floor: (select 1)}}", "floor is '(select 1)'; it must be a number."),
    "Java in a number": (
        "anomaly: {parameters: {floor: \"java_method('java.lang.System', 'exit', 1)\"}}", "it must be a number."
    ),
    "Python in a number": ("anomaly: {parameters: {factor: \"__import__('os')\"}}", "it must be a number."),
    "an attribute": ("anomaly: {parameters: {factor: tx.__class__}}", "factor is 'tx.__class__'; it must be a number."),
    "a sum": ("anomaly: {parameters: {history: 5 + 5}}", "history is '5 + 5'; it must be a whole number."),
    "a power": ("anomaly: {parameters: {factor: 9**9**9}}", "factor is '9**9**9'; it must be a number."),
    "a parameter unheard of": ("anomaly: {parameters: {__class__: 1}}", "rule anomaly has no parameter __class__."),
    "a parameter of Python": ("anomaly: {parameters: {tx: 1}}", "rule anomaly has no parameter tx."),
    "a huge exponent": ("high_amount: {parameters: {over: 1e999999999}}", "it must lie between"),
    "a tiny exponent": ("high_amount: {parameters: {over: '1e-999999999'}}", "with at most 6 decimal places"),
    "a huge negative": ("high_amount: {parameters: {over: -1e30}}", "it must lie between"),
    "a number of 60,000 as text": (f"high_amount: {{parameters: {{over: '{'9' * 60_000}'}}}}", "it must lie between"),
    "infinity": ("high_amount: {parameters: {over: .inf}}", "it must lie between"),
    "no number, as text": ("high_amount: {parameters: {over: 'sNaN'}}", "it must lie between"),
    "a large window": ("anomaly: {parameters: {history: 1000000000}}", "it must lie between 1 and 1000."),
    "a long window": ("velocity: {parameters: {window: 999999999d}}", "it must lie between 1s and 24h."),
    "a duration of 60,000": (f"velocity: {{parameters: {{window: {'9' * 60_000}s}}}}", "is no duration; write it like"),
    "SQL in a method": ("anomaly: {parameters: {method: \"mean') or reflect('x\"}}", "it must be one of mean, sigma."),
    "a budget of 60,000": (f"anomaly: {{budget: {'9' * 60_000}/day}}", "is no budget; write it like 50/day."),
    "Java in a budget": ("anomaly: {budget: \"reflect('x')/day\"}", "is no budget; write it like 50/day."),
    "a severity of 60,000": (f"anomaly: {{severity: {'x' * 60_000}}}", "Allowed are low, medium, high, critical."),
    "labels without an end": ("compromised_merchant: {parameters: {labels: /dev/zero}}", "/dev/zero is no file"),
    "labels of a folder": ("compromised_merchant: {parameters: {labels: /etc}}", "/etc is no file"),
    "labels of another file": ("compromised_merchant: {parameters: {labels: /etc/passwd}}", "must begin with the line"),
    "labels of no path": (r'compromised_merchant: {parameters: {labels: "a\0b"}}', r"labels is 'a\x00b';"),
}  # fmt: skip

# Of conf/pipeline.yaml: a text of the file, what stands there instead, and what must be said.
_JNDI = "com.sun.security.auth.module.JndiLoginModule"
PIPELINE: dict[str, tuple[str, str, str]] = {
    "a key of no setting": ("state:\n", "sstate: 1\nstate:\n", ": unknown key sstate. Did you mean state?"),
    "a key of Python": ("sink: {}", "sink: {}\n  __class__: x", ": unknown key kafka.__class__."),
    "a list of options": ("sink: {}", "sink: [a]", ": kafka.sink is a list; it must be a Mapping[str, str]."),
    "options within options": ("sink: {}", "sink: {a: {b: c}}", ": kafka.sink: a is a mapping; it must be a text"),
    "no value": ("sink: {}", "sink: {a: }", ": kafka.sink: a is None; it must be a text"),
    "JNDI by a login": (
        "options: {}", f"options: {{kafka.sasl.jaas.config: '{_JNDI} required user.provider.url=\"ldap://x\";'}}",
        f": kafka.options: kafka.sasl.jaas.config loads '{_JNDI}'; a class may begin with org.apache.kafka.,",
    ),
    "JNDI behind another login": (
        "options: {}",
        "options: {kafka.sasl.jaas.config: 'org.apache.kafka.common.security.plain.PlainLoginModule required; "
        f"{_JNDI} required;'}}", ": kafka.options: kafka.sasl.jaas.config must be one login, like MODULE required",
    ),
    "JNDI behind a comment": (
        "options: {}", f"options: {{KAFKA.SASL.JAAS.CONFIG: '{_JNDI}/* */required;'}}", "must be one login, like",
    ),
    "JNDI in quotes": ("options: {}", f"options: {{kafka.sasl.jaas.config: '\"{_JNDI}\" required;'}}", "one login"),
    "a foreign class": (
        "sink: {}", "sink: {kafka.interceptor.classes: 'org.apache.kafka.A, evil.B'}",
        ": kafka.sink: kafka.interceptor.classes loads 'evil.B'; a class may begin with",
    ),
    "a foreign provider": ("sink: {}", "sink: {kafka.security.providers: evil.B}", "security.providers loads 'evil.B'"),
    "a foreign reporter": ("sink: {}", "sink: {kafka.metric.reporters: evil.B}", "metric.reporters loads 'evil.B'"),
    "a number too large to print": ("buckets: 2 ", "buckets: 0x" + "f" * 5000, "a number of 5002 characters"),
    "a number that wraps": ("buckets: 2 ", "buckets: 18446744073709551618 ", "must lie between 1 and 65536."),
    "true for a number": ("buckets: 2 ", "buckets: true ", ": state.buckets is True; it must be a int."),
    "a duration of code": ("rules: 0 seconds", "rules: 0 seconds; rm", "triggers.rules is '0 seconds; rm'; write it"),
    "a variable as a key": ("sink: {}", 'sink: {"${KAFKA_PORT}": 1}', "a variable in the key '${KAFKA_PORT}'; only v"),
    "a variable of no name": ("sink: {}", "sink: {a: '${NO_SUCH_THING}'}", "NO_SUCH_THING is not set; set it in the"),
    "a lake elsewhere": ("lake: ${FRAUDSTREAM_HOME}", "lake: http://evil", "lake is 'http://evil/lake'; it must be a"),
}  # fmt: skip


def refused(read: Callable[[Path], Any], path: Path) -> str:
    """What is said behind the file's name, of a file that must be refused in one short line within a second."""
    started = time.process_time()
    with pytest.raises(ConfigError) as error:
        read(path)
    assert time.process_time() - started < 1
    said = str(error.value)
    assert said.startswith(str(path))
    assert said.isprintable()
    assert len(said) < 1000
    return said.removeprefix(str(path))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ANY_FILE)
def test_no_file_may_hold_what_is_not_plain(tmp_path: Path, name: str, reader: str):
    content, said = ANY_FILE[name]
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    assert refused(READERS[reader], path).startswith(said)


@pytest.mark.parametrize("reader", READERS)
def test_of_a_file_without_an_end_no_more_is_read_than_is_allowed(tmp_path: Path, reader: str):
    sparse = tmp_path / "large.yaml"
    with sparse.open("wb") as file:
        file.truncate(50 * 2**20)
    for path in (sparse, Path("/dev/zero")):
        assert refused(READERS[reader], path) == ": over 65536 bytes; a file has at most so many."


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bad", ["/", "/nowhere/x", "a\0b", "x" * 5000])
def test_what_is_no_file_is_one_line_too(bad: str, reader: str):
    with pytest.raises(ConfigError, match="cannot be read"):
        READERS[reader](Path(bad))


@pytest.mark.parametrize("name", RULES)
def test_rules_run_no_code_and_name_no_path(tmp_path: Path, name: str):
    text, said = RULES[name]
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    assert said in refused(load_rules, path)


@pytest.mark.parametrize("name", PIPELINE)
def test_the_pipelines_settings_run_no_code(tmp_path: Path, name: str):
    old, new, said = PIPELINE[name]
    text = PIPELINE_FILE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "pipeline.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert said in refused(load_pipeline, path)


@pytest.mark.parametrize(
    "value",
    [
        "9092\nlake: /evil", '9092"\nlake: "/evil', "9092, evil: {a: b}", "9092 # no more", "*a", "9092'", "{a: b}",
        "!!python/name:os.system", "${FRAUDSTREAM_HOME}", "- a", "%TAG", "\u2028lake: /evil", "9092\r\nlake: /evil",
        "\t", "",
    ],
)  # fmt: skip
def test_a_variables_value_is_one_text_and_no_yaml(tmp_path: Path, value: str):
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE_FILE.read_text().replace("alerts_topic: fraud.alerts", "alerts_topic: x${THING}"))
    pipeline = load_pipeline(path, {"FRAUDSTREAM_HOME": "/home", "THING": value})
    assert pipeline.kafka.alerts_topic == f"x{value}"
    assert (pipeline.lake, pipeline.checkpoints) == ("/home/lake", "/home/checkpoints")


def test_a_variable_alone_is_read_as_if_it_stood_there(tmp_path: Path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE_FILE.read_text().replace("buckets: 2 ", "buckets: ${COUNT} "))
    environment = {"FRAUDSTREAM_HOME": "/home", "COUNT": "8"}
    assert load_pipeline(path, environment).state.buckets == 8
    for nothing in ("", "~", "null"):
        with pytest.raises(ConfigError, match=f"state.buckets is '{nothing}'; it must be a int"):
            load_pipeline(path, environment | {"COUNT": nothing})
    with pytest.raises(ConfigError, match=r"state\.buckets is '8\\nlake: x'; it must be a int"):
        load_pipeline(path, environment | {"COUNT": "8\nlake: x"})
    with pytest.raises(ConfigError, match=r"line \d+: a number of 100 characters"):
        load_pipeline(path, environment | {"COUNT": "9" * 100})


@pytest.mark.parametrize(
    "login",
    [
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="a;\\"b/*c";',
        "org.apache.kafka.common.security.plain.PlainLoginModule  REQUIRED\n username=me password='p q' ; ",
        'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab="/etc/k" principal="k@R";',
        "software.amazon.msk.auth.iam.IAMLoginModule required;",
    ],
)
def test_logins_and_classes_of_kafka_are_let_through(tmp_path: Path, login: str):
    path = tmp_path / "pipeline.yaml"
    options = {
        "kafka.sasl.jaas.config": login,
        "kafka.metadata.recovery.strategy": "rebootstrap",
        "kafka.config.providers": "file",
        "kafka.config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "kafka.ssl.provider": "",
    }
    path.write_text(PIPELINE_FILE.read_text().replace("options: {}", f"options: {json.dumps(options)}"))
    assert load_pipeline(path).kafka.options == options


def test_the_secure_stacks_own_clients_file_is_let_through(tmp_path: Path):
    settings = load_settings(environment={"STACK_PROFILE": "secure", "FRAUDSTREAM_HOME": str(tmp_path)})
    ours = client_properties(settings, "spark")
    properties = tmp_path / "client.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in ours.items()))
    pipeline = load_pipeline(environment={"FRAUDSTREAM_HOME": "/x", "KAFKA_CLIENT_PROPERTIES": str(properties)})
    assert pipeline.kafka.client_options == {f"kafka.{name}": value for name, value in ours.items()}
    assert {"kafka.sasl.jaas.config", "kafka.config.providers.file.class"} <= pipeline.kafka.client_options.keys()


def test_a_login_in_the_clients_file_is_looked_at_as_well(tmp_path: Path):
    properties, path = tmp_path / "client.properties", tmp_path / "pipeline.yaml"
    properties.write_text(f"security.protocol=SASL_SSL\nsasl.jaas.config={_JNDI} required;\n")
    path.write_text(PIPELINE_FILE.read_text())
    pipeline = load_pipeline(path, {"KAFKA_CLIENT_PROPERTIES": str(properties)})
    with pytest.raises(ConfigError, match=rf"kafka\.sasl\.jaas\.config loads '{re.escape(_JNDI)}'"):
        pipeline.kafka.client_options  # noqa: B018
    properties.write_text("x" * 65_537)
    with pytest.raises(ConfigError, match="over 65536 bytes"):
        pipeline.kafka.client_options  # noqa: B018


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f"{10**19},2026-03-01T12:00:00Z", "line 2: '10000000000000000000,2026-03-01T12:00:00Z' is no label"),
        (f"{'9' * 5000},2026-03-01T12:00:00Z", "is no label; write one like 17,2026-03-01T12:00:00Z"),
        ("\u0661\u0667,2026-03-01T12:00:00Z", "is no label"),
    ],
)
def test_a_label_is_of_a_transaction_that_can_be(tmp_path: Path, rows: str, said: str):
    path = tmp_path / "labels.csv"
    path.write_text(f"transaction_id,labelled_at\n{rows}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2") as error:
        read_labels(str(path))
    assert said in str(error.value)
    assert len(str(error.value)) < 400


def test_labels_over_64_mib_are_not_read(tmp_path: Path):
    path = tmp_path / "labels.csv"
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(ValueError, match="has over 67108864 bytes"):
        read_labels(str(path))


@pytest.mark.parametrize("option", ["--rules-file", "--config"])
def test_a_job_refuses_before_there_is_a_session(tmp_path: Path, monkeypatch, option: str):
    monkeypatch.setitem(sys.modules, "fraudstream.session", None)
    path = tmp_path / "file.yaml"
    path.write_text("a: !!python/object/apply:os.system [id]")
    with pytest.raises(ConfigError, match="tags are not read"):
        detect_fraud.main([option, str(path)])


def test_a_user_sees_one_line_and_no_trace(tmp_path: Path):
    path = tmp_path / "rules.yaml"
    path.write_text(_LAUGHS)
    job = [sys.executable, str(REPOSITORY / "jobs" / "detect_fraud.py"), "--rules-file", str(path)]
    done = subprocess.run(job, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "line 2: an alias (*name)" in done.stderr


def test_the_largest_file_that_is_read_takes_about_a_second(tmp_path: Path):
    path = tmp_path / "file.yaml"
    path.write_text("a: [" + "[]," * ((documents.MAX_BYTES - 6) // 3) + "]")
    started = time.process_time()
    assert len(documents.load(path, "")["a"]) == 21_843
    assert time.process_time() - started < 3


def test_our_own_files_are_read():
    assert list(documents.load(LIMITS_FILE, ""))[:2] == ["disk_free_bytes", "slot_inactive_s"]
    assert load_pipeline().max_message_bytes == 262_144
    assert documents.load(PIPELINE_FILE, "")["kafka"]["source"]["kafka.max.poll.records"] == "20000"


def test_json_is_read_as_it_is_meant():
    found = {"É😀": ["😀", "\u2028", "\x7f", 'a"b', 1, -2.5, True, None, {"": "x" * 70_000}]}
    node = documents.compose(json.dumps(found), "a record")
    assert node is not None
    assert documents.plain(node) == found


def test_one_place_reads_yaml():
    reads = re.compile(r"yaml\.(safe_load|load|full_load|unsafe_load|compose|parse|scan)\w*\(|yaml\.\w*Loader\b")
    jobs = REPOSITORY / "jobs"
    found = [path.relative_to(jobs) for path in jobs.rglob("*.py") if reads.search(path.read_text(encoding="utf-8"))]
    assert [str(path) for path in found] == ["fraudstream/documents.py"]


def test_no_rule_text_becomes_an_expression():
    """Rules are Python files of the package and typed parameters: no text of a user is parsed as SQL or Python."""
    runs = re.compile(r"\b(eval|exec|__import__)\(|pickle\.loads?\(|\.unsafe_")
    jobs = REPOSITORY / "jobs"
    found = [
        str(path.relative_to(jobs)) for path in jobs.rglob("*.py") if runs.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []
