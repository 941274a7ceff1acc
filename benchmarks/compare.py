"""bovw beside other ways to find a picture: the same pictures, the same queries, one run, one
table.

The systems are in rivals.py; one whose package is absent is skipped. They run one after the other
in this process and may use all cores; vocabularies are trained on the training pictures, which are
in no database here (with --small on the pictures themselves). Three systems compare the query with
each picture in turn: they get a sample of the queries, and a second part of the table has the
figures of all systems on that sample.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import math
import os
import shutil
import statistics
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from collection import Collection
from rivals import SYSTEMS
from systems import Question, System, select_by_grid

from bovw.evaluation.truth import Query

# The kinds of query, in order of precedence, and what the table calls them.
KINDS = {
    "crop50": "crop50",
    "crop25": "crop25",
    "crop10": "crop10",
    "crop05": "crop05",
    "crop02": "crop02",
    "crop25-turned30-small": "turn30",
    "crop10-turned90-large": "turn90",
    "crop25-tiny": "tiny",
    "whole-quarter-size": "quarter",
    "crop40-perspective": "persp",
    "crop40-mirrored": "mirror",
    "crop40-dark": "dark",
    "crop40-covered": "covered",
    "pasted": "pasted",
    "edits": "edits",
    "scenes": "scenes",
    "objects": "objects",
}
# The figures of a system, and how wide their columns are.
FIGURES = (
    "train_seconds",
    "build_seconds",
    "index_megabytes",
    "build_megabytes",
    "query_milliseconds",
    "search_milliseconds",
)
WIDTHS = (6, 6, 6, 6, 8, 8)
FOOTNOTES = """\
train     time to train a vocabulary, where one must be; bovw ships one, which took 75 s.
build     time from the files to the index. index: its size on disk, or of the arrays in memory
          where it is kept there only.
RSS       growth of this process's memory by building, measured before and after; not the peak,
          and not that of worker processes.
query     median time from the query file to the ranked list. search: the same beside reading the
          query and its features.
others    recall@1: share of the queries whose first answer is right, without the answers that the
          ground truth ignores.
sampled   sift-exact, sift-flann and orb compare a query with each picture in turn, so they get a
          sample of each kind (--exhaustive-queries) and stand in the second part only, beside the
          others on that very sample. With few queries a kind its recall is coarse.
crops     bovw is told which queries are crops (--crop); the other systems have no such option.
pycolmap  its interface reads the index anew for each query: that time is not counted."""


@dataclass
class Run:
    """What became of a system: why it was skipped, or its costs and the figures of each query, by
    the query's path.
    """

    name: str
    settings: str
    version: str = ""
    sampled: bool = False
    skipped: str = ""
    train: float = math.nan
    build: float = math.nan
    size: float = math.nan
    memory: float = math.nan
    right: dict[str, bool] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    search: dict[str, float] = field(default_factory=dict)


def megabytes_used() -> float:
    """Memory of this process, where the system tells, without what is free but kept for later,
    where the C library can tell.
    """
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        return (
            int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
        )
    except OSError:
        return math.nan


def choose(collection: Collection, pictures: int, every: int) -> tuple[list[str], list[Query]]:
    """The database and the queries: every N-th query of each kind whose right answers fit, then
    other pictures to fill up.

    A checksum orders the other pictures, so that a smaller database is a part of a larger one.
    """
    by_kind: dict[str, list[Query]] = defaultdict(list)
    for query in collection.queries:
        by_kind[query.set].append(query)
    chosen: set[str] = set()
    queries = []
    for kind in KINDS:
        for query in by_kind[kind][::every]:
            if len(chosen | query.relevant) <= pictures:
                chosen |= query.relevant
                queries.append(query)
    base = os.path.commonpath(collection.images)
    others = sorted(
        set(collection.images) - chosen,
        key=lambda name: zlib.crc32(os.path.relpath(name, base).encode()),
    )
    return sorted([*chosen, *others[: pictures - len(chosen)]]), queries


def sample(queries: list[Query], count: int) -> list[Query]:
    """So many queries of each kind, evenly spread."""
    by_kind: dict[str, list[Query]] = defaultdict(list)
    for query in queries:
        by_kind[query.set].append(query)
    return [query for members in by_kind.values() for query in select_by_grid(members, count)]


def question(query: Query) -> Question:
    """What a system is told of a query."""
    return Question(query.path, query.outline is not None)


def answer(system: System, query: Query, run: Run) -> None:
    """Ask one query and note the figures."""
    system.uncounted = 0.0
    clock = time.perf_counter()
    ranked = system.rank(question(query))
    seconds = time.perf_counter() - clock - system.uncounted
    first = next((path for path in ranked if path not in query.ignore), None)
    run.right[query.path] = first in query.relevant
    run.seconds[query.path], run.search[query.path] = seconds, seconds - system.extraction


def measure(
    kind: type[System], work: Path, training: list[str], paths: list[str], queries: list[Query]
) -> Run:
    """Run one system: train, build, one query to warm up, all queries. A rival that is absent or
    fails is no reason to stop.
    """
    run = Run(kind.name, kind.settings, sampled=kind.sampled)
    cv2.setRNGSeed(0)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        system = kind(work)
        run.version = system.version()
        if system.trained:
            clock = time.perf_counter()
            system.train(training)
            run.train = time.perf_counter() - clock
        before = megabytes_used()
        clock = time.perf_counter()
        system.build(paths)
        run.build = time.perf_counter() - clock
        run.memory = megabytes_used() - before
        run.size = system.size() / 1e6
        print(f"{kind.name}: built in {run.build:.0f} s", file=sys.stderr)
        if set(system.rank(question(queries[0]))) - set(paths):
            raise ValueError("answers that are not in the database")
        clock = time.perf_counter()
        for query in queries:
            answer(system, query, run)
        print(
            f"{kind.name}: {len(queries)} queries in {time.perf_counter() - clock:.0f} s",
            file=sys.stderr,
        )
    except ImportError as error:
        run.skipped = f"not installed: {error}"
    except Exception as error:  # whatever other people's packages raise
        run.skipped = f"failed: {type(error).__name__}: {error}"
    return run


def summary(run: Run, queries: list[Query]) -> dict[str, Any]:
    """The line of a system in a table of these queries; None where there is no figure."""
    recall: dict[str, list[bool]] = defaultdict(list)
    for query in queries:
        recall[query.set].append(run.right[query.path])
    figures = {
        "train_seconds": run.train,
        "build_seconds": run.build,
        "index_megabytes": run.size,
        "build_megabytes": run.memory,
        "query_milliseconds": 1e3 * statistics.median(run.seconds[query.path] for query in queries),
        "search_milliseconds": 1e3 * statistics.median(run.search[query.path] for query in queries),
    }
    return {
        "system": run.name,
        **{name: None if math.isnan(value) else round(value, 2) for name, value in figures.items()},
        "recall": {kind: round(float(np.mean(found)), 4) for kind, found in recall.items()},
    }


def shown_kinds(queries: list[Query]) -> list[str]:
    """The kinds that there are queries of, in the order of the table."""
    present = {query.set for query in queries}
    return [kind for kind in KINDS if kind in present]


def heading(queries: list[Query]) -> str:
    """The two lines that begin a table."""
    kinds = shown_kinds(queries)
    counts = [sum(query.set == kind for query in queries) for kind in kinds]
    return (
        f"{'':16s}  train  build  index    RSS    query   search  "
        + " ".join(f"{KINDS[kind]:>7s}" for kind in kinds)
        + f"\n{'':16s}      s      s     MB     MB       ms       ms  "
        + " ".join(f"{count:7d}" for count in counts)
    )


def row(line: dict[str, Any], queries: list[Query]) -> str:
    """The line of a system in a table."""
    figures = ["-" if line[name] is None else f"{line[name]:.1f}" for name in FIGURES]
    costs = " ".join(f"{each:>{width}s}" for each, width in zip(figures, WIDTHS, strict=True))
    recall = " ".join(f"{line['recall'][kind]:7.3f}" for kind in shown_kinds(queries))
    return f"{line['system']:16s} {costs}  {recall}"


def print_table(title: str, runs: Iterable[Run], queries: list[Query]) -> list[dict[str, Any]]:
    """Print a part of the table. Returns its lines."""
    print(f"\n{title}\n{heading(queries)}")
    lines = [summary(run, queries) for run in runs]
    for line in lines:
        print(row(line, queries))
    return lines


def chosen_systems(text: str) -> list[str]:
    """The names of systems, with commas between. Raises ArgumentTypeError."""
    known = [kind.name for kind in SYSTEMS]
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
    return names


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--pictures", type=int, default=1000, help="size of the database")
    parser.add_argument(
        "--every", type=int, default=1, help="use every N-th query of each kind only"
    )
    parser.add_argument(
        "--exhaustive-queries",
        type=int,
        default=6,
        help="queries of each kind for the systems that compare with each picture",
    )
    parser.add_argument(
        "--only",
        type=chosen_systems,
        default=[kind.name for kind in SYSTEMS],
        metavar="SYSTEM,...",
        help=f"some of {', '.join(kind.name for kind in SYSTEMS)}",
    )


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the comparison, print its table and return it."""
    pictures, every, slow = (
        (6, 8, 1)
        if arguments.small
        else (arguments.pictures, arguments.every, arguments.exhaustive_queries)
    )
    paths, queries = choose(collection, pictures, every)
    sampled = sample(queries, slow)
    training = collection.training or collection.images
    print(
        f"{len(paths)} pictures, {len(queries)} queries, "
        f"of these {len(sampled)} for the slow systems",
        flush=True,
    )
    runs = []
    for kind in (kind for kind in SYSTEMS if kind.name in arguments.only):
        asked = sampled if kind.sampled else queries
        done = measure(kind, collection.work / "compare" / kind.name, training, paths, asked)
        told = f"SKIPPED, {done.skipped}" if done.skipped else done.settings
        print(f"  {done.name} {done.version}: {told}", flush=True)
        if not done.skipped:  # an interrupted run has shown what it knows
            print(f"{heading(asked)}\n{row(summary(done, asked), asked)}", flush=True)
        runs.append(done)
    finished = [each for each in runs if not each.skipped]
    everything = print_table(
        "All queries", [each for each in finished if not each.sampled], queries
    )
    part = print_table("The same sample of the queries for all systems", finished, sampled)
    print(f"\n{FOOTNOTES}")
    return {
        "pictures": len(paths),
        "systems": [
            {
                name: getattr(each, name)
                for name in ("name", "version", "settings", "sampled", "skipped")
            }
            for each in runs
        ],
        "all": {"queries": len(queries), "lines": everything},
        "sample": {"queries": len(sampled), "lines": part},
    }
