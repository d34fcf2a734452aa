"""A round: a pipeline under load, faults that strike it one after the other, and one check of all that came of it."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from fraudstream.drill.checkup import Checkup, check_tables, check_up, keep_evidence
from fraudstream.drill.fault import Fault, NotMadeError, NotStruckError
from fraudstream.drill.helped import Help, counted, not_alone
from fraudstream.drill.rig import Rig
from fraudstream.errors import FraudstreamError
from fraudstream.stack.settings import StackSettings

# Rows that must be written around a fault for its verdict to count.
ENOUGH_ROWS = 20_000
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault's strike: rows written from the end of the one before until all was recovered and enough were written,
    those of them until all was recovered, the seconds that took, how often what was started again (`helped`), and what
    became of it: struck, helped (what must go on alone was started again), not struck, not made, not recovered, or not
    reached, with the proof or the reason."""

    fault: str
    outcome: str
    proof: str
    rows: int = 0
    rows_meanwhile: int = 0
    kills: int = 0
    recovery_s: float | None = None
    helped: dict[str, int] = field(default_factory=dict)


def run_round(
    settings: StackSettings, faults: Sequence[Fault], seed: int, number: int, rate: float, say: Say
) -> list[dict[str, Any]]:
    """The round's results, a JSON-ready dictionary per fault with the round's plan and its check in each. Whatever goes
    wrong is one of them; what the round had started is stopped when it returns."""
    random = Random(f"{seed} {number}")
    rig = Rig(settings, seed * 1_000_003 + number, rate, inserts_only=any(fault.gap for fault in faults))
    began = time.time()
    strikes: list[Strike] = []
    checkup: Checkup | None = None
    failures: list[str] = []
    try:
        say(f"round {number}: starting the pipeline, {rate:,.0f} rows/s")
        rig.start()
        _strike_all(rig, faults, random, say, strikes)
        checkup = check_tables(rig) if faults[-1].end else _ended(rig, say)
        keep_evidence(rig, checkup.failures, f"evidence-{seed}-{number}")
    except Exception as error:
        failures.append(_said(error))
        say(f"  the round ends: {failures[0]}")
    finally:
        failures += _cleared(rig)
    strikes += [
        Strike(fault=fault.name, outcome="not reached", proof=f"the round had ended: {failures[0]}")
        for fault in faults[len(strikes) :]
    ]
    check = {**(asdict(checkup) if checkup else {}), "failures": [*(checkup.failures if checkup else []), *failures]}
    if check["failures"] and rig.log.exists():
        shutil.copy(rig.log, rig.home / f"driver-{seed}-{number}.log")
    shared = {
        "round": number, "seed": seed, "plan": [fault.name for fault in faults], "at": round(began, 1),
        "seconds": round(time.time() - began, 1), "check": check,
    }  # fmt: skip
    return [{**asdict(each), **shared} for each in strikes]


def _strike_all(rig: Rig, faults: Sequence[Fault], random: Random, say: Say, strikes: list[Strike]) -> None:
    """Add a strike per fault. Raises FraudstreamError when the pipeline has not recovered from one."""
    for fault in faults:
        # What strikes often in a round has its rows in all of them together.
        strikes.append(strike(rig, fault, random, say, ENOUGH_ROWS if faults.count(fault) == 1 else 0))
        if strikes[-1].outcome == "not recovered":
            raise FraudstreamError(f"{fault.name}: {strikes[-1].proof}")


def _cleared(rig: Rig) -> list[str]:
    try:
        rig.clear()
        return []
    except Exception as error:
        return [f"stopping: {_said(error)}"]


def strike(rig: Rig, fault: Fault, random: Random, say: Say, least: int = 0) -> Strike:
    """Let a fault strike the rig, and wait until the pipeline has recovered, and `least` rows are written in all."""
    say(f"  {fault.name}: must hold: {fault.must_hold}")
    before, wal, helped = rig.written(), rig.wal(), len(rig.helped)

    def outcome(name: str, proof: str, **more: Any) -> Strike:
        found = _judged(fault, name, proof, rig.helped[helped:], rows=rig.written() - before, **more)
        recovered = f"; recovered after {found.recovery_s:.1f} s" if found.recovery_s else ""
        say(f"  {fault.name}: {found.outcome}: {found.proof}{recovered}")
        return found

    try:
        struck = fault.strike(rig, random)
        if fault.end:
            return outcome("struck", struck.proof, kills=struck.kills)
        rig.restore()
        rig.await_recovered(wal)
        recovery_s, meanwhile = round(time.monotonic() - struck.since, 2), rig.written() - before
        if not meanwhile:
            raise NotStruckError("nothing was written meanwhile")
        rig.until(lambda: rig.written() - before >= least, f"{least:,} rows", watch=True)
        return outcome(
            "struck", struck.proof, kills=struck.kills, recovery_s=recovery_s, rows_meanwhile=meanwhile
        )  # fmt: skip
    except (NotStruckError, NotMadeError) as reason:
        name, said = "not struck" if isinstance(reason, NotStruckError) else "not made", str(reason)
    except Exception as error:
        return outcome("not recovered", _said(error))
    try:
        rig.restore()
    except Exception as error:
        return outcome("not recovered", f"{name}: {said}; then {_said(error)}")
    return outcome(name, said)


def _judged(fault: Fault, name: str, proof: str, helped: Sequence[Help], **more: Any) -> Strike:
    broken = not_alone(helped, fault.alone) if name == "struck" else []
    return Strike(
        fault=fault.name, outcome="helped" if broken else name, proof="; ".join([*broken, proof]),
        helped=counted(part for part, _ in helped), **more,
    )  # fmt: skip


def _said(error: Exception) -> str:
    if isinstance(error, FraudstreamError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.name})"


def _ended(rig: Rig, say: Say) -> Checkup:
    say("  catching up and checking against ledger and oracle")
    helped = len(rig.helped)
    rig.end()
    checkup = replace(check_up(rig), helped=counted(part for part, _ in rig.helped[helped:]))
    say(
        f"  {checkup.rows:,} records, {checkup.alerts:,} alerts: lost {checkup.lost}, doubled {checkup.doubled}, "
        f"copies in Kafka {checkup.kafka_copies}" + "".join(f"\n  - {failure}" for failure in checkup.failures)
    )
    return checkup
