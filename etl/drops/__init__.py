"""Dropped files: taken from a folder or bucket, imported once, moved away, and answered beside where they end up."""

from etl.drops.inbox import DRY_RUN, Dropped, Outcome, handle, look, once

__all__ = ["DRY_RUN", "Dropped", "Outcome", "handle", "look", "once"]
