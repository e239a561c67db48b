"""Whether this process is asked to end. One event per process, as signals are; set by who handles the signals."""

from __future__ import annotations

import threading

shutting_down = threading.Event()
"""Set when this process is asked to end: nothing new is started, and what is on the wire is waited for briefly."""
