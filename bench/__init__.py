"""Benchmarks: ``make bench``. Figures and what they were measured on are in RESULTS.md."""
