"""What stands in the ledger's database. Migrations make it (`etl.migrations`); this says what the questions ask."""

from __future__ import annotations

import sqlalchemy as sa

meta = sa.MetaData()

runs = sa.Table(
    "runs",
    meta,
    sa.Column("run_no", sa.BigInteger, primary_key=True),
    sa.Column("run_id", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("import_name", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("window_start_ms", sa.BigInteger),
    sa.Column("window_end_ms", sa.BigInteger),
    sa.Column("started_at_ms", sa.BigInteger),
    sa.Column("finished_at_ms", sa.BigInteger),
    sa.Column("lease_until_ms", sa.BigInteger),
    sa.Column("retry_of", sa.Text),
    sa.Column("stop_detail", sa.Text),
)
run_destinations = sa.Table(
    "run_destinations",
    meta,
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination", sa.Text),
    sa.Column("rows_read", sa.BigInteger),
    sa.Column("stop_reason", sa.Text),
    sa.Column("stop_detail", sa.Text),
)
batches = sa.Table(
    "batches",
    meta,
    sa.Column("batch_id", sa.Text),
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination", sa.Text),
    sa.Column("items", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("http_status", sa.BigInteger),
    sa.Column("attempts", sa.BigInteger),
    sa.Column("sent_at_ms", sa.BigInteger),
    sa.Column("answered_at_ms", sa.BigInteger),
)
entries = sa.Table(
    "entries",
    meta,
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination", sa.Text),
    sa.Column("row_number", sa.BigInteger),
    sa.Column("event_id", sa.Text),
    sa.Column("event_name", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("held", sa.BigInteger),
    sa.Column("batch_id", sa.Text),
    sa.Column("fingerprint", sa.BigInteger),
    sa.Column("recorded_at_ms", sa.BigInteger),
)
files = sa.Table(
    "files",
    meta,
    sa.Column("import_name", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("path", sa.Text),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("state", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("seen_at_ms", sa.BigInteger),
    sa.Column("done_at_ms", sa.BigInteger),
)
watermarks = sa.Table(
    "watermarks",
    meta,
    sa.Column("import_name", sa.Text),
    sa.Column("position", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("moved_at_ms", sa.BigInteger),
)

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

result_history = sa.table("result_history", *map(sa.column, RESULT_COLUMNS), sa.column("run_no"))
"""The view of every row of every run."""

dead_letters = sa.table("dead_letters", *map(sa.column, ("run_id", "import", "destination", "status", "row_number")))
"""The view of rows that are neither delivered nor on their way; the columns that are asked for."""
