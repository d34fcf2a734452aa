"""python -m fraudstream.stack up | down | status | purge | lock"""

from __future__ import annotations

import argparse
import signal
import sys

from fraudstream.errors import FraudstreamError
from fraudstream.stack import lifecycle
from fraudstream.stack.settings import load_settings


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 a condition that the text on standard error names, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m fraudstream.stack", description="The local stack.")
    parser.add_argument("command", choices=("up", "down", "status", "purge", "lock"))
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        settings = load_settings()
        if options.command == "up":
            print(f"up in {lifecycle.up(settings):.1f} s")
        elif options.command == "down":
            print("stopped:", *(lifecycle.down(settings) or ["nothing ran"]))
        elif options.command == "purge":
            lifecycle.purge(settings)
        elif options.command == "lock":
            from fraudstream.stack.resolve import write_lock

            print(f"{write_lock()} artifacts locked")
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
