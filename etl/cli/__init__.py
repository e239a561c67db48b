"""The `conversions` command."""

from etl.cli.commands import app, main

__all__ = ["app", "main"]
