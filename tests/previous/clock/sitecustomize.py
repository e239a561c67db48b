"""Sets the clock of a Python process that is started with this folder on its path; see `tests.previous.world`.

Only what `time.time` and `time.time_ns` say: enough for everything that is given a clock, or reads one by default.
"""

import os
import time

AHEAD_NS = int(os.environ["CLOCK_AHEAD_NS"])
_real_ns = time.time_ns


def _time_ns() -> int:
    return _real_ns() + AHEAD_NS


def _time() -> float:
    return _time_ns() / 1_000_000_000


time.time_ns = _time_ns
time.time = _time
