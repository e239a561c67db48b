"""Whether the ledger is the one that ran here last: not deleted, not replaced, not put back from an older copy.

Staging remembers it. A ledger that knows less than was sent would send again what vendors have.
"""

from __future__ import annotations

from datetime import UTC, datetime

from etl.config import Config
from etl.errors import LedgerError
from etl.ledger import Ledger
from etl.ledger.facts import GAP_UNTIL_MS, LEDGER_ID
from etl.staging import read_marker, write_marker


def check(config: Config, ledger: Ledger) -> None:
    """Raises LedgerError, with what to do, where the ledger is another or has lost runs."""
    marker = read_marker(config.staging_url)
    if marker is None:
        return
    ledger_id, run_no = marker
    if ledger_id != ledger.facts.get(LEDGER_ID):
        why = "is not the one that ran here last: it was deleted, or its file was replaced"
    elif run_no > (last := ledger.facts.last_run_no()):
        why = f"ends with run {last:,}, and run {run_no:,} was here already: an older copy of it was put back"
    else:
        return
    raise LedgerError(
        f"The ledger {why}. It does not know what was delivered since, and would send it again. Put the right one back "
        "(`conversions ledger restore FILE`), or go on with this one: `conversions ledger accept --gap-from "
        f"{_last_known(ledger)}`. Then vendors that cannot tell a repeat get no row of before that it does not know, "
        "until a person says so."
    )


def note(config: Config, ledger: Ledger, run_no: int) -> None:
    """This run of the ledger has been here."""
    write_marker(config.staging_url, ledger.facts.get(LEDGER_ID) or "", run_no)


def accept_gap(config: Config, ledger: Ledger, until_ms: int) -> None:
    """Go on with this ledger; whatever occurred before ``until_ms`` and is not in it may have been delivered."""
    ledger.facts.put(GAP_UNTIL_MS, str(until_ms))
    note(config, ledger, ledger.facts.last_run_no())


def _last_known(ledger: Ledger) -> str:
    """When the last run that the ledger knows began, as people write it."""
    runs = ledger.runs.latest()
    at_ms = max((run.started_at_ms for run in runs), default=0)
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
