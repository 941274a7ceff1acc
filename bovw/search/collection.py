"""What a search looks at: a snapshot, or a part of it, with the statistics of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..arrays import list_blocks
from ..index.snapshot import Snapshot
from .weighting import idf, length_norm

__all__ = ["Collection", "Statistics"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a search must know of a whole collection. A part that is searched with the statistics of
    the whole gives its images the scores that they have there.

    Attributes:
        image_count: live images.
        document_frequencies: (W,) int64, how many of them have each word.
    """

    image_count: int
    document_frequencies: NDArray[np.int64]

    @classmethod
    def of(cls, snapshots: Sequence[Snapshot]) -> Statistics:
        """Those of some snapshots together, which have the same vocabulary."""
        counts = np.sum([snapshot.document_frequencies for snapshot in snapshots], axis=0)
        return cls(sum(snapshot.image_count for snapshot in snapshots), counts)

    @cached_property
    def idf(self) -> NDArray[np.float64]:
        """(W,) the inverse document frequency of each word."""
        return idf(self.document_frequencies, self.image_count)


class Collection:
    """A snapshot as a search sees it.

    Attributes:
        snapshot: where the images are.
        statistics: of the collection that scores are made for: this snapshot, or one that it is a
            part of.
        searchable: (all images,) flags of the images that may be found.
        all_searchable: whether these are all.
    """

    def __init__(self, snapshot: Snapshot, statistics: Statistics | None = None) -> None:
        self.snapshot = snapshot
        self.statistics = statistics or Statistics.of([snapshot])
        self.searchable = snapshot.alive
        self.all_searchable = bool(self.searchable.all())
        self._lengths: dict[float | str, NDArray[np.float64]] = {}

    def restricted_to(self, images: NDArray[np.bool_]) -> Collection:
        """The same with some images only, given as (all images,) flags. The statistics stay."""
        restricted = Collection(self.snapshot, self.statistics)
        restricted.searchable = self.searchable & images
        restricted.all_searchable = False
        restricted._lengths = self._lengths
        return restricted

    def length_norm(self, power: float) -> NDArray[np.float64]:
        """(all images,) what scores are divided by (see `weighting.length_norm`), made once."""
        if power not in self._lengths:
            self._lengths[power] = length_norm(self.snapshot.feature_counts, power)
        return self._lengths[power]

    @property
    def tfidf_lengths(self) -> NDArray[np.float64]:
        """(all images,) the Euclidean length of each image's TF-IDF vector, worked out once."""
        if "tfidf" not in self._lengths:
            self._lengths["tfidf"] = self._measure_tfidf()
        return self._lengths["tfidf"]

    def _measure_tfidf(self) -> NDArray[np.float64]:
        """The lengths of the TF-IDF vectors, in bounded memory."""
        snapshot, weights = self.snapshot, self.statistics.idf
        squares = np.zeros(len(snapshot.alive))
        for first, segment in zip(snapshot.first_image, snapshot.segments, strict=False):
            for words in list_blocks(segment.word_starts):
                word, feature = segment.read_postings(*words)
                key = word * segment.image_count + segment.image_of(feature)
                key, count = np.unique(key, return_counts=True)
                weight = (count * weights[key // segment.image_count]) ** 2
                image = key % segment.image_count + first
                squares += np.bincount(image, weights=weight, minlength=len(squares))
        return np.sqrt(squares)
