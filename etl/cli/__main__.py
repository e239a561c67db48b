"""``python -m etl.cli``: the same as `conversions`."""

from etl.cli import main

main()
