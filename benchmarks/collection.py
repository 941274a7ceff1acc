"""The pictures that the benchmarks search and the queries they ask, with the answers.

Two collections: the development pictures (3,005 photographs at ../shared/data or $BOVW_BENCH_DATA,
not public), and the photographs of data/ for a quick run anywhere, with crops as queries.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from bovw import ImageIndex, Vocabulary
from bovw.evaluation.perturbation import PERTURBATIONS, Perturbation, outline_of, perturbed
from bovw.evaluation.truth import GroundTruth, Query, read_queries, write_queries
from bovw.pictures.reading import read_colours

HERE = Path(__file__).resolve().parents[1]
SMALL_CROPS = {"crop25": PERTURBATIONS["crop 25 %"], "crop10": PERTURBATIONS["crop 10 %"]}
# What is asked for pictures that are not indexed.
NEGATIVES = {
    name: PERTURBATIONS[name]
    for name in ("crop 50 %", "crop 25 %", "crop 10 %", "crop 2 %", "mirrored", "all of it")
}
# The photographs of data/ are smaller.
MAX_SIDE = 2048


@dataclass(frozen=True)
class Collection:
    """Pictures to search, and queries.

    Attributes:
        name: what a report calls it.
        images: the pictures that are sought, and others of their kind.
        training: pictures that a vocabulary may be trained on; they are in the database as well.
        others: pictures that the collection does without where negatives are asked for.
        tables: tables of queries, each with the folder that its answers are relative to. The first
            holds the crops.
        work: a folder for what benchmarks make and use again.
    """

    name: str
    images: list[str]
    training: list[str]
    others: list[str]
    tables: list[tuple[Path, Path]]
    work: Path

    @cached_property
    def truths(self) -> list[GroundTruth]:
        """The ground truth of each table."""
        return [read_queries(table, images) for table, images in self.tables]

    @cached_property
    def queries(self) -> list[Query]:
        """All queries, with their answers as absolute paths."""
        return [with_paths(query, truth.folder) for truth in self.truths for query in truth.queries]

    @cached_property
    def crops(self) -> list[Query]:
        """The queries that are crops."""
        return [query for query in self.queries if query.outline]

    def negatives(self) -> list[tuple[str, list[str], GroundTruth]]:
        """Queries without an answer, twice: a name, pictures that the index must not hold, and
        queries that show just these.
        """
        table = self.work / "negatives" / "queries.tsv"
        if not table.is_file():
            make_crops(self.others, Path("/"), table, NEGATIVES)
        without = frozenset(self.others)
        rest = [query for query in self.queries if not query.relevant & without]
        asked = [read_queries(table, Path("/")).queries, rest]
        removed = [self.others, sorted({*self.images, *self.training} - without)]
        return [
            (
                name,
                paths,
                GroundTruth(
                    [replace(query, relevant=frozenset(), ignore=frozenset()) for query in queries],
                    "/",
                ),
            )
            for name, paths, queries in zip(("others", "images"), removed, asked, strict=True)
        ]

    def index(self, features: str = "rootsift") -> Path:
        """An index of all pictures with the vocabulary that bovw ships, made once."""
        path = self.work / f"{features}.bovw"
        clock = time.perf_counter()
        vocabulary = Vocabulary.shipped(features)
        with (
            ImageIndex.open(path) if path.exists() else ImageIndex.create(path, vocabulary) as index
        ):
            report = index.add([*self.images, *self.training], jobs=2)
            seconds = time.perf_counter() - clock
            print(
                f"index: {len(index)} images, {report.added} added, "
                f"{len(report.failed)} failed, {seconds:.0f} s",
                file=sys.stderr,
            )
        return path


def data_folder() -> Path | None:
    """Where the development pictures are, if they are there."""
    folder = Path(
        os.environ.get("BOVW_BENCH_DATA", HERE.parent / "shared" / "data")
    ).resolve()  # bovw names true places
    return folder if (folder / "dev" / "db.txt").is_file() else None


def development(data: Path, work: Path) -> Collection:
    """The development pictures."""
    work = work / "development"
    crops = work / "crops" / "queries.tsv"
    if not crops.is_file():
        tool = data.parent / "tools" / "make_queries.py"
        subprocess.run(
            [sys.executable, str(tool), str(data / "dev"), str(crops.parent)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    training = sorted(str(path) for path in (data / "train").iterdir())
    return Collection(
        name="development pictures",
        images=[
            str(data / "dev" / line)
            for line in (data / "dev" / "db.txt").read_text().split("\n")
            if line
        ],
        training=training,
        others=training,
        tables=[(crops, data / "dev"), (data / "dev" / "queries.tsv", data / "dev")],
        work=work,
    )


def small(work: Path) -> Collection:
    """Every fifth photograph of data/, with crops of them."""
    work, photos = work / "small", HERE / "data" / "photos"
    images = sorted(str(path) for path in photos.iterdir())[::5]
    crops = work / "crops" / "queries.tsv"
    if not crops.is_file():
        make_crops(images, photos, crops, SMALL_CROPS)
    return Collection(
        "photographs of data/",
        images=images,
        training=[],
        others=images[::2],
        tables=[(crops, photos)],
        work=work,
    )


def make_crops(
    images: list[str], photos: Path, table: Path, perturbations: dict[str, Perturbation]
) -> None:
    """Cut crops out of pictures, at random places that are always the same; the table comes last,
    as it says that all is there.
    """
    table.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    queries = []
    for path in images:
        pixels, _ = read_colours(path, MAX_SIDE)
        for name, perturbation in perturbations.items():
            pixels_of_query, homography = perturbed(pixels, perturbation, rng)
            query = f"{name}-{Path(path).stem}.png".replace(" %", "").replace(" ", "-")
            cv2.imwrite(str(table.parent / query), pixels_of_query)
            corners = outline_of(pixels_of_query.shape[1::-1], homography).tolist()
            outline = tuple((x, y) for x, y in corners)
            answer = frozenset([str(Path(path).relative_to(photos))])
            queries.append(Query(query, name, str(table.parent / query), answer, outline=outline))
    write_queries(table, GroundTruth(queries, str(photos)))


def with_paths(query: Query, folder: str) -> Query:
    """A query whose answers are absolute paths."""
    relevant, ignore = (
        frozenset(os.path.normpath(os.path.join(folder, name)) for name in names)
        for names in (query.relevant, query.ignore)
    )
    return replace(query, relevant=relevant, ignore=ignore)
