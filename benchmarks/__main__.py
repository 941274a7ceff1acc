"""Measure bovw: `python benchmarks PART [options]`. docs/benchmarks.md says what each part shows.

Every part takes --small: few pictures, of data/, to see that all of it runs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import accuracy
import cluster
import compare
import costs
import duplicates
import faults
import inspection
import reliability
import scale
import serve
import vocabulary
from collection import data_folder, development, small
from report import circumstances, heading, save

RAW = argparse.RawDescriptionHelpFormatter
PARTS = {
    "accuracy": accuracy,
    "reliability": reliability,
    "scale": scale,
    "compare": compare,
    "costs": costs,
    "serve": serve,
    "duplicates": duplicates,
    "cluster": cluster,
    "faults": faults,
    "inspection": inspection,
    "vocabulary": vocabulary,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--small", action="store_true", help="photographs of data/, and little of all"
    )
    common.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "bovw-bench",
        help="where indexes and crops are kept",
    )
    common.add_argument("--json", type=Path, help="write the figures to this file as well")
    main_parser = argparse.ArgumentParser(
        prog="python benchmarks", description=__doc__, formatter_class=RAW
    )
    parts = main_parser.add_subparsers(dest="part", required=True)
    for name, module in PARTS.items():
        module.add_options(
            parts.add_parser(
                name, parents=[common], description=module.__doc__, formatter_class=RAW
            )
        )
    return main_parser


def main() -> None:
    """Run the part that the command line asks for."""
    arguments = parser().parse_args()
    data = None if arguments.small else data_folder()
    if data is None and not arguments.small:
        print(
            "the development pictures are not here (set BOVW_BENCH_DATA): nothing to do; "
            "--small runs on the photographs of data/"
        )
        return
    collection = development(data, arguments.work) if data else small(arguments.work)
    facts = circumstances(arguments.part, collection.name)
    print(heading(facts), flush=True)
    figures = PARTS[arguments.part].run(collection, arguments)
    if arguments.json:
        save(arguments.json, facts, figures)


if __name__ == "__main__":
    main()
