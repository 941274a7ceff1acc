"""What the fuzzers have in common."""

from __future__ import annotations

import argparse


def fuzz_options(description: str | None) -> argparse.Namespace:
    """The options of the command line: how many mutants, and which."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="so many mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    return parser.parse_args()
