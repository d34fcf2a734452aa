"""The texts of a column, numbered as they are met."""

from __future__ import annotations

import re

import numpy as np

from fraudstream.rulebook.exact import Integers

_FIT = re.compile(rb'([A-Z][ !#-\[\]-~]{0,14})"')
_MOST_LOOKED_FOR = 64


class Cards:
    """Texts by number. Those that are short and of plain letters are looked for in words of eight bytes."""

    def __init__(self) -> None:
        """No texts; 0 is null."""
        self.texts: list[str | None] = [None]
        self._codes: dict[str | None, int] = {None: 0}
        self._looked_for: list[tuple[int, int, Integers, Integers]] = []  # number, bytes, what they are, their mask

    def code_of(self, text: str | None) -> int:
        """The text's number."""
        code = self._codes.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code

    def find(self, pairs: Integers, wanted: Integers) -> tuple[Integers, Integers]:
        """Of rows of two words: the number of the text with which each begins (-1: none of this kind), and its bytes.
        The text ends in front of a quote. Only the wanted rows matter."""
        codes, sizes = np.full(len(pairs), -1, dtype=np.int64), np.zeros(len(pairs), dtype=np.int64)
        first, second = pairs[:, 0].copy(), pairs[:, 1].copy()
        tried = 0
        while True:
            while tried < len(self._looked_for):
                code, size, same, mask = self._looked_for[tried]
                tried += 1
                is_it = (first & mask[0]) == same[0]
                if mask[1]:
                    is_it &= (second & mask[1]) == same[1]
                codes[is_it], sizes[is_it] = code, size
            left = np.flatnonzero((codes < 0) & wanted)
            if not len(left) or not self._add(pairs[left]):
                return codes, sizes

    def _add(self, pairs: Integers) -> bool:
        """Look for the first of the texts from now on that is of the kind; whether there is one."""
        for row in pairs[:_MOST_LOOKED_FOR]:
            found = _FIT.match(row.tobytes())
            if found and len(self._looked_for) < _MOST_LOOKED_FOR:
                text, whole = found[1], found[0]
                same = np.frombuffer(whole.ljust(16, b"\0"), "<u8")
                mask = np.frombuffer((b"\xff" * len(whole)).ljust(16, b"\0"), "<u8")
                self._looked_for.append((self.code_of(text.decode()), len(text), same, mask))
                return True
        return False
