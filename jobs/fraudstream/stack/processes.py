"""Starting, knowing again and ending the stack's processes. A pid file also holds the process's start time, so that
another process which got the same pid later is never taken for ours."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psutil

from fraudstream.errors import StackError
from fraudstream.stack.settings import StackSettings

TITLES = {"postgres": "PostgreSQL", "kafka": "Kafka", "connect": "Kafka Connect"}
COMPONENTS = tuple(TITLES)
_PORT_S = 5.0


def log_file(settings: StackSettings, component: str) -> Path:
    """Where a component's output goes; the log of the start before is beside it, ending in .1."""
    return settings.folder / "logs" / f"{component}.log"


def _pid_file(settings: StackSettings, component: str) -> Path:
    return settings.folder / "pids" / f"{component}.json"


def crashed(settings: StackSettings, component: str) -> bool:
    """Whether a component was started, not stopped by us, and does not run."""
    return _pid_file(settings, component).exists() and process_of(settings, component) is None


def forget(settings: StackSettings, component: str) -> None:
    """Remove the pid file of a component that does not run any more."""
    _pid_file(settings, component).unlink(missing_ok=True)


def process_of(settings: StackSettings, component: str) -> psutil.Process | None:
    """The running process of a component that we started, None when it does not run (any more)."""
    try:
        noted = json.loads(_pid_file(settings, component).read_text(encoding="utf-8"))
        process = psutil.Process(noted["pid"])
        # Start times are counted from the boot: they shift when the clock is set.
        same = abs(process.create_time() - noted["started"]) < 10 and _is_alive(process)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if same else None


def pid_of(settings: StackSettings, component: str) -> int | None:
    """The pid of a running component (postgres, kafka or connect), else None."""
    process = process_of(settings, component)
    return process.pid if process else None


def start(
    settings: StackSettings,
    component: str,
    command: Sequence[str | Path],
    user: int | None = None,
) -> None:
    """Start a component in a session of its own, its output in its log file, and note its pid."""
    log, noted = log_file(settings, component), _pid_file(settings, component)
    for folder in (log.parent, noted.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output, uninterrupted():
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent if user is None else "/",
            start_new_session=True,
            umask=0o077,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        with contextlib.suppress(psutil.NoSuchProcess):
            line = json.dumps({"pid": process.pid, "started": psutil.Process(process.pid).create_time()})
            fresh = noted.with_suffix(".new")
            fresh.write_text(line, encoding="utf-8")
            fresh.replace(noted)
        # Here and not behind the block: Python passes over what is raised while an object is deleted, Ctrl-C too.
        del process


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals back between the start of a process and the note of its pid: `down` must find it. A blocked mask
    would be inherited, so handlers do it; they need the main thread, where signals arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    held = {number: signal.signal(number, lambda which, _: caught.append(which)) for number in _INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    if caught:
        signal.raise_signal(caught[0])


_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop(settings: StackSettings, component: str, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send the signals of `steps` in turn, each with its patience in seconds, until the component has ended.

    Returns whether it was running. Raises StackError when it outlives the last signal.
    """
    process = process_of(settings, component)
    if process is None:
        forget(settings, component)
        return False
    children = _children(process)
    for number, patience in steps:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        if _has_ended(process, patience):
            break
    else:
        raise StackError(f"{TITLES[component]} (pid {process.pid}) does not end; see {log_file(settings, component)}.")
    for child in children:
        # PostgreSQL's notice their parent's end by themselves.
        if not _has_ended(child, 1):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
            _has_ended(child, 5)
    forget(settings, component)
    return True


def _has_ended(process: psutil.Process, seconds: float) -> bool:
    """Wait for the end of a process for at most `seconds`. A zombie has ended: its parent may be slow to notice."""
    limit = time.monotonic() + seconds
    while _is_alive(process):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def wait_until(
    settings: StackSettings, component: str, ready: Callable[[], bool], seconds: float, pause: float = 0.05
) -> None:
    """Return once `ready` says so. Raises StackError with the log's last lines when it takes too long, and at once when
    this or another component that we started has ended."""
    limit = time.monotonic() + seconds
    while not ready():
        for each in COMPONENTS:
            if crashed(settings, each):
                started = "it" if each == component else TITLES[component]
                raise StackError(f"{TITLES[each]} ended while {started} started; {explain(settings, each)}")
        if time.monotonic() > limit:
            raise StackError(f"{TITLES[component]} is not ready after {seconds:.0f} s; {explain(settings, component)}")
        time.sleep(pause)


def explain(settings: StackSettings, component: str) -> str:
    """Where a component's log lies and what its last lines say, in one line."""
    log = log_file(settings, component)
    lines = tail(log, 3)
    return f"see {log}" + (f", which ends: {' | '.join(lines)}" if lines else " (empty)")


def tail(path: Path, lines: int) -> list[str]:
    """The last non-empty lines of a text file, each cut at 300 characters; none when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip()[:300] for line in text.splitlines() if line.strip()][-lines:]


def is_open(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def require_free_ports(settings: StackSettings, components: Iterable[str]) -> None:
    """Raises StackError when another process listens on a port of `components`, naming it where we may see it."""
    for component in components:
        for name, port in ports(settings, component).items():
            # A process that was just killed gives its ports back a moment after it has ended.
            limit = time.monotonic() + _PORT_S
            while not _is_free(port):
                owner = _owner(port)
                if owner or time.monotonic() > limit:
                    raise StackError(
                        f"Port {port} for {TITLES[component]} is taken by {owner or 'a process of another user'}; stop "
                        f"that process or set {name} to a free port (in the environment or docker/.env)."
                    )
                time.sleep(0.1)


def ports(settings: StackSettings, component: str) -> dict[str, int]:
    """The ports of a component, by their names in docker/.env; the first is the one that clients use."""
    return {
        "postgres": {"POSTGRES_PORT": settings.postgres_port},
        "kafka": {"KAFKA_PORT": settings.kafka_port, "KAFKA_CONTROLLER_PORT": settings.kafka_controller_port},
        "connect": {"CONNECT_PORT": settings.connect_port},
    }[component]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _owner(port: int) -> str | None:
    with contextlib.suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
                return f"{psutil.Process(each.pid).name()} (pid {each.pid})"
    return None
