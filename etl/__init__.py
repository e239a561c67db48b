"""Offline conversions, delivered: from CSV, Parquet or a database to five vendors, one truthful result per row."""

__version__ = "0.1.0"
