"""Accuracy on the development pictures: recall@1, mean average precision, recall@100 and outlines, per set.

    python benchmarks/development.py [--features rootsift|orb] [--every N] [--json FILE]

Needs the development pictures at ../shared/data or $BOVW_BENCH_DATA; without them it says so and ends with 0.
The database is dev/db.txt and all of train/. Three modes: TF-IDF cosine; Hamming embedding; Hamming embedding, verified.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from bovw.encoding import EncodedImage, encode, encode_mirrored, load_picture
from bovw.errors import ImageError
from bovw.features import extract, mirror
from bovw.index import ImageIndex
from bovw.search import Ranking, SearchOptions, describe, rank
from bovw.vocabulary import Vocabulary, shipped_vocabulary

DEPTH = 1000
MODES = {
    "tfidf": SearchOptions(k=DEPTH, scoring="tfidf", verify=0, mirror=False),
    "hamming": SearchOptions(k=DEPTH, verify=0, mirror=False),
    "verified": SearchOptions(k=DEPTH),
}


@dataclass(frozen=True)
class Query:
    """A query with its ground truth; paths are absolute, `outline` is (4, 2) or None."""

    set: str
    path: str
    relevant: frozenset[str]
    ignore: frozenset[str]
    outline: list[list[float]] | None


def data_folder() -> Path | None:
    """Where the development pictures are, if they are there."""
    folder = Path(os.environ.get("BOVW_BENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    return folder if (folder / "dev" / "db.txt").is_file() else None


def prepared(work: Path) -> Path | None:
    """The same, once the folder to work in is there; says so if there is nothing to do."""
    data = data_folder()
    if data is None:
        print("the development pictures are not here (set BOVW_BENCH_DATA): nothing to do")
    else:
        work.mkdir(parents=True, exist_ok=True)
    return data


def database(data: Path) -> list[str]:
    """The pictures of the development database beside train/."""
    return [str(data / "dev" / line) for line in (data / "dev" / "db.txt").read_text().split("\n") if line]


def read_queries(table: Path, images: Path) -> list[Query]:
    """The queries of a table; answers are relative to `images`, queries to the folder of the table."""
    queries = []
    with open(table, newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            names = [frozenset(str(images / name) for name in row[column].split(",") if name) for column in ("relevant", "ignore")]
            outline = [[float(v) for v in pair.split(",")] for pair in row["outline"].split()] if row.get("outline") else None
            queries.append(
                Query(row["set"], str(table.parent / row["query"]), names[0], names[1] | {str(table.parent / row["query"])}, outline)
            )
    return queries


def make_crops(data: Path, work: Path) -> Path:
    """The table of crop queries, made once."""
    table = work / "crops" / "queries.tsv"
    if not table.is_file():
        tool = data.parent / "tools" / "make_queries.py"
        subprocess.run([sys.executable, str(tool), str(data / "dev"), str(table.parent)], check=True, stdout=subprocess.DEVNULL)
    return table


def make_index(data: Path, work: Path, features: str) -> Path:
    """An index of the benchmark's database."""
    path = work / f"{features}.bovw"
    clock = time.perf_counter()
    index = ImageIndex.open(path) if path.exists() else ImageIndex.create(path, Vocabulary.load(shipped_vocabulary(features)))
    with index:
        report = index.add([*database(data), str(data / "train")], jobs=2)
        print(
            f"index: {len(index)} images, {report.added} added, {len(report.failed)} failed, {time.perf_counter() - clock:.0f} s",
            file=sys.stderr,
        )
    return path


def average_precision(ranked: list[str], relevant: frozenset[str]) -> float:
    """Average precision, standard: mean over the relevant of precision at their ranks; 0 for those not found."""
    hits = [place for place, image in enumerate(ranked, 1) if image in relevant]
    return sum(found / place for found, place in enumerate(hits, 1)) / len(relevant)


def run(index_path: Path, queries: list[Query]) -> list[dict[str, Any]]:
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
            encoded = [encode(features, index.vocabulary, words)]
            encoded.append(encode_mirrored(mirror(features, picture, index.spec), encoded[0], index.vocabulary))
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
    found = describe(index.snapshot, encoded, top)
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


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", default="rootsift")
    parser.add_argument("--every", type=int, default=1, help="use every N-th query only")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bovw-bench", help="where index and crops are kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--failures", action="store_true", help="list the queries whose first answer is wrong")
    arguments = parser.parse_args()
    data = prepared(arguments.work)
    if data is None:
        return
    path = make_index(data, arguments.work, arguments.features)
    queries = read_queries(data / "dev" / "queries.tsv", data / "dev")
    queries += read_queries(make_crops(data, arguments.work), data / "dev")
    queries = queries[:: arguments.every]
    clock = time.perf_counter()
    chunks = [queries[first : first + 50] for first in range(0, len(queries), 50)]
    rows = [row for part in joblib.Parallel(n_jobs=2)(joblib.delayed(run)(path, chunk) for chunk in chunks) for row in part]
    lines = table(rows)
    print(f"{'set':24s} {'n':>4s}  " + "  ".join(f"{mode + ': r@1   mAP  r@100':>26s}" for mode in MODES) + "  outline  yes   wrong yes")
    for line in lines:
        figures = "  ".join(" " * 7 + " ".join(f"{value:6.3f}" for value in line[mode][:3]) for mode in MODES)
        print(f"{line['set']:24s} {line['queries']:4d}  {figures}  " + " ".join(f"{value:6.3f}" for value in line["answers"]))
    print(f"{len(rows)} queries in {time.perf_counter() - clock:.0f} s, {os.cpu_count()} cores", file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=1) + "\n")
    if arguments.failures:
        for row in rows:
            if not row["verified"][0]:
                print(row["set"], row["query"], row["verified"])


if __name__ == "__main__":
    main()
