"""The pictures that the benchmarks search and the queries they ask, with the answers.

Two collections: the development pictures (3,005 photographs at ../shared/data or $BOVW_BENCH_DATA, not public), and the
photographs of data/ for a quick run anywhere, with crops as queries.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from bovw import ImageIndex, Vocabulary
from bovw.vocabulary import shipped_vocabulary

HERE = Path(__file__).resolve().parents[1]
SMALL_CROPS = {"crop25": 0.25, "crop10": 0.10}


@dataclass(frozen=True)
class Query:
    """A query with its answers; paths are absolute. `outline` (4, 2) is where a crop was cut, or None."""

    set: str
    path: str
    relevant: frozenset[str]
    ignore: frozenset[str]
    outline: list[list[float]] | None


@dataclass(frozen=True)
class Collection:
    """Pictures to search, and queries.

    Attributes:
        name: what a report calls it.
        images: the pictures that are sought, and others of their kind.
        training: pictures that a vocabulary may be trained on; they are in the database as well.
        tables: tables of queries, each with the folder that its answers are relative to. The first holds the crops.
        work: a folder for what benchmarks make and use again.
    """

    name: str
    images: list[str]
    training: list[str]
    tables: list[tuple[Path, Path]]
    work: Path

    @cached_property
    def queries(self) -> list[Query]:
        """All queries."""
        return [query for table, images in self.tables for query in read_queries(table, images)]

    @cached_property
    def crops(self) -> list[Query]:
        """The queries that are crops."""
        return [query for query in self.queries if query.outline]

    def index(self, features: str = "rootsift") -> Path:
        """An index of all pictures with the vocabulary that bovw ships, made once."""
        path = self.work / f"{features}.bovw"
        clock = time.perf_counter()
        vocabulary = Vocabulary.load(shipped_vocabulary(features))
        with ImageIndex.open(path) if path.exists() else ImageIndex.create(path, vocabulary) as index:
            report = index.add([*self.images, *self.training], jobs=2)
            seconds = time.perf_counter() - clock
            print(f"index: {len(index)} images, {report.added} added, {len(report.failed)} failed, {seconds:.0f} s", file=sys.stderr)
        return path


def data_folder() -> Path | None:
    """Where the development pictures are, if they are there."""
    folder = Path(os.environ.get("BOVW_BENCH_DATA", HERE.parent / "shared" / "data")).resolve()  # bovw names true places
    return folder if (folder / "dev" / "db.txt").is_file() else None


def development(data: Path, work: Path) -> Collection:
    """The development pictures."""
    work = work / "development"
    crops = work / "crops" / "queries.tsv"
    if not crops.is_file():
        tool = data.parent / "tools" / "make_queries.py"
        subprocess.run([sys.executable, str(tool), str(data / "dev"), str(crops.parent)], check=True, stdout=subprocess.DEVNULL)
    return Collection(
        name="development pictures",
        images=[str(data / "dev" / line) for line in (data / "dev" / "db.txt").read_text().split("\n") if line],
        training=sorted(str(path) for path in (data / "train").iterdir()),
        tables=[(crops, data / "dev"), (data / "dev" / "queries.tsv", data / "dev")],
        work=work,
    )


def small(work: Path) -> Collection:
    """The photographs of data/, with crops of them."""
    work, photos = work / "small", HERE / "data" / "photos"
    images = sorted(str(path) for path in photos.iterdir())
    crops = work / "crops" / "queries.tsv"
    if not crops.is_file():
        make_crops(images, photos, crops)
    return Collection(name="photographs of data/", images=images, training=[], tables=[(crops, photos)], work=work)


def make_crops(images: list[str], photos: Path, table: Path) -> None:
    """Cut crops out of pictures, at random places that are always the same; the table comes last, as it says that all is there."""
    table.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["set\tquery\trelevant\tignore\toutline"]
    for path in images:
        pixels = cv2.imread(path)
        assert pixels is not None
        height, width = pixels.shape[:2]
        for name, share in SMALL_CROPS.items():
            w, h = round(width * share**0.5), round(height * share**0.5)
            x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            query = f"{name}-{Path(path).stem}.jpg"
            cv2.imwrite(str(table.parent / query), pixels[y : y + h, x : x + w], [cv2.IMWRITE_JPEG_QUALITY, 90])
            right, bottom = x + w - 1, y + h - 1
            outline = f"{x},{y} {right},{y} {right},{bottom} {x},{bottom}"
            lines.append("\t".join([name, query, str(Path(path).relative_to(photos)), "", outline]))
    table.write_text("\n".join(lines) + "\n")


def read_queries(table: Path, images: Path) -> list[Query]:
    """The queries of a table; answers are relative to `images`, queries to the folder of the table."""
    queries = []
    with open(table, newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            names = [frozenset(str(images / name) for name in row[column].split(",") if name) for column in ("relevant", "ignore")]
            outline = [[float(v) for v in pair.split(",")] for pair in row["outline"].split()] if row.get("outline") else None
            path = str(table.parent / row["query"])
            queries.append(Query(row["set"], path, names[0], names[1] | {path}, outline))
    return queries
