"""Numbers for words, a verdict once for all rows it is said of, the last word marked, files, and identities.

What version 1 wrote is copied over and reads the same. On PostgreSQL its two large tables stay behind under other
names, as the backup; on SQLite the file was copied before (`etl.ledger.upgrade`). All of it is one transaction: where
it is interrupted, nothing has happened.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up by itself only for INTEGER
SMALL = sa.SmallInteger()

HISTORY = """
CREATE VIEW result_history AS
SELECT r.run_id, r.import_name AS import, d.name AS destination, r.source, COALESCE(f.file, '') AS file,
       CASE WHEN f.file IS NULL THEN e.row_number ELSE e.row_number - f.first_row + f.file_row END AS row_number,
       e.event_id, n.name AS event_name, v.status, v.reason,
       CASE WHEN v.reason = 'in_flight' AND v.detail = ''
            THEN 'On its way, or the run ended before the answer was recorded.' ELSE v.detail END AS detail,
       COALESCE(v.old_batch_id, CAST(v.batch_no AS TEXT)) AS batch_id, v.http_status, v.attempts,
       {sent_at} AS sent_at, {recorded_at} AS recorded_at, v.warnings, v.answer,
       e.run_no, e.destination_no, e.row_number AS position, e.verdict_no, e.state
FROM entries e
JOIN runs r ON r.run_no = e.run_no
JOIN destinations d ON d.destination_no = e.destination_no
JOIN names n ON n.name_no = e.name_no
JOIN verdicts v ON v.verdict_no = e.verdict_no
LEFT JOIN run_files f ON f.run_no = e.run_no
 AND f.first_row = (SELECT MAX(g.first_row) FROM run_files g WHERE g.run_no = e.run_no AND g.first_row <= e.row_number)
"""

# The last word on an event: the entry that holds its key, or where none does the latest that says something of its own.
RESULTS = """
CREATE VIEW results AS
SELECT h.* FROM result_history h JOIN destinations d ON d.destination_no = h.destination_no
WHERE h.state IN (1, 2) AND d.forgotten_at_ms IS NULL
"""

# Neither delivered nor on its way: what a living run has on the wire is left out until its lease ends.
DEAD = """
CREATE VIEW dead_letters AS
SELECT h.* FROM result_history h JOIN destinations d ON d.destination_no = h.destination_no
WHERE h.state = 2 AND h.status IN ('rejected', 'refused', 'failed', 'unknown') AND d.forgotten_at_ms IS NULL
UNION ALL
SELECT h.* FROM verdicts u
JOIN result_history h ON h.run_no = u.run_no AND h.destination_no = u.destination_no
 AND h.position BETWEEN u.first_row AND u.last_row AND h.verdict_no = u.verdict_no
JOIN runs r ON r.run_no = u.run_no
JOIN destinations d ON d.destination_no = u.destination_no
WHERE u.status = 'unknown' AND h.state = 1 AND d.forgotten_at_ms IS NULL
  AND NOT (u.reason = 'in_flight' AND r.finished_at_ms IS NULL AND r.lease_until_ms > {now})
"""

# Neighbouring rows of which one thing is said; their event ids are in `ids` (JSON, deflated).
SPANS = """
CREATE VIEW result_spans AS
SELECT r.run_id, r.import_name AS import, d.name AS destination, r.source, s.first_row, s.last_row,
       v.status, v.reason, v.detail, {recorded_at} AS recorded_at, s.ids, s.run_no
FROM spans s
JOIN runs r ON r.run_no = s.run_no
JOIN destinations d ON d.destination_no = s.destination_no
JOIN verdicts v ON v.verdict_no = s.verdict_no
"""

DIALECTS = {
    "sqlite": {
        "sent_at": "strftime('%Y-%m-%dT%H:%M:%fZ', v.sent_at_ms / 1000.0, 'unixepoch')",
        "recorded_at": "strftime('%Y-%m-%dT%H:%M:%fZ', v.recorded_at_ms / 1000.0, 'unixepoch')",
        "now": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    },
    "postgresql": {
        "sent_at": "to_timestamp(v.sent_at_ms / 1000.0)",
        "recorded_at": "to_timestamp(v.recorded_at_ms / 1000.0)",
        "now": "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)",
    },
}

# Which verdict every old row has, by number, and whether it is the last word on its event.
NUMBERED = """
CREATE TEMPORARY TABLE numbered AS
SELECT e.run_no, e.destination, e.row_number,
       DENSE_RANK() OVER (ORDER BY e.run_no, e.destination, e.batch_id, e.status, e.reason, e.detail, e.recorded_at_ms)
       AS verdict_no,
       CASE WHEN e.held = 1 THEN 1 WHEN l.run_no IS NULL THEN 0 ELSE 2 END AS state
FROM old_entries e
LEFT JOIN old_last_entries l
  ON l.run_no = e.run_no AND l.destination = e.destination AND l.row_number = e.row_number
"""
LAST = """
CREATE TEMPORARY TABLE old_last_entries AS
SELECT run_no, destination, row_number FROM (
    SELECT e.run_no, e.destination, e.row_number, ROW_NUMBER() OVER (
        PARTITION BY e.destination, e.event_id, CASE WHEN e.event_id = '' THEN e.run_no ELSE 0 END,
                     CASE WHEN e.event_id = '' THEN e.row_number ELSE 0 END
        ORDER BY e.held DESC,
                 CASE WHEN e.status = 'duplicate' OR e.reason = 'duplicate_event_id' THEN 1 ELSE 0 END,
                 e.run_no DESC, CASE WHEN e.status = 'rejected' THEN 1 ELSE 0 END, e.row_number
    ) AS place FROM old_entries e
) ranked WHERE place = 1
"""
COPY = (
    "INSERT INTO destinations (name) "
    "SELECT destination FROM old_entries UNION SELECT destination FROM run_destinations ORDER BY 1",
    "INSERT INTO names (name) SELECT DISTINCT event_name FROM old_entries ORDER BY 1",
    LAST,
    "CREATE INDEX old_last ON old_last_entries (run_no, destination, row_number)",
    NUMBERED,
    "CREATE INDEX numbered_rows ON numbered (run_no, destination, row_number)",
    """
INSERT INTO verdicts (verdict_no, run_no, destination_no, first_row, last_row, status, reason, detail, old_batch_id,
                      items, bytes, http_status, attempts, sent_at_ms, answered_at_ms, recorded_at_ms)
SELECT m.verdict_no, MIN(e.run_no), MIN(d.destination_no), MIN(e.row_number), MAX(e.row_number), MIN(e.status),
       MIN(e.reason), MIN(e.detail), MIN(e.batch_id), MIN(b.items), MIN(b.bytes), MIN(b.http_status), MIN(b.attempts),
       MIN(b.sent_at_ms), MIN(b.answered_at_ms), MIN(e.recorded_at_ms)
FROM numbered m
JOIN old_entries e ON e.run_no = m.run_no AND e.destination = m.destination AND e.row_number = m.row_number
JOIN destinations d ON d.name = e.destination
LEFT JOIN old_batches b ON b.batch_id = e.batch_id
GROUP BY m.verdict_no ORDER BY m.verdict_no
""",
    """
INSERT INTO entries (run_no, destination_no, row_number, event_id, name_no, fingerprint, verdict_no, state)
SELECT e.run_no, d.destination_no, e.row_number, e.event_id, n.name_no, e.fingerprint, m.verdict_no, m.state
FROM old_entries e
JOIN numbered m ON m.run_no = e.run_no AND m.destination = e.destination AND m.row_number = e.row_number
JOIN destinations d ON d.name = e.destination
JOIN names n ON n.name = e.event_name
ORDER BY 1, 2, 3
""",
    "DROP TABLE numbered",
    "DROP TABLE old_last_entries",
)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for view in ("dead_letters", "results", "last_entries", "result_history"):
        op.execute(f"DROP VIEW {view}")
    op.drop_index("entries_one_holder", "entries")
    for table in ("entries", "batches"):
        op.rename_table(table, f"old_{table}")
        if dialect == "postgresql":
            op.execute(f"ALTER INDEX {table}_pkey RENAME TO old_{table}_pkey")
    _tables()
    for statement in COPY:
        op.execute(statement)
    if dialect == "postgresql":
        op.execute("SELECT setval('verdicts_verdict_no_seq', (SELECT COALESCE(MAX(verdict_no), 0) + 1 FROM verdicts))")
        for table in ("entries", "batches"):
            op.rename_table(f"old_{table}", f"{table}_before_0002")
    else:
        op.drop_table("old_entries")
        op.drop_table("old_batches")
    _indexes()
    for view in (HISTORY, RESULTS, DEAD, SPANS):
        op.execute(view.format(**DIALECTS[dialect]))
    op.execute(sa.text("INSERT INTO facts (name, value) VALUES ('ledger_id', :it)").bindparams(it=secrets.token_hex(8)))


def _tables() -> None:
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "destinations",
        sa.Column("destination_no", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("identity", sa.Text),
        sa.Column("account", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("is_trial", SMALL),
        sa.Column("first_used_at_ms", BIG),
        sa.Column("forgotten_at_ms", BIG),
    )
    op.create_table(
        "names",
        sa.Column("name_no", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
    )
    op.create_table(
        "run_files",
        sa.Column("run_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("first_row", BIG, primary_key=True, autoincrement=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("file_row", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_counts",
        sa.Column("run_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("destination_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("status", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("row_count", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdicts",
        sa.Column("verdict_no", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("run_no", BIG, nullable=False),
        sa.Column("destination_no", BIG, nullable=False),
        sa.Column("first_row", BIG, nullable=False),
        sa.Column("last_row", BIG, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("warnings", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("batch_no", BIG),
        sa.Column("old_batch_id", sa.Text),
        sa.Column("items", BIG),
        sa.Column("bytes", BIG),
        sa.Column("http_status", SMALL),
        sa.Column("attempts", sa.Integer),
        sa.Column("sent_at_ms", BIG),
        sa.Column("answered_at_ms", BIG),
        sa.Column("recorded_at_ms", BIG, nullable=False),
    )
    op.create_table(
        "entries",
        sa.Column("run_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("destination_no", SMALL, primary_key=True, autoincrement=False),
        sa.Column("row_number", BIG, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("name_no", sa.Integer, nullable=False),
        sa.Column("fingerprint", BIG, nullable=False),
        sa.Column("verdict_no", BIG, nullable=False),
        sa.Column("state", SMALL, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spans",
        sa.Column("run_no", BIG, primary_key=True, autoincrement=False),
        sa.Column("destination_no", SMALL, primary_key=True, autoincrement=False),
        sa.Column("first_row", BIG, primary_key=True, autoincrement=False),
        sa.Column("last_row", BIG, nullable=False),
        sa.Column("verdict_no", BIG, nullable=False),
        sa.Column("ids", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


def _indexes() -> None:
    # One holder per key: what keeps two runs, or two machines, from sending the same conversion.
    _partial_index("entries_one_holder", "entries", ["destination_no", "event_id"], "state = 1", unique=True)
    _partial_index("entries_last_word", "entries", ["destination_no", "event_id"], "state = 2")
    _partial_index("verdicts_unknown", "verdicts", ["verdict_no"], "status = 'unknown'")
    _partial_index("destinations_by_name", "destinations", ["name"], "forgotten_at_ms IS NULL", unique=True)
    op.create_index("verdicts_of_run", "verdicts", ["run_no"])


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
