"""/metrics and /healthz over HTTP. However often they are asked, facts are gathered every few seconds at most."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from fraudstream.errors import FraudstreamError, Runbook
from fraudstream.health import metrics
from fraudstream.health.findings import Finding

Seen = tuple[dict[str, Any], list[Finding]]
_FRESH_S = 5.0
_PATIENCE_S = 8.0  # less than Prometheus' usual 10 s
_OLD_S = 60.0  # as in docker/monitoring/alerts.yml
_GONE: Runbook = "metrics-gone"


class Latest:
    """What `look` saw last. A look that takes long goes on by itself, and what was seen before it is told."""

    def __init__(self, look: Callable[[], Seen], fresh: float = _FRESH_S, patience: float = _PATIENCE_S) -> None:
        self._look, self._fresh, self._patience = look, fresh, patience
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._seen: Seen | None = None
        self._at = float("-inf")

    def get(self) -> Seen | None:
        """Something seen within the last seconds if it can be had in time, else what there is; None at first."""
        with self._lock:
            if self._looking is None and time.monotonic() - self._at >= self._fresh:
                self._looking = threading.Thread(target=self._run, daemon=True)
                self._looking.start()
            looking = self._looking
        if looking is not None:
            looking.join(self._patience)
        return self._seen

    def _run(self) -> None:
        try:
            self._seen = self._look()
            self._at = time.monotonic()
        finally:
            self._looking = None


def server(bind: str, port: int, latest: Latest) -> ThreadingHTTPServer:
    """The server, bound and not yet serving. Raises FraudstreamError if the address cannot be had."""

    class Handler(_Handler):
        seen = latest

    try:
        return ThreadingHTTPServer((bind, port), Handler)
    except (OSError, OverflowError) as error:
        raise FraudstreamError(
            f"{bind}:{port} cannot be listened on ({error}); name another with --port or --bind."
        ) from error


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # of a client that says nothing
    seen: ClassVar[Latest]
    server_version = "fraudstream"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path not in ("/metrics", "/healthz"):
            self._answer(404, "text/plain", "there are /metrics and /healthz\n")
            return
        seen = self.seen.get()
        if seen is None:
            self._answer(503, "text/plain", f"no facts yet [docs/operations.md: {_GONE}]\n")
        elif self.path == "/metrics":
            self._answer(200, metrics.CONTENT_TYPE, metrics.text(*seen))
        elif (age := time.time() - seen[0]["at"]) > _OLD_S:
            self._answer(503, "text/plain", f"the facts are of {age:.0f} s ago [docs/operations.md: {_GONE}]\n")
        else:
            facts, found = seen
            told = {"healthy": not found, "at": facts["at"], "findings": [each._asdict() for each in found]}
            self._answer(503 if found else 200, "application/json", json.dumps(told, indent=1) + "\n")

    def _answer(self, code: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """A scrape every few seconds is no news."""
