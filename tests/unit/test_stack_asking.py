"""Questions that nobody answers keep nobody waiting."""

from __future__ import annotations

import threading
import time

import pytest

from fraudstream.errors import StackError
from fraudstream.stack.asking import answers


def test_what_does_not_answer_is_none_and_the_others_are_told():
    never = threading.Event()

    def fails():
        raise StackError("no")

    began = time.monotonic()
    assert answers({"a": lambda: 1, "b": never.wait, "c": fails}, 0.2) == {"a": 1, "b": None, "c": None}
    assert time.monotonic() - began < 5
    never.set()


def test_a_mistake_of_the_program_is_no_silence():
    with pytest.raises(ZeroDivisionError):
        answers({"a": lambda: 1 // 0}, 5)
