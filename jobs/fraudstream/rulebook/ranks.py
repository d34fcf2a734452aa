"""Counting by value in parts of a column, for many parts at once."""

from __future__ import annotations

import numpy as np

from fraudstream.rulebook.exact import Integers


def at_least(values: Integers, starts: Integers, ends: Integers, bounds: Integers) -> Integers:
    """For each part from start to before end: how many of the values are >= its bound. Values and bounds are >= 0.

    A wavelet matrix (Claude and Navarro 2012): the values bit by bit, the highest first, zeros put before ones;
    a part stays one part in each half. Time is in the order of (values + parts) x bits of the greatest value.
    """
    result = np.zeros(len(starts), dtype=np.int64)
    if not len(values) or not len(bounds):
        return result
    for bit in reversed(range(max(int(values.max()), int(bounds.max())).bit_length())):
        ones = values >> bit & 1
        before = np.concatenate([[0], np.cumsum(ones)])
        first, last = before[starts], before[ends]
        in_bound = (bounds >> bit & 1).astype(bool)
        # Where the bound has a 0, the values with a 1 are greater; the others go on undecided.
        result += np.where(in_bound, 0, last - first)
        zeros = len(values) - int(before[-1])
        starts, ends = np.where(in_bound, zeros + first, starts - first), np.where(in_bound, zeros + last, ends - last)
        values = np.concatenate([values[ones == 0], values[ones == 1]])
    equal: Integers = ends - starts
    return result + equal
