"""What the figures are made from: the shipped pictures, an index of them, and a search in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from bovw import ImageIndex, SearchOptions
from bovw.geometry.verification import GeometricFit, Matches
from bovw.index.snapshot import newest_snapshot
from bovw.pictures.reading import Source, read_colours
from bovw.search.collection import Collection
from bovw.search.query import QueryFeatures, Variant, encode_variants, extract_query
from bovw.search.ranking import PartAnswer, answer_part
from bovw.storage.directory import Directory

from .sheet import Pixels

__all__ = ["DATA", "QUERY", "WALLS", "IndexFeatures", "Photos", "Seen", "photo_of", "photos"]

DATA = Path(__file__).resolve().parents[2] / "data"
QUERY = DATA / "query.jpg"
# The photograph that the query is a part of.
WALLS = "photos/carcassonne-walls.jpg"
# No shipped picture has a longer side.
LARGEST = 4096


@dataclass(frozen=True)
class Photos:
    """The photographs of data/, indexed.

    Attributes:
        index: its index, opened.
        collection: the same, as a search sees it.
    """

    index: ImageIndex
    collection: Collection

    def look(self, query: Source) -> Seen:
        """Ask which photograph a crop is from, and keep what a search sees on its way."""
        options = SearchOptions(crop=True)
        features = extract_query(query, self.index.spec)
        variants = encode_variants(features, self.index.vocabulary, options)
        return Seen(features, variants, answer_part(self.collection, variants, options))

    def features(self) -> IndexFeatures:
        """All features that the index holds."""
        columns: list[tuple[NDArray[np.generic], ...]] = []
        for segment in self.collection.snapshot.segments:
            for ordinal in range(segment.image_count):
                words, _ = segment.encoding_of(ordinal)
                position, scale, angle = segment.geometry_of_image(ordinal)
                image = np.full(len(words), len(columns))
                columns.append((image, words, position.real, position.imag, scale, angle))
        return IndexFeatures(*map(np.concatenate, zip(*columns, strict=True)))


@dataclass(frozen=True)
class IndexFeatures:
    """Features of an index: of each (n,) the number of its image, its word, and where it is."""

    image: NDArray[np.int64]
    word: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    scale: NDArray[np.float64]
    angle: NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """A search from the inside.

    Attributes:
        features, variants: of the query.
        answer: votes, tentative matches and fits of all candidates.
    """

    features: QueryFeatures
    variants: list[Variant]
    answer: PartAnswer

    def of(self, name: str) -> tuple[Matches, NDArray[np.int64], GeometricFit | None]:
        """The matches of all candidates, which of them are of the query as it is and an image, and
        what geometry makes of these.
        """
        verified = np.flatnonzero(self.answer.shortlisted).tolist()
        for number, candidate in enumerate(verified):
            if self.answer.variants[candidate] == 0 and self.answer.id_of(candidate) == name:
                rows = np.flatnonzero(self.answer.matches.candidate == number)
                return self.answer.matches, rows, self.answer.fits[candidate]
        raise LookupError(f"{name}: is no candidate")


@contextmanager
def photos() -> Iterator[Photos]:
    """An index of the photographs, as long as it is needed."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "photos.bovw"
        with ImageIndex.create(path, picture_root=DATA) as index:
            index.add([DATA / "photos"])
            snapshot = newest_snapshot(Directory(path), len(index.vocabulary))
            yield Photos(index, Collection(snapshot))


def photo_of(path: str | Path) -> Pixels:
    """The pixels of a picture, (h, w, 3) BGR."""
    return read_colours(path, LARGEST)[0]
