"""Accuracy on all pictures and queries of a collection: recall@1, mean average precision, recall@100 and outlines, per set.

Three modes: TF-IDF cosine; Hamming embedding; Hamming embedding, verified.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from collection import Collection, Query

from bovw.encoding import EncodedImage, encode_query, load_picture
from bovw.errors import ImageError
from bovw.features import extract, mirror
from bovw.index import ImageIndex
from bovw.search import Ranking, SearchOptions, describe, rank

DEPTH = 1000
MODES = {
    "tfidf": SearchOptions(k=DEPTH, scoring="tfidf", verify=0, mirror=False),
    "hamming": SearchOptions(k=DEPTH, verify=0, mirror=False),
    "verified": SearchOptions(k=DEPTH),
}


def average_precision(ranked: list[str], relevant: frozenset[str]) -> float:
    """Average precision, standard: mean over the relevant of precision at their ranks; 0 for those not found."""
    hits = [place for place, image in enumerate(ranked, 1) if image in relevant]
    return sum(found / place for found, place in enumerate(hits, 1)) / len(relevant)


def answered(index_path: Path, queries: list[Query]) -> list[dict[str, Any]]:
    """The figures of each query in each mode."""
    rows = []
    with ImageIndex.open(index_path) as index:

        def path_of(image: int) -> str:
            return index.root.full(index.snapshot.record(image).path)

        for query in queries:
            row: dict[str, Any] = {"set": query.set, "query": query.path}
            crop = query.outline is not None
            try:
                picture = load_picture(query.path, index.spec)
            except ImageError as error:
                sys.exit(f"benchmark: {error}")
            features = extract(picture, index.spec)
            words = MODES["verified"].words
            encoded = encode_query(features, mirror(features, picture, index.spec), index.vocabulary, words)
            for mode, options in MODES.items():
                if not len(features):
                    row[mode] = (0.0, 0.0, 0.0)
                    continue
                ranking = rank(index.snapshot, encoded if options.mirror else encoded[:1], replace(options, crop=crop))
                ranked = [path for path in map(path_of, ranking.images) if path not in query.ignore]
                found = len(query.relevant.intersection(ranked[:100])) / len(query.relevant)
                row[mode] = (float(bool(ranked) and ranked[0] in query.relevant), average_precision(ranked, query.relevant), found)
            row["answers"] = answers(index, encoded, ranking, query) if len(features) else (0.0, 0.0, 0.0)
            rows.append(row)
    return rows


def answers(index: ImageIndex, encoded: list[EncodedImage], ranking: Ranking, query: Query) -> tuple[float, float, float]:
    """Three yes or no, as 1.0 or 0.0: the outline is right; the right image is called verified; a wrong one is.

    Looks at the first 10 matches without those to ignore. An outline is right if the first image is the right one and
    the mean error of its four corners is below 3 % of its longer side.
    """
    top = replace(ranking, images=ranking.images[:10], scores=ranking.scores[:10])
    right, wrong, placed = False, False, False
    found = describe(index.snapshot, encoded, top, MODES["verified"])
    matches = [(image, replace(match, image=index.root.full(match.image))) for image, match in zip(top.images, found, strict=True)]
    counted = [(image, match) for image, match in matches if match.image not in query.ignore]
    for place, (image, match) in enumerate(counted):
        if match.image in query.relevant:
            right = right or match.verified
            if place == 0 and match.outline is not None and query.outline:
                segment, ordinal = index.snapshot.locate(image)
                error = np.hypot(*(match.outline - np.array(query.outline)).T).mean()
                placed = bool(error < 0.03 * segment.sizes[ordinal].max())
        else:
            wrong = wrong or match.verified
    return float(placed), float(right), float(wrong)


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means per set."""
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        sets[row["set"]].append(row)
    lines = []
    for name, members in sets.items():
        line: dict[str, Any] = {"set": name, "queries": len(members)}
        for mode in MODES:
            line[mode] = [round(float(value), 4) for value in np.mean([row[mode] for row in members], axis=0)]
        line["answers"] = [round(float(value), 4) for value in np.mean([row["answers"] for row in members], axis=0)]
        lines.append(line)
    return lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--features", default="rootsift", choices=["rootsift", "orb"])
    parser.add_argument("--every", type=int, default=1, help="use every N-th query only")
    parser.add_argument("--failures", action="store_true", help="list the queries whose first answer is wrong")


def run(collection: Collection, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the benchmark, print its table and return it."""
    path = collection.index(arguments.features)
    queries = collection.queries[:: 4 if arguments.small else arguments.every]
    clock = time.perf_counter()
    chunks = [queries[first : first + 50] for first in range(0, len(queries), 50)]
    rows = [row for part in joblib.Parallel(n_jobs=2)(joblib.delayed(answered)(path, chunk) for chunk in chunks) for row in part]
    lines = table(rows)
    print(f"{'set':24s} {'n':>4s}  " + "  ".join(f"{mode + ': r@1   mAP  r@100':>26s}" for mode in MODES) + "  outline  yes   wrong yes")
    for line in lines:
        figures = "  ".join(" " * 7 + " ".join(f"{value:6.3f}" for value in line[mode][:3]) for mode in MODES)
        print(f"{line['set']:24s} {line['queries']:4d}  {figures}  " + " ".join(f"{value:6.3f}" for value in line["answers"]))
    print(f"{len(rows)} queries in {time.perf_counter() - clock:.0f} s", file=sys.stderr)
    if arguments.failures:
        for row in rows:
            if not row["verified"][0]:
                print(row["set"], row["query"], row["verified"])
    return lines
