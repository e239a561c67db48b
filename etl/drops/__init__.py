"""Dropped files: taken from a folder or bucket, imported once, moved away, and answered beside where they end up.

A round (`rounds`) lists an inbox (`inbox`), then takes each file on its way (`intake`): a copy of its own (`moving`),
how it is read (`fix_file`), whether it is fit to be sent (`judging`), then its receipts (`receipts`, of `row_results`,
`summary` and `summary_page`) and its place (`moving`). What the rooms share is in `values` and `folders`.
"""

from etl.drops.intake import process
from etl.drops.rounds import process_all, scan
from etl.drops.values import DRY_RUN, Dropped, Outcome, Scan

__all__ = ["DRY_RUN", "Dropped", "Outcome", "Scan", "process", "process_all", "scan"]
