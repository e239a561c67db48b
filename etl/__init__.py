"""Offline conversions, delivered: from CSV, Parquet or a database to every vendor, one truthful result per row."""

__version__ = "0.1.0"
