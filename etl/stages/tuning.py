"""How the process treats memory while rows stream through it. Measured on a million rows: see bench/RESULTS.md."""

from __future__ import annotations

import ctypes
import gc

import pyarrow as pa

_M_ARENA_MAX = -8  # malloc.h of glibc


def for_streaming() -> None:
    """Once per process, before threads start: collect less often, give freed memory back, share two heaps.

    Rows are tuples and text without cycles, so collecting as often as Python does costs a fifth of a run; Arrow's own
    pool and a heap per thread keep 100 MB that nobody uses.
    """
    gc.set_threshold(50_000, 20, 20)
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
