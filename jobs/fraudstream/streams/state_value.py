"""A bucket's state as the text that the state store keeps.

Spark pickles a state value for Python, a binary one as a text of one character a byte that is not ASCII: its making and
reading took a quarter of the Python time of a batch of 2,000 rows (2.5 MB of histories), and as much in the JVM. ASCII
passes through both as it is.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence

import numpy as np

from fraudstream.rulebook.versions import pack_states, unpack_states

SCHEMA = "histories string"
FORMAT = 4  # of the text, and of seeds and bases beside it; a checkpoint says which one it was made with


def as_text(value: bytes) -> str:
    """The bytes as ASCII, a sixth longer: the lower seven bits of each, then the eighth ones in base64."""
    octets = np.frombuffer(value, dtype=np.uint8)
    eighths = np.packbits(octets >> 7).tobytes()
    return ((octets & 127).tobytes() + b2a_base64(eighths, newline=False)).decode("ascii")


def of_text(text: str) -> bytes:
    """The bytes of which `as_text` made the text."""
    count = len(text) - 4 * -(-len(text) // 28)  # n bytes make n + 4 * ceil(n / 24) characters
    octets = np.frombuffer(text[:count].encode("ascii"), dtype=np.uint8)
    eighths = np.frombuffer(a2b_base64(text[count:]), dtype=np.uint8)
    return (octets | np.unpackbits(eighths, count=count) << 7).tobytes()


def joined(values: Sequence[bytes]) -> bytes:
    """The values of the rules that share a query as one; a rule's alone is as it is."""
    return values[0] if len(values) == 1 else pack_states(dict(enumerate(values)))


def separated(value: bytes, count: int) -> list[bytes]:
    """The values of which `joined` made one, in their order."""
    return [value] if count == 1 else [*unpack_states(value).values()]
