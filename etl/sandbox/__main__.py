"""`python -m etl.sandbox`: the sandbox by hand, until Ctrl-C."""

import argparse
import sys

from etl.sandbox import FaultError, serve


def main() -> int:
    """Read the arguments and serve; 2 and one sentence if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m etl.sandbox", description="The vendors on localhost.")
    parser.add_argument("--port", type=int, default=8900, help="0 takes any free port (default: 8900)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--faults", metavar="F.yaml", help="a YAML list of faults")
    parser.add_argument("--counts-only", action="store_true", help="keep no bodies, for long runs")
    arguments = parser.parse_args()
    try:
        serve(arguments.port, arguments.faults, arguments.host, keep=not arguments.counts_only)
    except (FaultError, OSError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
