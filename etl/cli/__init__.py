"""The `conversions` command: reads what was typed, calls the main flow, shows what came of it, picks the exit code.

Nothing is decided here that the Airflow side would have to decide again.
"""

from etl.cli import (  # importing them registers their commands
    airflow,
    delivery,
    history,
    ledger,
    reasons,
    trial,
    vendors,
)
from etl.cli.program import app, main

__all__ = ["airflow", "app", "delivery", "history", "ledger", "main", "reasons", "trial", "vendors"]
