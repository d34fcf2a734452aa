"""Recording what a person decides: a label, a snooze, its end."""

from __future__ import annotations

import getpass
from difflib import get_close_matches

from fraudstream import lake
from fraudstream.errors import FraudstreamError
from fraudstream.explain.find import find_alert
from fraudstream.triage.desk import LABELS, Label, Snooze
from fraudstream.triage.tables import append
from fraudstream.triage.times import DAY_US, now, shown, to_time

LONGEST_SNOOZE_DAYS = 366
_LONGEST_NOTE = 1000


def add_label(
    folder: str,
    label: str,
    *,
    alert: str | None = None,
    transaction: int | None = None,
    note: str | None = None,
    by: str | None = None,
    at: int | None = None,
) -> Label:
    """Label a transaction, by the (beginning of the) id of an alert on it or by its own id, as confirmed or dismissed;
    its newest label counts. `by` is the user's login, `at` (microseconds) now, unless given.

    Raises FraudstreamError for an alert or a transaction that the lake has not.
    """
    if label not in LABELS:
        raise FraudstreamError(f"the label is {label!r}; it must be {' or '.join(LABELS)}.")
    alert_id, number = _labelled(folder, alert, transaction)
    found = Label(number, label, now() if at is None else at, alert_id, _author(by), _checked(note))
    append(
        folder,
        "labels",
        {
            "transaction_id": found.transaction_id, "alert_id": found.alert_id, "label": found.label,
            "labelled_at": to_time(found.at), "by": found.by, "note": found.note,
        },
    )  # fmt: skip
    return found


def _labelled(folder: str, alert: str | None, transaction: int | None) -> tuple[str | None, int]:
    """The alert and the transaction that a label is on."""
    if alert is not None and transaction is None:
        row = find_alert(folder, alert)
        return row["alert_id"], row["transaction_id"]
    if alert is None and transaction is not None:
        _require(folder, "transactions", "id", transaction, "transaction")
        return None, transaction
    raise FraudstreamError("name either an alert (ID) or a transaction (--transaction N), and not both.")


def add_snooze(
    folder: str,
    user: int,
    rule: str,
    until: int,
    *,
    note: str | None = None,
    by: str | None = None,
    at: int | None = None,
) -> Snooze:
    """Snooze a rule's alerts on a user whose event time is from `at` (now, unless given) until before `until`. They
    stay in lake/alerts, and every list counts them.

    Raises FraudstreamError for a user or rule that the lake has no alert of, and for an end that is not later than
    the beginning or more than a year away.
    """
    since = now() if at is None else at
    if until <= since:
        raise FraudstreamError(f"a snooze from {shown(since)} cannot end at {shown(until)}; it must end later.")
    if until - since > LONGEST_SNOOZE_DAYS * DAY_US:
        raise FraudstreamError(
            f"a snooze until {shown(until)} is longer than {LONGEST_SNOOZE_DAYS} days; pause the rule in "
            "conf/rules.yaml, or set a budget, rather than looking away for good."
        )
    return _record(folder, Snooze(user, rule, since, until, _author(by), _checked(note)))


def end_snooze(
    folder: str, user: int, rule: str, *, note: str | None = None, by: str | None = None, at: int | None = None
) -> Snooze:
    """End a user's snooze of a rule at `at` (now, unless given): recorded as a newer one that lasts for no time."""
    end = now() if at is None else at
    return _record(folder, Snooze(user, rule, end, end, _author(by), _checked(note)))


def _record(folder: str, snooze: Snooze) -> Snooze:
    known = lake.query(folder, "alerts", "SELECT DISTINCT rule FROM alerts")["rule"].to_pylist()
    if snooze.rule not in known:
        close = get_close_matches(snooze.rule, known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise FraudstreamError(f"no alert is of a rule {snooze.rule!r}.{hint} There are {', '.join(sorted(known))}.")
    _require(folder, "alerts", "user_id", snooze.user_id, "alert on user")
    row = {**snooze._asdict(), "since": to_time(snooze.since), "until": to_time(snooze.until)}
    append(folder, "snoozes", row)
    return snooze


def _require(folder: str, table: str, column: str, value: int, what: str) -> None:
    found = lake.query(folder, table, f"SELECT {column} FROM {table} WHERE {column} = {lake.literal(value)} LIMIT 1")
    if not len(found):
        raise FraudstreamError(f"{folder}/{table} has no {what} {value}.")


def _author(by: str | None) -> str:
    try:
        found = getpass.getuser() if by is None else by.strip()
    except (KeyError, OSError):  # a container's user may have no name
        found = ""
    if not found:
        raise FraudstreamError("who decides this? Name yourself with --by NAME.")
    return found


def _checked(note: str | None) -> str | None:
    if note is not None and len(note) > _LONGEST_NOTE:
        raise FraudstreamError(f"--note has {len(note)} characters; it may have {_LONGEST_NOTE}.")
    return note
