"""How often a yes is wrong, and how many right ones are left, at each rate of false alarms that one
can ask for.

Negatives: each part of the collection is asked for pictures of the other part, and whatever is
verified is wrong. Of the development pictures, one part is the database and the other the pictures
that vocabularies may be trained on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import every
from collection import Collection

from bovw import ImageIndex, SearchOptions
from bovw.evaluation.run import evaluate
from bovw.evaluation.truth import GroundTruth

RATES = (0.1, 0.01, 0.001, 0.0001)
# Log10 of false alarms in steps for the plot.
STEPS = np.linspace(-6, 0, 61)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--every", type=int, default=1, help="use every N-th query only")
    parser.add_argument("--thorough", action="store_true", help="look harder where nothing is sure")
    parser.add_argument(
        "--plot", type=Path, help="draw asked and measured rate, and recall, into this PNG file"
    )
    parser.add_argument(
        "--failures", action="store_true", help="list the wrong answers that are verified at 0.01"
    )


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, print its tables and return them."""
    clock = time.perf_counter()
    step = 2 if arguments.small else arguments.every
    options = SearchOptions(k=10, thorough="unsure" if arguments.thorough else "never")
    whole = collection.index()
    negatives = []
    for name, removed, truth in collection.negatives():
        part = without(whole, collection.work / f"without-{name}.bovw", removed)
        negatives += [
            {**row, "index": name}
            for kept in every([truth], step)
            for row in asked(part, kept, options)
        ]
    known = [row for kept in every(collection.truths, step) for row in asked(whole, kept, options)]
    figures = {"negatives": false_alarm_rates(negatives), "recall": recalls(known)}
    print_tables(figures)
    print(
        f"{len(negatives) + len(known)} queries in {time.perf_counter() - clock:.0f} s",
        file=sys.stderr,
    )
    if arguments.failures:
        for row in sorted(negatives, key=lambda row: float(row["wrong"])):
            if row["wrong"] <= -2:
                print(f"{row['wrong']:.1f} {row['query']} {row['image']}")
    if arguments.plot:
        draw(arguments.plot, negatives, known)
    return figures


def without(whole: Path, part: Path, removed: list[str]) -> Path:
    """A copy of an index without some pictures, made once."""
    if not part.exists():
        unfinished = part.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(whole, unfinished)
        with ImageIndex.open(unfinished) as index:
            index.remove(removed)
        unfinished.rename(part)
    return part


def asked(path: Path, truth: GroundTruth, options: SearchOptions) -> list[dict[str, Any]]:
    """For each query log10 of the false alarms of the best right image, and of the best wrong one;
    infinite where there is none.
    """
    with ImageIndex.open(path) as index:
        evaluation = evaluate(index, truth, options, jobs=2)
    if evaluation.failed:
        sys.exit(f"benchmark: {evaluation.failed[0]}")
    rows = []
    for outcome in evaluation.outcomes:
        row: dict[str, Any] = {
            "set": outcome.query.set,
            "query": outcome.query.path,
            "image": None,
            "right": np.inf,
            "wrong": np.inf,
        }
        for name, match in zip(outcome.ranking, outcome.matches, strict=False):
            side = "right" if name in outcome.query.relevant else "wrong"
            if match.log_false_alarms < row[side]:
                row[side] = match.log_false_alarms
                row["image"] = name if side == "wrong" else row["image"]
        rows.append(row)
    return rows


def false_alarm_rates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per index and of all: how many negatives are verified, at each rate."""
    lines = []
    for name in [*dict.fromkeys(row["index"] for row in rows), "all"]:
        wrong = np.array([row["wrong"] for row in rows if name in (row["index"], "all")])
        counts = {str(rate): int((wrong <= np.log10(rate)).sum()) for rate in RATES}
        lines.append({"index": name, "queries": len(wrong), "verified": counts})
    return lines


def recalls(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per set: how many queries have a right image verified, and a wrong one, at each rate."""
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        sets[row["set"]].append(row)
    lines = []
    for name, members in sets.items():
        shares = {
            side: {
                str(rate): float(np.mean([row[side] <= np.log10(rate) for row in members]))
                for rate in RATES
            }
            for side in ("right", "wrong")
        }
        lines.append({"set": name, "queries": len(members), **shares})
    return lines


def print_tables(figures: dict[str, Any]) -> None:
    """Both tables, for people."""
    rates = [str(rate) for rate in RATES]
    print(f"{'negatives asked for':24s} {'n':>5s}  " + " ".join(f"{rate:>12s}" for rate in rates))
    for line in figures["negatives"]:
        shares = [
            f"{line['verified'][rate]:4d} {line['verified'][rate] / max(line['queries'], 1):.4f}"
            for rate in rates
        ]
        print(
            f"{'without ' + line['index']:24s} {line['queries']:5d}  "
            + " ".join(f"{share:>12s}" for share in shares)
        )
    print(
        f"\n{'right and wrong verified':24s} {'n':>5s}  "
        + " ".join(f"{rate:>12s}" for rate in rates)
    )
    for line in figures["recall"]:
        shares = [f"{line['right'][rate]:.3f} {line['wrong'][rate]:.3f}" for rate in rates]
        print(
            f"{line['set']:24s} {line['queries']:5d}  "
            + " ".join(f"{share:>12s}" for share in shares)
        )


def draw(path: Path, negatives: list[dict[str, Any]], known: list[dict[str, Any]]) -> None:
    """Two plots: measured against asked rate of wrong answers, and recall against it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    wrong = np.array([row["wrong"] for row in negatives])
    left.loglog(
        10**STEPS,
        [max(float(np.mean(wrong <= step)), 1e-5) for step in STEPS],
        label=f"measured, {len(wrong):,} negatives",
    )
    left.loglog(10**STEPS, 10**STEPS, "--", color="grey", label="as asked")
    left.set(xlabel="--false-alarms", ylabel="queries with a wrong yes", ylim=(1e-5, 1))
    left.legend()
    for name in ("crop25", "crop10", "crop05", "crop02", "objects", "labels"):
        values = np.array([row["right"] for row in known if row["set"] == name])
        if len(values):
            right.semilogx(
                10**STEPS,
                [np.mean(values <= step) for step in STEPS],
                label=f"{name}, {len(values)}",
            )
    right.set(xlabel="--false-alarms", ylabel="queries with a right yes", ylim=(0, 1.02))
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
