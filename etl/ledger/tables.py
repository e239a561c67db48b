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
destinations = sa.Table(
    "destinations",
    meta,
    sa.Column("destination_no", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("identity", sa.Text),
    sa.Column("account", sa.Text),
    sa.Column("host", sa.Text),
    sa.Column("is_trial", sa.SmallInteger),
    sa.Column("first_used_at_ms", sa.BigInteger),
    sa.Column("forgotten_at_ms", sa.BigInteger),
)
names = sa.Table(
    "names", meta, sa.Column("name_no", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text, unique=True)
)
facts = sa.Table("facts", meta, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))
run_files = sa.Table(
    "run_files",
    meta,
    sa.Column("run_no", sa.BigInteger),
    sa.Column("first_row", sa.BigInteger),
    sa.Column("file", sa.Text),
    sa.Column("file_row", sa.BigInteger),
)
run_counts = sa.Table(
    "run_counts",
    meta,
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination_no", sa.BigInteger),
    sa.Column("status", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("row_count", sa.BigInteger),
)
verdicts = sa.Table(
    "verdicts",
    meta,
    sa.Column("verdict_no", sa.BigInteger, primary_key=True),
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination_no", sa.BigInteger),
    sa.Column("first_row", sa.BigInteger),
    sa.Column("last_row", sa.BigInteger),
    sa.Column("status", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("warnings", sa.Text),
    sa.Column("answer", sa.Text),
    sa.Column("batch_no", sa.BigInteger),
    sa.Column("old_batch_id", sa.Text),
    sa.Column("items", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("http_status", sa.SmallInteger),
    sa.Column("attempts", sa.BigInteger),
    sa.Column("sent_at_ms", sa.BigInteger),
    sa.Column("answered_at_ms", sa.BigInteger),
    sa.Column("recorded_at_ms", sa.BigInteger),
)
"""What is said of rows of one run at one destination: once for all of those that it is said of. Those are between
``first_row`` and ``last_row``, maybe with others. One that is sent has a number before it is: see `etl.ledger.claims`.
"""

entries = sa.Table(
    "entries",
    meta,
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination_no", sa.BigInteger),
    sa.Column("row_number", sa.BigInteger),
    sa.Column("event_id", sa.Text),
    sa.Column("name_no", sa.BigInteger),
    sa.Column("fingerprint", sa.BigInteger),
    sa.Column("verdict_no", sa.BigInteger),
    sa.Column("state", sa.SmallInteger),
)
"""One row per row, run and destination, in the order of the source; ``state`` is one of those below."""

PASSED, HELD, LAST_WORD = 0, 1, 2
"""States of an entry: another outweighs it; it holds its key; nobody holds the key, and it is the last word on it."""

spans = sa.Table(
    "spans",
    meta,
    sa.Column("run_no", sa.BigInteger),
    sa.Column("destination_no", sa.BigInteger),
    sa.Column("first_row", sa.BigInteger),
    sa.Column("last_row", sa.BigInteger),
    sa.Column("verdict_no", sa.BigInteger),
    sa.Column("ids", sa.LargeBinary),
)
"""Neighbouring rows of one run of which the same is said, which is never the last word: see `etl.ledger.spans`."""

_RUN: sa.BindParameter[int] = sa.bindparam("run")
COUNTS = sa.union_all(
    sa.select(entries.c.verdict_no, entries.c.destination_no, sa.func.count().label("row_count"))
    .where(entries.c.run_no == _RUN)
    .group_by(entries.c.verdict_no, entries.c.destination_no),
    sa.select(spans.c.verdict_no, spans.c.destination_no, spans.c.last_row - spans.c.first_row + 1).where(
        spans.c.run_no == _RUN
    ),
).subquery("counted")
"""How many rows of this run have which verdict; what is said of none is not there."""

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
    "file",
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
    "warnings",
    "answer",
)
"""The result table, in the order people see it."""

result_history = sa.table(
    "result_history",
    *map(sa.column, RESULT_COLUMNS),
    *map(sa.column, ("run_no", "destination_no", "position", "verdict_no", "state")),
)
"""The view of every row of every run, but for those in `spans`."""

result_spans = sa.table(
    "result_spans",
    *map(sa.column, ("run_id", "import", "destination", "source", "first_row", "last_row", "status", "reason")),
    *map(sa.column, ("detail", "recorded_at", "ids", "run_no")),
)
"""The view of those."""

dead_letters = sa.table(
    "dead_letters",
    sa.column("event_id", sa.Text),
    *map(sa.column, ("run_id", "import", "destination", "status", "position")),
)
"""The view of rows that are neither delivered nor on their way; the columns that are asked for."""
