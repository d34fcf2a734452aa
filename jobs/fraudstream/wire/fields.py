"""The fields of Kafka's requests and responses, written and read (protocol guide, "flexible" versions)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
NO_TAGS = b"\x00"
_INT8, _INT16, _INT32, _INT64 = (struct.Struct(kind) for kind in (">b", ">h", ">i", ">q"))


def varint(number: int) -> bytes:
    """An unsigned number of as few bytes as it needs."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def text(value: str) -> bytes:
    """A compact text."""
    found = value.encode()
    return varint(len(found) + 1) + found


def array(items: Iterable[bytes]) -> bytes:
    """A compact array of encoded items."""
    found = list(items)
    return varint(len(found) + 1) + b"".join(found)


class Cursor:
    """Reads a response's fields one after the other. Raises ValueError where it is cut off."""

    def __init__(self, data: memoryview) -> None:
        """`data`: the response from its first field on."""
        self._data, self._at = data, 0

    def _take(self, size: int) -> memoryview:
        part = self._data[self._at : self._at + size]
        if size < 0 or len(part) < size:
            raise ValueError("a response of Kafka's is cut off")
        self._at += size
        return part

    def int8(self) -> int:
        """A signed number of one byte."""
        return int(_INT8.unpack(self._take(1))[0])

    def int16(self) -> int:
        """One of two bytes."""
        return int(_INT16.unpack(self._take(2))[0])

    def int32(self) -> int:
        """One of four bytes."""
        return int(_INT32.unpack(self._take(4))[0])

    def int64(self) -> int:
        """One of eight bytes."""
        return int(_INT64.unpack(self._take(8))[0])

    def varint(self) -> int:
        """An unsigned number of as few bytes as it needs."""
        number = shift = 0
        while shift < 35:
            byte = self._take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        raise ValueError("a response of Kafka's has a number without an end")

    def bytes(self) -> memoryview:
        """Compact bytes; empty for null."""
        return self._take(max(self.varint() - 1, 0))

    def text(self) -> str:
        """A compact text; empty for null."""
        return str(self.bytes(), "utf-8")

    def short_text(self) -> str:
        """A text behind two bytes of length; empty for null."""
        return str(self._take(max(self.int16(), 0)), "utf-8")

    def long_bytes(self) -> memoryview:
        """Bytes behind four bytes of length; empty for null."""
        return self._take(max(self.int32(), 0))

    def uuid(self) -> uuid.UUID:
        """An id of 16 bytes."""
        return uuid.UUID(bytes=bytes(self._take(16)))

    def array(self, read: Callable[[], T]) -> list[T]:
        """A compact array, each item by `read`; empty for null."""
        return [read() for _ in range(self.varint() - 1)]

    def short_array(self, read: Callable[[], T]) -> list[T]:
        """An array behind four bytes of length."""
        return [read() for _ in range(self.int32())]

    def tags(self) -> None:
        """Pass over tagged fields."""
        for _ in range(self.varint()):
            self.varint()
            self._take(self.varint())
