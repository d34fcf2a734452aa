"""A round: a pipeline under load, faults that strike it one after the other, and one check of all that came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from fraudstream.drill.checkup import Checkup, check_tables, check_up
from fraudstream.drill.fault import Fault, NotMadeError, NotStruckError
from fraudstream.drill.rig import Rig
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import StackSettings

# Rows that must be written around a fault for its verdict to count.
ENOUGH_ROWS = 20_000
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault's strike: rows written from the end of the one before until all was recovered, the seconds that took,
    and what became of it: struck, not struck, not made, or not recovered, with the proof or the reason."""

    fault: str
    outcome: str
    proof: str
    rows: int
    kills: int
    recovery_s: float | None


def run_round(
    settings: StackSettings, faults: Sequence[Fault], seed: int, number: int, rate: float, say: Say
) -> list[dict[str, Any]]:
    """The round's results, a JSON-ready dictionary per strike with the round's check in each. Everything that it
    started is stopped when it returns or raises."""
    random = Random(f"{seed} {number}")
    rig = Rig(settings, seed * 1_000_003 + number, rate, inserts_only=any(fault.gap for fault in faults))
    began = time.time()
    try:
        say(f"round {number}: starting the pipeline, {rate:,.0f} rows/s")
        rig.start()
        strikes = []
        for fault in faults:
            # What strikes often in a round has its rows in all of them together.
            least = ENOUGH_ROWS if faults.count(fault) == 1 else 0
            strikes.append(strike(rig, fault, random, say, least))
            if strikes[-1].outcome == "not recovered":
                break
        if strikes[-1].outcome == "not recovered":
            checkup, failure = None, strikes[-1].proof
        elif faults[-1].end:
            checkup, failure = check_tables(rig), ""
        else:
            checkup, failure = _ended(rig, say)
    finally:
        rig.clear()
    shared = {
        "round": number, "seed": seed, "at": round(began, 1), "seconds": round(time.time() - began, 1),
        "check": asdict(checkup) if checkup else {"failures": [failure]},
    }  # fmt: skip
    return [{**asdict(each), **shared} for each in strikes]


def strike(rig: Rig, fault: Fault, random: Random, say: Say, least: int = 0) -> Strike:
    """Let a fault strike the rig, and wait until the pipeline has recovered, and `least` rows are written in all."""
    say(f"  {fault.name}: must hold: {fault.must_hold}")
    before, wal = rig.written(), rig.wal()

    def outcome(name: str, proof: str, kills: int = 0, recovery_s: float | None = None) -> Strike:
        say(f"  {fault.name}: {name}: {proof}" + (f"; recovered after {recovery_s:.1f} s" if recovery_s else ""))
        rows = rig.written() - before
        return Strike(fault=fault.name, outcome=name, proof=proof, rows=rows, kills=kills, recovery_s=recovery_s)

    try:
        struck = fault.strike(rig, random)
        if fault.end:
            return outcome("struck", struck.proof, struck.kills)
        rig.restore()
        rig.await_recovered(wal)
        recovery_s = round(time.monotonic() - struck.since, 2)
        rig.until(lambda: rig.written() - before >= least, f"{least:,} rows", watch=True)
        return outcome("struck", struck.proof, struck.kills, recovery_s)
    except NotStruckError as seen:
        rig.restore()
        return outcome("not struck", str(seen))
    except NotMadeError as reason:
        return outcome("not made", str(reason))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = str(error) if isinstance(error, FraudstreamError) else f"{type(error).__name__}: {error} ({where.name})"
        return outcome("not recovered", said)


def _ended(rig: Rig, say: Say) -> tuple[Checkup | None, str]:
    say("  catching up and checking against ledger and oracle")
    try:
        rig.end()
        checkup = check_up(rig)
    except FraudstreamError as error:
        return None, str(error)
    say(
        f"  {checkup.rows:,} records, {checkup.alerts:,} alerts: lost {checkup.lost}, doubled {checkup.doubled}, "
        f"copies in Kafka {checkup.kafka_copies}" + "".join(f"\n  - {failure}" for failure in checkup.failures)
    )
    return checkup, ""
