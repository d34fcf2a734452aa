"""Load for a drill: a producer with a ledger that outlives the database's deaths."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from fraudstream.errors import FraudstreamError
from fraudstream.input.ledger import Ledger
from fraudstream.input.produce import Options, produce

_RETRY_S = 0.5
_SHARES = (0.01, 0.002)


class Feed:
    """Writes rows on a thread of its own until it is ended. What COMMIT did not answer stands in the ledger as
    unknown; after a failure it goes on with rows of another seed. `error` is what it died of, if it did."""

    def __init__(self, dsn: str, ledger: Path, rate: float, seed: int, *, inserts_only: bool) -> None:
        self.error: Exception | None = None
        self._dsn, self._rate, self._seed = dsn, rate, seed
        self._updates, self._deletes = (0.0, 0.0) if inserts_only else _SHARES
        self._ledger = Ledger(ledger)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            # `hot` sits on the rules' edges: a row lost or doubled in a history shows.
            options = Options(
                profile="hot", seed=self._seed, rate=self._rate, batch_size=200, update_share=self._updates,
                delete_share=self._deletes,
            )  # fmt: skip
            try:
                produce(self._dsn, options, self._ledger, self._stop)
            except FraudstreamError:
                self._stop.wait(_RETRY_S)
            except Exception as error:
                self.error = error
                return
            self._seed += 1

    @property
    def inserted(self) -> int:
        """Rows inserted so far, as the ledger has them."""
        return self._ledger.inserted

    def note(self, changes: list[list[Any]]) -> None:
        """Add a transaction that somebody else has committed to the ledger."""
        self._ledger.append("committed", changes)

    def stop(self) -> None:
        """Stop writing; whole transactions only."""
        self._stop.set()
        self._thread.join(60)
        self._ledger.close()
