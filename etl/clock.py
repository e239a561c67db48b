"""Time as the code counts it: epoch milliseconds, and lengths of time as people write them.

Whoever needs the time takes a `Clock` as an argument; `wall_clock` is the one of real runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Epoch milliseconds now."""

DAY_MS = 86_400_000

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,3})?) ?(?P<unit>ms|s|m|h|d)")


def wall_clock() -> int:
    """Epoch milliseconds now."""
    return time.time_ns() // 1_000_000


def duration_ms(text: str) -> int:
    """``30s``, ``15m``, ``1h``, ``0.5s`` … in milliseconds. Raises ValueError with what to write instead."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a length of time such as 30s, 15m or 1h")
    return round(float(found["number"]) * _UNITS_MS[found["unit"]])
