"""Serve the pipeline's metrics for Prometheus at /metrics, and its health at /healthz (200, or 503 with what is wrong).

It reads what stack, queries and lake tell; it starts nothing, and it needs no Spark.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from fraudstream import cli, options
from fraudstream.config import RULES_FILE, load_pipeline
from fraudstream.health.limits import limit, load_limits
from fraudstream.stack.settings import load_settings


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped."""
    given = _parser().parse_args(argv)
    limits = load_limits(dict(given.limit))
    settings, pipeline = load_settings(), load_pipeline(given.config)

    from fraudstream.health.doctor import Doctor
    from fraudstream.health.endpoint import Latest, server

    doctor = Doctor(settings, pipeline, limits, given.rules_file)
    with server(given.bind, given.port, Latest(doctor.look)) as serving:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        host, port = serving.server_address[:2]
        print(f"http://{host!s}:{port}/metrics and /healthz; Ctrl-C stops", flush=True)
        serving.serve_forever()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = options.job_parser(__doc__, "./spark-submit.sh serve_metrics --port 9187")
    parser.add_argument("--port", type=int, default=9187, help="9187; 0 takes a free one")
    parser.add_argument("--bind", default="127.0.0.1", help="the address to listen on (default: loopback alone)")
    parser.add_argument("--rules-file", type=Path, default=RULES_FILE, help="another rules file (for their budgets)")
    parser.add_argument(
        "--limit", type=limit, action="append", default=[], metavar="NAME=VALUE",
        help="another limit than in conf/health.yaml; repeatable",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    cli.run(main)
