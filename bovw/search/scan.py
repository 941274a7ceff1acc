"""The collection as one: scan the postings for matches of a query, and count votes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..arrays import lexicographic_order, ranges, rank_in_groups
from ..features.encoding import EncodedImage
from ..index.segment import Segment
from ..opencv import cv2
from .collection import Collection
from .postings import MATCH_DISTANCE, close_postings
from .weighting import cosine, votes

__all__ = ["SIGMA", "Hits", "VoteTable", "cosine_scores", "least_of", "scan", "without_crowds"]

SIGMA = 16.0
# Postings after which what they gave is put into narrow types.
CHUNK = 1 << 24
# Postings that a thread is worth starting for: some milliseconds of them. On a busy machine it may
# wait longer for its turn than less work takes.
LEAST_SCANNED = 1 << 22
# Values of which only the highest is looked at first.
VALUES = 64
# A word of a feature of the query matches at most so many features of an image, the nearest ones.
CROWD = 4


@dataclass(frozen=True)
class Hits:
    """Postings that match a query: n of them. A large query meets millions of them in a million
    images, so the types are narrow.

    Attributes:
        candidate: (n,) which variant of the query and which image: variant * all images + image.
        word_slot: (n,) which word of which feature of the query: query feature * words per feature
            + rank of the word, where features are counted through all variants.
        feature: (n,) the feature in the segment of that image.
        distance: (n,) Hamming distance of the signatures.
    """

    candidate: NDArray[np.int32]
    word_slot: NDArray[np.int32]
    feature: NDArray[np.uint32]
    distance: NDArray[np.uint8]

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> Hits:
        return Hits(*(getattr(self, field.name)[rows] for field in fields(Hits)))

    @classmethod
    def joined(cls, chunks: Sequence[Hits]) -> Hits:
        """Several chunks as one."""
        columns = ([getattr(chunk, field.name) for chunk in chunks] for field in fields(Hits))
        return cls(*map(np.concatenate, columns)) if chunks else NO_HITS


NOWHERE = np.zeros(0, np.int64)
NO_HITS = Hits(
    np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint32), np.zeros(0, np.uint8)
)


def scan(collection: Collection, variants: Sequence[EncodedImage]) -> list[Hits]:
    """All postings of the words of some variants of a query, whose signatures are close to its own;
    as chunks, each of images of one segment, in no special order. Words below 0 are none.
    """
    snapshot = collection.snapshot
    words, signatures = (
        np.concatenate([getattr(query, name).ravel() for query in variants])
        for name in ("words", "signatures")
    )
    # one sort for all segments; lists of one word follow one another
    slots = np.flatnonzero(words >= 0).astype(np.int32)
    slots = slots[np.argsort(words[slots], kind="stable")]
    words, signatures = words[slots], signatures[slots]
    # what is added to an image's number to make a candidate of it
    lengths = [query.words.size for query in variants]
    added = np.repeat(np.arange(len(variants)) * len(snapshot.alive), lengths)[slots]

    def look(first_image: int, segment: Segment, low: int, high: int) -> Hits:
        number, posting, distance = close_postings(segment, words[low:high], signatures[low:high])
        number += low
        feature = segment.features_at(posting)
        image = segment.image_of(feature)
        image += first_image
        kept: NDArray[np.int64] | slice = slice(None)
        if not collection.all_searchable:
            kept = np.flatnonzero(collection.searchable[image])
        image += added[number]
        hits = Hits(image.astype(np.int32), slots[number], feature.astype(np.uint32), distance)
        return without_crowds(hits[kept])

    counts = [segment.word_counts[words] for segment in snapshot.segments]
    for segment, count in zip(snapshot.segments, counts, strict=True):
        kernel.read_ahead(segment.posting_signatures, segment.word_starts[words], count)
    total = sum(int(each.sum()) for each in counts)
    threads = max(1, min(cv2.getNumThreads(), total // LEAST_SCANNED))
    pieces = [
        (first, segment, low, high)
        for first, segment, count in zip(
            snapshot.first_image.tolist(), snapshot.segments, counts, strict=False
        )
        for low, high in chunks_of(count, min(CHUNK, total // threads + 1))
    ]
    if threads == 1:
        return [look(*piece) for piece in pieces]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda piece: look(*piece), pieces))


def without_crowds(hits: Hits) -> Hits:
    """Hits, of which only the CROWD nearest remain where a word of a feature has more in one image;
    ties go to the first.

    Letters, windows and leaves match one another in an image a hundredfold: that says nothing about
    places, and would take most of the time of a search.

    Args:
        hits: those of one slot and image follow one another.
    """
    is_first = (np.diff(hits.word_slot) != 0) | (np.diff(hits.candidate) != 0)
    starts = np.flatnonzero(np.concatenate(([True], is_first))) if len(hits.candidate) else NOWHERE
    sizes = np.diff(np.append(starts, len(hits.candidate)))
    crowded = np.flatnonzero(sizes > CROWD)
    if not len(crowded):
        return hits
    crowd, row = ranges(starts[crowded], sizes[crowded])
    kept = np.ones(len(hits.candidate), bool)
    kept[row[rank_in_groups(crowd, hits.distance[row]) >= CROWD]] = False
    return hits[np.flatnonzero(kept)]


def chunks_of(lengths: NDArray[np.int64], size: int) -> list[tuple[int, int]]:
    """Divide posting lists, so that those of a chunk have about so many postings: the first of
    each, and the first after it.
    """
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, np.arange(size, int(ends[-1]) if len(ends) else 0, size))
    return list(pairwise([0, *cuts.tolist(), len(lengths)]))


class VoteTable:
    """The votes for each candidate: bounds for all at once, exact ones for those that matter.

    A query feature votes once for an image, with its best match there: against bursts of repeated
    structure (Jegou, Douze, Schmid, CVPR 2009). Sorting all hits for that would take longer than
    the scan, and few images can win.

    Attributes:
        words: words per feature of the query.
        bound: (candidates,) what a candidate gets at most.
    """

    def __init__(
        self,
        collection: Collection,
        variants: Sequence[EncodedImage],
        chunks: Sequence[Hits],
        scores: NDArray[np.float64] | None = None,
    ) -> None:
        """Args: `scores` (candidates,) to count instead of votes."""
        candidates = len(variants) * len(collection.searchable)
        self.words = variants[0].words.shape[1]
        self._chunks, self._scores = chunks, scores
        rarity = collection.statistics.idf[
            np.concatenate([each.words.ravel() for each in variants])
        ]
        self._vote = votes(rarity[:, None], np.arange(MATCH_DISTANCE + 1), SIGMA)
        self.bound = np.zeros(candidates) if scores is None else scores
        if scores is None:
            for hits in chunks:
                np.add.at(self.bound, hits.candidate, self.weights(hits))
            # a sum of the same numbers in another order may be a little larger
            self.bound *= 1 + 1e-9
        self._gathered, self._is_gathered = NO_HITS, np.zeros(candidates, bool)

    def weights(self, hits: Hits) -> NDArray[np.float64]:
        """The vote of each hit."""
        place = hits.word_slot * self._vote.shape[1] + hits.distance
        return np.asarray(np.take(self._vote, place), np.float64)

    def hits_of(self, candidates: NDArray[np.int64]) -> Hits:
        """The hits of some candidates, sorted by candidate, feature of the query and feature."""
        if not self._is_gathered[candidates].all():
            self._is_gathered[candidates] = True
            kept = [
                hits[np.flatnonzero(self._is_gathered[hits.candidate])] for hits in self._chunks
            ]
            hits = Hits.joined(kept)
            query_feature = hits.word_slot // self.words
            self._gathered = hits[lexicographic_order(hits.candidate, query_feature, hits.feature)]
        wanted = np.zeros(len(self._is_gathered), bool)
        wanted[candidates] = True
        return self._gathered[np.flatnonzero(wanted[self._gathered.candidate])]

    def exact(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """The votes of some candidates, given ascending."""
        if self._scores is not None:
            return self._scores[candidates]
        hits = self.hits_of(candidates)
        if not len(hits.candidate):
            return np.zeros(len(candidates))
        query_feature = hits.word_slot // self.words
        is_first = (np.diff(hits.candidate) != 0) | (np.diff(query_feature) != 0)
        first = np.concatenate(([0], np.flatnonzero(is_first) + 1))
        best = np.maximum.reduceat(self.weights(hits), first)
        owner = np.searchsorted(candidates, hits.candidate[first])
        return np.bincount(owner, best, minlength=len(candidates)).astype(np.float64)

    def best(self, norm: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """The `count` candidates with the most votes over `norm` (images,), and all that tie with
        the last; ascending. None has no votes.
        """
        if not count or not len(norm):
            return np.zeros(0, np.int64)
        bound = (self.bound.reshape(-1, len(norm)) / norm).ravel()
        looked_at = 2 * count + 64
        while True:
            candidates, outside = highest(bound, looked_at)
            score = self.exact(candidates) / norm[candidates % len(norm)]
            candidates, score = candidates[score > 0], score[score > 0]
            least = least_of(score, count)
            if outside <= least:
                return candidates[score >= least]
            looked_at *= 4


def least_of(scores: NDArray[np.float64], count: int) -> float:
    """The lowest of the `count` highest scores; 0 if there are no more than these."""
    return float(np.partition(scores, -count)[-count]) if len(scores) > count else 0.0


def highest(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], float]:
    """Where at least the `count` highest values above 0 are, ascending; and a number that all
    others are below.
    """
    starts = np.arange(0, len(values), VALUES)
    blocks = np.maximum.reduceat(values, starts) if len(values) else values
    if (blocks > 0).sum() <= count:
        return np.flatnonzero(values > 0), 0.0
    # so many blocks reach this, thus at least so many values
    least = float(np.partition(blocks, -count)[-count])
    return np.flatnonzero(values >= least), least


def cosine_scores(
    collection: Collection, words_of_query: NDArray[np.integer]
) -> NDArray[np.float64]:
    """TF-IDF cosine between the query, given as the words (n,) of its features, and each image
    (Sivic and Zisserman, ICCV 2003): (images,); 0 for those that are not searchable.
    """
    snapshot = collection.snapshot
    words, counts = np.unique(words_of_query, return_counts=True)
    rarity = collection.statistics.idf[words]
    # of one posting; an image has several
    terms = cosine(counts.astype(np.float64), np.ones(len(words)), rarity)
    scores = np.zeros(len(snapshot.alive))
    for first, segment in zip(snapshot.first_image.tolist(), snapshot.segments, strict=False):
        starts, lengths = segment.word_starts[words], segment.word_counts[words]
        for low, high in chunks_of(lengths, CHUNK):
            word, posting = ranges(starts[low:high], lengths[low:high])
            image = segment.image_of(segment.features_at(posting))
            sums = np.bincount(image, terms[low:high][word], minlength=segment.image_count)
            scores[first : first + segment.image_count] += sums
    norm = collection.tfidf_lengths * np.sqrt(((counts * rarity) ** 2).sum())
    return np.where(collection.searchable, scores / np.maximum(norm, 1e-12), 0.0)
