"""What a broker answers instead of what was asked for."""

from __future__ import annotations

from fraudstream.errors import FraudstreamError

OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID = 1, 3, 100, 103
# While a partition's leader changes or starts, or does not know why (-1); asking again, perhaps somebody else, helps.
PASSING = {-1, 5, 6, 7, 8, 9, 13, 14, 15, 16, 56, 74, 75, 78}
_DENIED = {29, 31, 58}
_NAMES = {
    -1: "UNKNOWN_SERVER_ERROR", 1: "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE", 3: "UNKNOWN_TOPIC_OR_PARTITION",
    5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT", 9: "REPLICA_NOT_AVAILABLE",
    29: "TOPIC_AUTHORIZATION_FAILED", 31: "CLUSTER_AUTHORIZATION_FAILED",
    33: "UNSUPPORTED_SASL_MECHANISM", 34: "ILLEGAL_SASL_STATE", 35: "UNSUPPORTED_VERSION",
    56: "KAFKA_STORAGE_ERROR", 58: "SASL_AUTHENTICATION_FAILED", 74: "FENCED_LEADER_EPOCH",
    100: "UNKNOWN_TOPIC_ID", 103: "INCONSISTENT_TOPIC_ID",
}  # fmt: skip


class BrokerError(FraudstreamError):
    """A broker's refusal, by its code."""

    def __init__(self, what: str, code: int, more: str = "") -> None:
        """`what` was asked for."""
        runbook = " [docs/operations.md: access-denied]" if code in _DENIED else ""
        super().__init__(f"{what}: Kafka answers {_NAMES.get(code, f'error {code}')}{more and f' ({more})'}{runbook}")
        self.code = code


def require(code: int, what: str, more: str = "") -> None:
    """Raises BrokerError unless the code is that of success."""
    if code:
        raise BrokerError(what, code, more)
