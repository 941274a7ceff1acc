"""The collection as one: scan the postings for matches of a query, and count votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .encoding import EncodedImage
from .segment import Segment
from .snapshot import Snapshot
from .weighting import cosine, votes

__all__ = ["Hits", "Tally", "cosine_scores", "scan"]

# A posting counts as a match up to this Hamming distance of its signature: 1.6 % of random ones do.
MATCH_DISTANCE = 23
SIGMA = 16.0
# Posting lists longer than this are scanned where they lie, shorter ones are gathered by the block.
LONG_LIST = 4096
BLOCK = 1 << 16
# Shorter ones than this, on average, are copied number by number.
TINY_LIST = 48
# Values of which only the highest is looked at first.
VALUES = 64


@dataclass(frozen=True)
class Hits:
    """Postings that match a query.

    Attributes:
        entry: (n,) which variant of the query and which image: variant * all images + image.
        query: (n,) the query's feature.
        feature: (n,) the feature in the segment of that image.
        weight: (n,) the vote.
    """

    entry: NDArray[np.int64]
    query: NDArray[np.int64]
    feature: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.integer]) -> Hits:
        return Hits(self.entry[rows], self.query[rows], self.feature[rows], self.weight[rows])


def scan(snapshot: Snapshot, queries: Sequence[EncodedImage]) -> Hits:
    """All postings of the words of some variants of a query, whose signatures are close to its own; in no special order."""
    none = np.zeros(0, np.int64)
    parts = [Hits(none, none, none, np.zeros(0))]
    if not queries:
        return parts[0]
    words = np.concatenate([query.words.ravel() for query in queries]).astype(np.int64)
    signatures = np.concatenate([query.signatures.ravel() for query in queries])
    per_feature = queries[0].words.shape[1]
    variant = np.repeat(np.arange(len(queries)), [query.words.size for query in queries])
    feature_of = np.concatenate([np.repeat(np.arange(len(query)), per_feature) for query in queries])
    vote = votes(snapshot.idf[words][:, None], np.arange(MATCH_DISTANCE + 1), SIGMA)
    for first, segment in zip(snapshot.first_image.tolist(), snapshot.segments, strict=False):
        slot, posting, distance = close_postings(segment, words, signatures)
        feature = segment.features_at(posting)
        image = segment.image_of(feature) + first
        hits = Hits(variant[slot] * len(snapshot.alive) + image, feature_of[slot], feature, vote[slot, distance])
        parts.append(hits if snapshot.all_alive else hits[np.flatnonzero(snapshot.alive[image])])
    return Hits(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Hits)))


class Tally:
    """The votes for each entry: bounds for all of them at once, exact ones for those that matter.

    A query feature votes once for an image, with its best match there: against bursts of repeated structure (Jegou,
    Douze, Schmid, CVPR 2009). Sorting all hits for that would take longer than the scan, and few images can win.

    Attributes:
        bound: (entries,) what an entry gets at most.
    """

    def __init__(self, hits: Hits, entries: int, scores: NDArray[np.float64] | None = None) -> None:
        """Args: `scores` (entries,) to count instead of votes."""
        self.hits, self.scores = hits, scores
        # a sum of the same numbers in another order may be a little larger
        self.bound = np.bincount(hits.entry, hits.weight, minlength=entries) * (1 + 1e-9) if scores is None else scores

    def hits_of(self, entries: NDArray[np.int64]) -> Hits:
        """The hits of some entries, sorted by entry, query feature and feature."""
        wanted = np.zeros(len(self.bound), bool)
        wanted[entries] = True
        hits = self.hits[np.flatnonzero(wanted[self.hits.entry])]
        return hits[np.lexsort((hits.feature, hits.query, hits.entry))]

    def exact(self, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """The votes of some entries, given ascending."""
        if self.scores is not None:
            return self.scores[entries]
        hits = self.hits_of(entries)
        if not len(hits.entry):
            return np.zeros(len(entries))
        first = np.concatenate(([0], np.flatnonzero((np.diff(hits.entry) != 0) | (np.diff(hits.query) != 0)) + 1))
        best = np.maximum.reduceat(hits.weight, first)
        return np.bincount(np.searchsorted(entries, hits.entry[first]), best, minlength=len(entries)).astype(np.float64)

    def best(self, norm: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """The `count` entries with the most votes over `norm` (images,), and all that tie with the last; ascending."""
        if not count or not len(norm):
            return np.zeros(0, np.int64)
        bound = (self.bound.reshape(-1, len(norm)) / norm).ravel()
        looked_at = 2 * count + 64
        while True:
            entries, outside = highest(bound, looked_at)
            score = self.exact(entries) / norm[entries % len(norm)]
            entries, score = entries[score > 0], score[score > 0]
            least = np.partition(score, -count)[-count] if len(score) > count else 0.0
            if outside <= least:
                return entries[score >= least]
            looked_at *= 4


def highest(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], float]:
    """Where at least the `count` highest values above 0 are, ascending; and a number that all others are below."""
    blocks = np.maximum.reduceat(values, np.arange(0, len(values), VALUES)) if len(values) else values
    if (blocks > 0).sum() <= count:
        return np.flatnonzero(values > 0), 0.0
    # so many blocks reach this, thus at least so many values
    least = float(np.partition(blocks, -count)[-count])
    return np.flatnonzero(values >= least), least


def close_postings(
    segment: Segment, words: NDArray[np.int64], signatures: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """For each (word, signature) the postings of the word within MATCH_DISTANCE.

    Returns flat arrays: which pair, which posting, at what distance. Short lists are gathered together, long ones are
    scanned in place.
    """
    starts, lengths = segment.word_starts[words], np.diff(segment.word_starts)[words]
    slots: list[NDArray[np.int64]] = []
    postings: list[NDArray[np.int64]] = []
    distances: list[NDArray[np.uint8]] = []
    for slot in np.flatnonzero(lengths > LONG_LIST).tolist():
        start = int(starts[slot])
        distance = np.bitwise_count(segment.posting_signatures[start : start + int(lengths[slot])] ^ signatures[slot])
        close = np.flatnonzero(distance <= MATCH_DISTANCE)
        slots.append(np.full(len(close), slot))
        postings.append(close + start)
        distances.append(distance[close])
    short = np.flatnonzero((lengths > 0) & (lengths <= LONG_LIST))
    cuts = np.searchsorted(np.cumsum(lengths[short]), np.arange(BLOCK, int(lengths[short].sum()), BLOCK))
    for group in np.split(short, cuts):
        ends = np.cumsum(lengths[group])
        near = lists(segment.posting_signatures, starts[group], lengths[group])
        near ^= np.repeat(signatures[group], lengths[group])
        distance = np.bitwise_count(near)
        close = np.flatnonzero(distance <= MATCH_DISTANCE)
        which = np.searchsorted(ends, close, side="right")
        slots.append(group[which])
        postings.append(close + (starts[group] + lengths[group] - ends)[which])
        distances.append(distance[close])
    return np.concatenate(slots), np.concatenate(postings), np.concatenate(distances)


def lists(signatures: NDArray[np.uint64], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Copies of the signatures of some posting lists, one after the other."""
    ends = np.cumsum(lengths)
    if not len(ends) or ends[-1] < TINY_LIST * len(ends):
        return np.asarray(signatures[np.arange(lengths.sum()) + np.repeat(starts + lengths - ends, lengths)], np.uint64)
    return np.concatenate([signatures[first:last] for first, last in zip(starts.tolist(), (starts + lengths).tolist(), strict=True)])


def cosine_scores(snapshot: Snapshot, query: EncodedImage) -> NDArray[np.float64]:
    """TF-IDF cosine between the query and each image (Sivic and Zisserman, ICCV 2003)."""
    words, counts = np.unique(query.words[:, 0], return_counts=True)
    rarity = snapshot.idf[words]
    terms = cosine(counts.astype(np.float64), np.ones(len(words)), rarity)  # of one posting; an image has several
    scores = np.zeros(len(snapshot.alive))
    for first, segment in zip(snapshot.first_image, snapshot.segments, strict=False):
        for word, weight in zip(words.tolist(), terms.tolist(), strict=True):
            low, high = segment.word_starts[word : word + 2].tolist()
            np.add.at(scores, segment.image_of(segment.features_at(slice(low, high))) + first, weight)
    lengths = snapshot.lengths * np.sqrt(((counts * rarity) ** 2).sum())
    return np.where(snapshot.alive, scores / np.maximum(lengths, 1e-12), 0.0)
