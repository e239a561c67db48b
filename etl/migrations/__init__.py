"""Alembic migrations of the ledger; run by `etl.ledger.Ledger.upgrade`."""
