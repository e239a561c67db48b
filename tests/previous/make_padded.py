"""Made `v0_1_0_padded`; run at version 0.1.0 (commit 47d00e7) and kept for the record. It need not run on newer code.

    git worktree add /tmp/base 47d00e7
    cd /tmp/base && PYTHONPATH=/tmp/base python /path/to/tests/previous/make_padded.py TARGET [everywhere]

A source whose ids have something around them that nobody sees, or quotes, and the ledger after one run over it in which
one vendor was out of reach and another gave no readable answer to one row; with ``everywhere`` all five took every row,
and the ids are of more kinds.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from etl.sandbox import Sandbox
from tests.conftest import House, order

IDS = [
    " A-1",
    "A-2 ",
    "A-3       ",
    "\ufeffA-4",
    "\u00a0A-5\u00a0",
    "A-6\u200b",
    "\u201cA-7\u201d",
    "A-8",
    "\u3000A-9\u2028",
]
MORE_IDS = [
    *IDS,
    "\u2060A-10",
    "A-11" + " " * 26,
    "\ufeff\ufeffA-12",
    "A-13\u00a0 \u00a0",
    "\u200eA-14\u200f",
    "'A-15'",
    "\u202f0016\u2009",
    "\u201e0017\u201c ",
    "'0018",
]
FAULTS: list[dict[str, str]] = [
    {"vendor": "kameleoon", "drop": "before"},
    {"vendor": "convert", "drop": "after", "when_body_contains": "user-2"},
]


def main(target: Path, *, everywhere: bool) -> None:
    """Write everything below the target, which is emptied first."""
    ids, faults = (MORE_IDS, []) if everywhere else (IDS, FAULTS)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with Sandbox() as sandbox:
        house = House(target, sandbox, overrides={"convert": {"limits": {"items": 1}}})
        house.write([order(n, event_id=event_id) for n, event_id in enumerate(ids, start=1)])
        sandbox.faults(faults)
        house.run()
        sandbox.clear_faults()
        words = [[row[name] for name in ("destination", "event_id", "status", "reason")] for row in house.results()]
    (target / "results.json").write_text(json.dumps(sorted(words), indent=1))
    (target / "moment.json").write_text(json.dumps(int(datetime.now(UTC).timestamp() * 1000)))
    (target / "ledger.db.gz").write_bytes(gzip.compress((target / "ledger.db").read_bytes(), 9, mtime=0))
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "imports.yaml"):
        (target / name).unlink(missing_ok=True)
    if everywhere:  # there is nothing to send again
        shutil.rmtree(target / "staging")


if __name__ == "__main__":
    main(Path(sys.argv[1]), everywhere="everywhere" in sys.argv)
