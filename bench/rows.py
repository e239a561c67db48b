"""The rows of the benchmarks: good store orders, deterministic; ids in order or shuffled."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

HEADER = (
    "event_id",
    "event_name",
    "occurred_at",
    "user_id",
    "anonymous_id",
    "revenue",
    "currency",
    "order_id",
    "kameleoon_goal_id",
)


def write(path: Path, count: int, *, shuffled: bool = False) -> Path:
    """Write ``count`` rows as CSV. ``shuffled`` ids are random hex, the ledger's worst case."""
    rng = random.Random(7)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)  # room for three million rows
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for n in range(count):
            event_id = f"{rng.getrandbits(96):024x}" if shuffled else f"evt-{n:010d}"
            at = (start + timedelta(milliseconds=n * 50)).isoformat()
            visitor = f"{n * 2654435761 % 2**32:08x}"
            out.writerow(
                (
                    event_id,
                    "Order Completed",
                    at,
                    f"user-{visitor}",
                    visitor,
                    f"{n % 500}.{n % 100:02d}",
                    "GBP",
                    f"ORD-{n}",
                    "36151",
                )
            )
    return path
