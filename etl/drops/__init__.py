"""Dropped files: taken from a folder or bucket, imported once, moved away, and answered beside where they end up.

A round (`rounds`) lists an inbox (`inbox`), then takes each file on its way (`intake`): a copy of its own (`copies`),
how it is read (`fix_file`), whether it is fit to be sent (`judging`), its receipts (`receipts`, made of `row_results`,
`summary` and `summary_page`), and where it ends up (`moving`). What they share is in `values` and `folders`.
"""

from etl.drops.intake import process
from etl.drops.rounds import process_all, scan
from etl.drops.values import DRY_RUN, Dropped, Outcome, Scan

__all__ = ["DRY_RUN", "Dropped", "Outcome", "Scan", "process", "process_all", "scan"]
