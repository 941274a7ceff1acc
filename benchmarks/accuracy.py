"""Accuracy on all pictures and queries of a collection: recall@1, mean average precision,
recall@100 and outlines, per set.

Three modes: TF-IDF cosine; Hamming embedding; Hamming embedding, verified.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from typing import Any

import numpy as np
from collection import Collection

from bovw.evaluation.run import evaluate_settings
from bovw.evaluation.scores import FALSE_ALARM, PLACED, VERIFIED, Evaluation
from bovw.evaluation.truth import GroundTruth
from bovw.image_index import ImageIndex
from bovw.search.options import SearchOptions

DEPTH = 1000
MODES = {
    "tfidf": SearchOptions(k=DEPTH, scoring="tfidf", verify_top=0, mirror=False),
    "hamming": SearchOptions(k=DEPTH, verify_top=0, mirror=False),
    "verified": SearchOptions(k=DEPTH),
}
# The columns of a mode, and what is said of the answers of the last one; docs/results.md defines
# them.
MEASURES, ANSWERS = ("Success@1", "AP", "R@100"), (PLACED, VERIFIED, FALSE_ALARM)


def table(evaluations: dict[str, Evaluation]) -> list[dict[str, Any]]:
    """Means per set."""
    lines: dict[str, dict[str, Any]] = {}
    for mode, evaluation in evaluations.items():
        sets: dict[str, list[dict[str, float]]] = defaultdict(list)
        for outcome in evaluation.outcomes:
            sets[outcome.query.set].append(outcome.values)
        for name, members in sets.items():
            line = lines.setdefault(name, {"set": name, "queries": len(members)})
            line[mode] = means(members, MEASURES)
            line["answers"] = means(members, ANSWERS)
    return list(lines.values())


def means(members: list[dict[str, float]], measures: tuple[str, ...]) -> list[float]:
    """The means of some measures; a place counts as wrong where the true one is not known."""
    return [
        round(float(np.mean([values.get(measure, 0.0) for values in members])), 4)
        for measure in measures
    ]


def every(truths: list[GroundTruth], step: int) -> list[GroundTruth]:
    """Every N-th query of several tables, counted through them."""
    kept, first = [], 0
    for truth in truths:
        kept.append(GroundTruth(truth.queries[-first % step :: step], truth.folder))
        first += len(truth.queries)
    return [truth for truth in kept if truth.queries]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--features", default="rootsift", choices=["rootsift", "orb"])
    parser.add_argument("--every", type=int, default=1, help="use every N-th query only")
    parser.add_argument(
        "--failures", action="store_true", help="list the queries whose first answer is wrong"
    )


def run(collection: Collection, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the benchmark, print its table and return it."""
    lines, queries = [], 0
    clock = time.perf_counter()
    with ImageIndex.open(collection.index(arguments.features)) as index:
        for truth in every(collection.truths, 4 if arguments.small else arguments.every):
            found = dict(
                zip(
                    MODES,
                    evaluate_settings(index, truth, list(MODES.values()), jobs=2),
                    strict=True,
                )
            )
            if found["verified"].failed:
                sys.exit(f"benchmark: {found['verified'].failed[0]}")
            lines += table(found)
            queries += len(truth.queries)
            if arguments.failures:
                for outcome in found["verified"].outcomes:
                    if not outcome.values["Success@1"]:
                        print(
                            outcome.query.set,
                            outcome.query.path,
                            *(outcome.values[measure] for measure in MEASURES),
                        )
    print(
        f"{'set':24s} {'n':>4s}  "
        + "  ".join(f"{mode + ': r@1   mAP  r@100':>26s}" for mode in MODES)
        + "  outline  yes   wrong yes"
    )
    for line in lines:
        figures = "  ".join(
            " " * 7 + " ".join(f"{value:6.3f}" for value in line[mode]) for mode in MODES
        )
        print(
            f"{line['set']:24s} {line['queries']:4d}  {figures}  "
            + " ".join(f"{value:6.3f}" for value in line["answers"])
        )
    print(f"{queries} queries in {time.perf_counter() - clock:.0f} s", file=sys.stderr)
    return lines
