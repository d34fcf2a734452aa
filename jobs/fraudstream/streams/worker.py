"""What every function that Spark runs in its Python workers does for the worker."""

from __future__ import annotations

import gc
from functools import cache


@cache
def spare_the_collector() -> None:
    """Take what this process has loaded so far out of the garbage collector's sight, once.

    Spark's workers collect after every task, and looked through all of pandas, Arrow and pyspark each time, for 25 to
    60 ms: 61 % of the workers' CPU time with two rules at 2,000 rows/s. (That it was done is not asked of the
    collector: its answer counts all objects, which took a fifth of that time again.)
    """
    gc.freeze()
