"""Numbers out of texts, eight digits at a time and for many texts at once."""

from __future__ import annotations

import numpy as np

from fraudstream.rulebook.exact import Integers

HIGH = np.uint64(0x8080808080808080)
ZEROS = np.uint64(0x3030303030303030)
# Added to a byte less "0", it reaches the highest bit unless the byte is a digit.
OVER_NINE = np.uint64(0x7676767676767676)
_ONE = np.uint64(1)
_EIGHT = np.uint64(64)
_STEPS = tuple(
    (np.uint64(factor), np.uint64(shift), np.uint64(mask))
    for factor, shift, mask in (
        (10, 8, 0x00FF00FF00FF00FF),
        (100, 16, 0x0000FFFF0000FFFF),
        (10_000, 32, 0x00000000FFFFFFFF),
    )
)
TENS = np.array([10**power for power in range(19)], dtype=np.int64)


def values_of(words: Integers) -> Integers:
    """The numbers of words of eight digits each (bytes 0 to 9, the first digit in the lowest byte)."""
    for factor, shift, mask in _STEPS:
        words = (words * factor + (words >> shift)) & mask
    numbers: Integers = words.view(np.int64)
    return numbers


def bytes_before(marked: Integers) -> Integers:
    """How many bytes of each word lie before the first marked one (its highest bit is set); 8 if there is none."""
    below = (marked & (~marked + _ONE)) - _ONE
    found: Integers = np.bitwise_count(below) >> 3
    return found


def leading_numbers(pairs: Integers) -> tuple[Integers, Integers, Integers]:
    """Of rows of two words: the number with which each begins, its digits (16 may be more), and its first digit."""
    digits = pairs ^ ZEROS
    sizes = bytes_before(((digits + OVER_NINE) | digits) & HIGH)
    # A shift by 64, of a word without a digit, gives 0.
    numbers = values_of(digits << (_EIGHT - (sizes.astype(np.uint64) << np.uint64(3))))
    first, second = sizes[:, 0].astype(np.int64), sizes[:, 1].astype(np.int64)
    is_long = first == 8
    number = np.where(is_long, numbers[:, 0] * TENS[second] + numbers[:, 1], numbers[:, 0])
    return number, np.where(is_long, first + second, first), digits[:, 0] & np.uint64(0xFF)
