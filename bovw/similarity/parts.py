"""What can be compared as a whole: a collection in parts, wherever they are.

One index is a collection of one part. Each part compares all of its images with a query and tells
of the best of them; whoever asks merges these by what is global alone: similarities, ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..features.hashing import orientations
from ..features.local import FeatureSpec
from ..features.vocabulary import Vocabulary
from ..index.columns import Embedding
from ..index_reader import IndexReader
from ..search.collection import Collection
from ..search.scan import cosine_scores
from ..searcher import Searcher
from .mixture import Mixture
from .neighbours import cosines, nearest
from .result import SimilarImage
from .whole import Whole, column_of, whole_of_image

__all__ = [
    "HasWholes",
    "LocalWholes",
    "PartMatches",
    "Wholes",
    "columns_of",
    "compare_part",
    "wholes_of",
]

# From rows of a column (n, ...) and that of a query to the similarities (n,).
Compare = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True)
class PartMatches:
    """What a part of a collection says of a query.

    Attributes:
        matches: its k most similar images, best first, with paths as they are stored.
        unknown: how many images could not be compared.
    """

    matches: list[SimilarImage]
    unknown: int


class Wholes(Protocol):
    """A collection in parts, as one generation has it."""

    @property
    def spec(self) -> FeatureSpec:
        """How its pictures were extracted."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Its visual words."""

    @property
    def embeddings(self) -> Sequence[Embedding]:
        """The networks that vectors of its images are from."""

    @property
    def image_count(self) -> int:
        """Its live images."""

    @property
    def columns(self) -> frozenset[str]:
        """The optional columns that some of its images have."""

    @property
    def note(self) -> str:
        """That parts were missing when it was asked; else empty."""

    def full_path(self, path: str) -> str:
        """A path as it can be opened."""

    def image(self, name: str, weights: Mixture) -> Whole | None:
        """What is known of an image (see `whole_of_image`)."""

    def compare(
        self, whole: Whole, weights: Mixture, k: int, where: Mapping[str, Any] | None
    ) -> list[PartMatches]:
        """What each part says of a query."""


class HasWholes(Searcher, Protocol):
    """What answers queries, and has its images as such a collection: a cluster."""

    def wholes(self) -> Wholes:
        """Its present generation."""


class LocalWholes:
    """One index as a collection of one part: the generation that it is at now."""

    note = ""

    def __init__(self, index: IndexReader) -> None:
        self.collection, self.vocabulary = index._open_collection, index.vocabulary
        self._root = index._root_of(self.collection.snapshot)
        self.full_path = self._root.opener()

    @property
    def spec(self) -> FeatureSpec:
        """How its pictures were extracted."""
        return self.collection.snapshot.manifest.features

    @property
    def embeddings(self) -> Sequence[Embedding]:
        """The networks that vectors of its images are from."""
        return self.collection.snapshot.manifest.embeddings

    @property
    def image_count(self) -> int:
        """Its live images."""
        return self.collection.snapshot.image_count

    @property
    def columns(self) -> frozenset[str]:
        """The optional columns that some of its images have."""
        return columns_of(self.collection)

    def image(self, name: str, weights: Mixture) -> Whole | None:
        """What is known of an image."""
        return whole_of_image(self.collection, name, weights)

    def compare(
        self, whole: Whole, weights: Mixture, k: int, where: Mapping[str, Any] | None
    ) -> list[PartMatches]:
        """What the index says of a query."""
        return [compare_part(self.collection, whole, weights, k, where)]


def wholes_of(index: IndexReader | HasWholes) -> Wholes:
    """The collection of an index, or of a cluster, as its present generation has it."""
    return LocalWholes(index) if isinstance(index, IndexReader) else index.wholes()


def columns_of(collection: Collection) -> frozenset[str]:
    """The optional columns that some images of a part have."""
    return frozenset().union(*(segment.rows for segment in collection.snapshot.segments))


def compare_part(
    collection: Collection,
    whole: Whole,
    weights: Mixture,
    k: int,
    where: Mapping[str, Any] | None,
) -> PartMatches:
    """The k images of a part that are most similar to a query; ties go by id."""
    snapshot = collection.snapshot
    eligible = collection.searchable.copy()
    if where is not None:
        eligible &= snapshot.with_metadata(where)
    if whole.image is not None and (own := snapshot.find([whole.image])):
        eligible[own[whole.image][0]] = False
    parts, known = scores_of(collection, whole, weights)
    total = np.zeros(len(eligible), np.float32)
    for name, scores in parts.items():
        total += np.float32(weights[name]) * scores
    total /= np.float32(sum(weights[name] for name in parts) or 1)
    rows = nearest(total, eligible & known, k, lambda image: snapshot.record(image).id)
    matches = []
    for image in rows.tolist():
        record = snapshot.record(image)
        matches.append(
            SimilarImage(
                id=record.id,
                similarity=float(total[image]),
                parts={name: float(scores[image]) for name, scores in parts.items()},
                path=record.path,
                metadata=record.metadata,
                size=(record.width, record.height),
            )
        )
    return PartMatches(matches, int((eligible & ~known).sum()) if parts else 0)


def scores_of(
    collection: Collection, whole: Whole, weights: Mixture
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """How similar all images (n,) are by each measure by which the query can be compared, in their
    order; and flags of those that can be compared by any.
    """
    snapshot = collection.snapshot
    known = np.zeros(len(snapshot.alive), bool)
    parts = {}
    for measure in weights:
        if measure not in whole.measures:
            continue
        scores = np.zeros(len(known), np.float32)
        if measure == "words" and whole.words is not None:
            scores += cosine_scores(collection, whole.words).astype(np.float32)
            known[:] = True
        else:
            for first, segment in zip(
                snapshot.first_image.tolist(), snapshot.segments, strict=False
            ):
                rows = segment.optional(column_of(measure))
                if rows is not None:
                    images = slice(first, first + segment.image_count)
                    compare: Compare = equal_bits if measure == "hash" else cosines
                    scores[images] = compare(rows.values, whole.rows[measure]) * rows.known
                    known[images] |= rows.known
        parts[measure] = scores
    return parts, known


def equal_bits(hashes: NDArray[np.uint64], query: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The share of equal bits of perceptual hashes (n,) and that of a query, in its best
    orientation: (n,).
    """
    distances = [np.bitwise_count(hashes ^ turned) for turned in orientations(query[None])[0]]
    return np.asarray(1 - np.min(distances, axis=0) / 64, np.float32)
