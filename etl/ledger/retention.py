"""Retention: what the ledger forgets by age, and what it never forgets."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from etl.ledger.database import Database, chunked
from etl.ledger.tables import HELD, entries, run_counts, run_destinations, run_files, runs, spans, verdicts
from etl.ledger.values import Pruned

_LATEST = sa.select(sa.func.max(runs.c.run_no)).group_by(runs.c.import_name)

# Which runs are old enough, are over (or silent for too long), and are not the latest of their import?
_OLD_RUNS = sa.select(runs.c.run_no).where(
    runs.c.started_at_ms < sa.bindparam("before_ms"),
    runs.c.finished_at_ms.is_not(None) | (runs.c.lease_until_ms < sa.bindparam("now_ms")),
    runs.c.run_no.not_in(_LATEST),
)

# Which runs have entries left?
_REMEMBERED = sa.select(entries.c.run_no).distinct()

# Rows that hold no key: turned away, or a repeat of another.
_FORGET_ENTRIES = sa.delete(entries).where(entries.c.state != HELD)
_SPAN_ROWS = sa.select(sa.func.coalesce(sa.func.sum(spans.c.last_row - spans.c.first_row + 1), 0))

# How many requests carried rows of these runs?
_REQUESTS = sa.select(
    sa.func.count(sa.distinct(sa.func.coalesce(verdicts.c.old_batch_id, sa.cast(verdicts.c.batch_no, sa.Text))))
)

# What is said of no row any more; and of what is left, how the requests went.
_FORGET_VERDICTS = sa.delete(verdicts)
_FORGET_REQUESTS = sa.update(verdicts).values(
    dict.fromkeys(("batch_no", "old_batch_id", "items", "bytes", "http_status", "attempts"))
    | dict.fromkeys(("sent_at_ms", "answered_at_ms", "answer"))
)
_STILL_SAID = sa.select(entries.c.verdict_no)


def prune(database: Database, before_ms: int) -> Pruned:
    """Forget what runs begun before ``before_ms`` (epoch ms) wrote down; how many rows of each table.

    Never forgotten, however old: an entry that holds its key. That is every delivered conversion, so that none is
    ever sent twice, and every doubtful one, because a person may still decide on it. Each is one row of its run,
    which stays too. Rejected, refused, failed, skipped and duplicate rows go, and so does how requests went (their
    status, attempts and answers). The latest run of each import and runs that may still be alive are left alone.
    """
    with database.writing() as connection:
        asked = {"before_ms": before_ms, "now_ms": database.now_ms(connection)}
        old = connection.execute(_OLD_RUNS, asked).scalars().all()
        done = [_prune_runs(database, connection, some) for some in chunked(old)]
    return Pruned(
        runs=sum(each.runs for each in done),
        entries=sum(each.entries for each in done),
        batches=sum(each.batches for each in done),
    )


def _prune_runs(database: Database, connection: sa.Connection, run_nos: Sequence[int]) -> Pruned:
    said_in = database.one_of(verdicts.c.run_no, run_nos)
    requests = connection.execute(_REQUESTS.where(said_in)).scalar_one()
    forgotten = connection.execute(_FORGET_ENTRIES.where(database.one_of(entries.c.run_no, run_nos))).rowcount
    forgotten += int(connection.execute(_SPAN_ROWS.where(database.one_of(spans.c.run_no, run_nos))).scalar_one())
    for table in (spans, run_counts):
        _forget(database, connection, table, run_nos)
    still_said = _STILL_SAID.where(database.one_of(entries.c.run_no, run_nos))
    connection.execute(_FORGET_VERDICTS.where(said_in, verdicts.c.verdict_no.not_in(still_said)))
    connection.execute(_FORGET_REQUESTS.where(said_in))
    asked = _REMEMBERED.where(database.one_of(entries.c.run_no, run_nos))
    remembered = set(connection.execute(asked).scalars())
    empty = [run_no for run_no in run_nos if run_no not in remembered]
    for table in (run_destinations, run_files):
        _forget(database, connection, table, empty)
    return Pruned(_forget(database, connection, runs, empty), forgotten, requests)


def _forget(database: Database, connection: sa.Connection, table: sa.Table, run_nos: Sequence[int]) -> int:
    if not run_nos:
        return 0
    return connection.execute(sa.delete(table).where(database.one_of(table.c.run_no, run_nos))).rowcount
