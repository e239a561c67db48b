"""Runs, entries, batches, files, watermarks, and the views that people read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up by itself only for INTEGER

HISTORY = """
CREATE VIEW result_history AS
SELECT r.run_id, r.import_name AS import, e.destination, r.source, e.row_number, e.event_id, e.event_name,
       e.status, e.reason,
       CASE WHEN e.reason = 'in_flight' AND e.detail = ''
            THEN 'On its way, or the run ended before the answer was recorded.' ELSE e.detail END AS detail,
       e.batch_id, b.http_status, b.attempts,
       {sent_at} AS sent_at, {recorded_at} AS recorded_at, e.run_no
FROM entries e
JOIN runs r ON r.run_no = e.run_no
LEFT JOIN batches b ON b.batch_id = e.batch_id
"""

# The last word on an event: the entry that holds its key; else the latest one that says something of its own. A
# "duplicate", and a second row with the same event_id in one source, only repeat another entry; and a row that cannot
# be used does not outweigh the good one with its event_id below it.
LAST = """
CREATE VIEW last_entries AS
SELECT run_no, destination, row_number FROM (
    SELECT e.run_no, e.destination, e.row_number, ROW_NUMBER() OVER (
        PARTITION BY e.destination, e.event_id, CASE WHEN e.event_id = '' THEN e.run_no ELSE 0 END,
                     CASE WHEN e.event_id = '' THEN e.row_number ELSE 0 END
        ORDER BY e.held DESC,
                 CASE WHEN e.status = 'duplicate' OR e.reason = 'duplicate_event_id' THEN 1 ELSE 0 END,
                 e.run_no DESC, CASE WHEN e.status = 'rejected' THEN 1 ELSE 0 END, e.row_number
    ) AS place FROM entries e
) ranked WHERE place = 1
"""

RESULTS = """
CREATE VIEW results AS
SELECT h.* FROM last_entries l
JOIN runs r ON r.run_no = l.run_no
JOIN result_history h ON h.run_id = r.run_id AND h.destination = l.destination AND h.row_number = l.row_number
"""

# Neither delivered nor on its way: what a living run has on the wire is left out until its lease ends.
DEAD = """
CREATE VIEW dead_letters AS
SELECT s.* FROM results s JOIN runs r ON r.run_id = s.run_id
WHERE s.status IN ('rejected', 'refused', 'failed', 'unknown')
  AND NOT (s.reason = 'in_flight' AND r.finished_at_ms IS NULL AND r.lease_until_ms > {now})
"""

DIALECTS = {
    "sqlite": {
        "sent_at": "strftime('%Y-%m-%dT%H:%M:%fZ', b.sent_at_ms / 1000.0, 'unixepoch')",
        "recorded_at": "strftime('%Y-%m-%dT%H:%M:%fZ', e.recorded_at_ms / 1000.0, 'unixepoch')",
        "now": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    },
    "postgresql": {
        "sent_at": "to_timestamp(b.sent_at_ms / 1000.0)",
        "recorded_at": "to_timestamp(e.recorded_at_ms / 1000.0)",
        "now": "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)",
    },
}


def upgrade() -> None:
    _tables()
    words = DIALECTS[op.get_bind().dialect.name]
    for view in (HISTORY, LAST, RESULTS, DEAD):
        op.execute(view.format(**words))


def _tables() -> None:
    op.create_table(
        "runs",
        sa.Column("run_no", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("import_name", sa.Text, nullable=False, index=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("window_start_ms", BIG),
        sa.Column("window_end_ms", BIG),
        sa.Column("started_at_ms", BIG, nullable=False),
        sa.Column("finished_at_ms", BIG),
        sa.Column("lease_until_ms", BIG, nullable=False),
        sa.Column("retry_of", sa.Text),
        sa.Column("stop_detail", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "run_destinations",
        sa.Column("run_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("rows_read", BIG),
        sa.Column("stop_reason", sa.Text, nullable=False, server_default=""),
        sa.Column("stop_detail", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.Text, primary_key=True),
        sa.Column("run_no", BIG, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("items", BIG, nullable=False),
        sa.Column("bytes", BIG, nullable=False),
        sa.Column("http_status", sa.Integer),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent_at_ms", BIG),
        sa.Column("answered_at_ms", BIG),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "entries",
        sa.Column("run_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("row_number", BIG, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event_name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("batch_id", sa.Text),
        sa.Column("fingerprint", BIG, nullable=False),
        sa.Column("recorded_at_ms", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    # One holder per key: what keeps two runs, or two machines, from sending the same conversion.
    op.create_index(
        "entries_one_holder",
        "entries",
        ["destination", "event_id"],
        unique=True,
        sqlite_where=sa.text("held = 1"),
        postgresql_where=sa.text("held = 1"),
    )
    op.create_table(
        "files",
        sa.Column("import_name", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("bytes", BIG, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("seen_at_ms", BIG, nullable=False),
        sa.Column("done_at_ms", BIG),
    )
    op.create_table(
        "watermarks",
        sa.Column("import_name", sa.Text, primary_key=True),
        sa.Column("position", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("moved_at_ms", BIG, nullable=False),
    )
