"""What stands in the ledger's database. Migrations make it (`etl.migrations`); this says what the questions ask."""

from __future__ import annotations

import sqlalchemy as sa

meta = sa.MetaData()
runs = sa.Table(
    "runs",
    meta,
    *(
        sa.Column(name, sa.BigInteger)
        for name in ("window_start_ms", "window_end_ms", "started_at_ms", "finished_at_ms")
    ),
    sa.Column("run_no", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("run_id", "kind", "import_name", "source", "retry_of", "stop_detail")),
    sa.Column("lease_until_ms", sa.BigInteger),
)
run_destinations = sa.Table(
    "run_destinations",
    meta,
    *(sa.Column(name, sa.BigInteger) for name in ("run_no", "rows_read")),
    *(sa.Column(name, sa.Text) for name in ("destination", "stop_reason", "stop_detail")),
)
batches = sa.Table(
    "batches",
    meta,
    *(sa.Column(name, sa.Text) for name in ("batch_id", "destination")),
    *(
        sa.Column(name, sa.BigInteger)
        for name in ("run_no", "items", "bytes", "http_status", "attempts", "sent_at_ms", "answered_at_ms")
    ),
)
entries = sa.Table(
    "entries",
    meta,
    *(sa.Column(name, sa.BigInteger) for name in ("run_no", "row_number", "held", "fingerprint", "recorded_at_ms")),
    *(
        sa.Column(name, sa.Text)
        for name in ("destination", "event_id", "event_name", "status", "reason", "detail", "batch_id")
    ),
)
files = sa.Table(
    "files",
    meta,
    *(sa.Column(name, sa.Text) for name in ("import_name", "sha256", "path", "state", "run_id")),
    *(sa.Column(name, sa.BigInteger) for name in ("bytes", "seen_at_ms", "done_at_ms")),
)
watermarks = sa.Table(
    "watermarks",
    meta,
    *(sa.Column(name, sa.Text) for name in ("import_name", "position", "run_id")),
    sa.Column("moved_at_ms", sa.BigInteger),
)

ENTRY = (
    "run_no",
    "destination",
    "row_number",
    "event_id",
    "event_name",
    "status",
    "reason",
    "detail",
    "held",
    "fingerprint",
    "recorded_at_ms",
)
"""The columns of ``entries`` that a claim or a note fills, in that order."""

RESULT_COLUMNS = (
    "run_id",
    "import",
    "destination",
    "source",
    "row_number",
    "event_id",
    "event_name",
    "status",
    "reason",
    "detail",
    "batch_id",
    "http_status",
    "attempts",
    "sent_at",
    "recorded_at",
)
"""The result table, in the order people see it."""
