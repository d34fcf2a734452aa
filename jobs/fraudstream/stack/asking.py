"""Questions to components that may not answer: asked side by side, each answered within a bound or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
from confluent_kafka import KafkaException

from fraudstream.errors import FraudstreamError

_SILENCE = (FraudstreamError, psycopg2.Error, KafkaException, OSError)


def answers(questions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
    """The answer to each question by its name; None where there was none within `seconds`, or an error of what was
    asked. A mistake of ours is raised as it is. A question without an answer goes on in a thread that keeps nobody."""
    found: dict[str, Any] = {}
    mistakes: list[Exception] = []

    def ask(name: str, question: Callable[[], Any]) -> None:
        try:
            found[name] = question()
        except _SILENCE:
            return
        except Exception as error:
            mistakes.append(error)

    threads = [threading.Thread(target=ask, args=each, daemon=True) for each in questions.items()]
    limit = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, limit - time.monotonic()))
    if mistakes:
        raise mistakes[0]
    return {name: found.get(name) for name in questions}
