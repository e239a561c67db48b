"""The ledger: the database of runs, results and batches, asked only by the named questions of its parts.

A row of ``entries`` is one row of one run at one destination. `etl.ledger.runs` opens and ends runs,
`etl.ledger.claims` decides who may send what and writes down what came of it, `etl.ledger.results` answers,
`etl.ledger.files` remembers dropped files. Bulk statements only; SQLite (WAL) and PostgreSQL.
"""

from etl.ledger.claims import ELSEWHERE
from etl.ledger.files import Files
from etl.ledger.results import Results
from etl.ledger.runs import LEASE_MS
from etl.ledger.tables import RESULT_COLUMNS
from etl.ledger.values import FileInfo, RunInfo, Sent, Stop, now_ms

__all__ = ["ELSEWHERE", "LEASE_MS", "RESULT_COLUMNS", "FileInfo", "Ledger", "RunInfo", "Sent", "Stop", "now_ms"]


class Ledger(Results, Files):
    """One ledger, opened by URL (``sqlite:///var/ledger.db``, ``postgresql://…``). Safe to share between threads."""
