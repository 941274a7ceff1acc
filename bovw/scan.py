"""The collection as one: scan the postings for matches of a query, and count votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .encoding import EncodedImage
from .segment import Segment
from .snapshot import Snapshot
from .weighting import cosine, votes

__all__ = ["Hits", "cosine_scores", "scan", "vote_scores"]

# A posting counts as a match up to this Hamming distance of its signature: 1.6 % of random ones do.
MATCH_DISTANCE = 23
SIGMA = 16.0
# Posting lists longer than this are scanned where they lie, shorter ones are gathered by the block.
LONG_LIST = 4096
BLOCK = 1_000_000


@dataclass(frozen=True)
class Hits:
    """Postings that match the query, sorted by image, query feature and feature.

    Attributes:
        query: (n,) the query's feature.
        image: (n,) the image in the snapshot.
        feature: (n,) the feature in the segment of that image.
        weight: (n,) the vote.
    """

    query: NDArray[np.int64]
    image: NDArray[np.int64]
    feature: NDArray[np.int64]
    weight: NDArray[np.float64]


def scan(snapshot: Snapshot, queries: Sequence[EncodedImage]) -> list[Hits]:
    """For each query all postings of its words whose signatures are close to its own."""
    words = np.concatenate([query.words.ravel() for query in queries]).astype(np.int64)
    signatures = np.concatenate([query.signatures.ravel() for query in queries])
    per_feature = queries[0].words.shape[1]
    bounds = np.cumsum([0, *(len(query) for query in queries)])
    parts: list[Hits] = []
    for first, segment in zip(snapshot.first_image, snapshot.segments, strict=False):
        slot, posting, distance = close_postings(segment, words, signatures)
        feature = segment.features_at(posting)
        image = segment.image_of(feature) + first
        weight = votes(snapshot.idf[words[slot]], distance, SIGMA)
        alive = snapshot.alive[image]
        parts.append(Hits((slot // per_feature)[alive], image[alive], feature[alive], weight[alive]))
    none = np.zeros(0, np.int64)
    parts = parts or [Hits(none, none, none, np.zeros(0))]
    joined = Hits(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("query", "image", "feature", "weight")))
    # one order whatever the segments: sums of weights then come out the same to the last bit
    key = (np.searchsorted(bounds, joined.query, side="right") * len(snapshot.alive) + joined.image) * int(bounds[-1]) + joined.query
    order = np.lexsort((joined.feature, key))
    ends = np.searchsorted(np.sort(joined.query), bounds)
    return [
        Hits(joined.query[rows] - start, joined.image[rows], joined.feature[rows], joined.weight[rows])
        for start, rows in zip(bounds.tolist(), np.split(order, ends[1:-1]), strict=False)
    ]


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
        runs = lengths[group]
        before = np.cumsum(runs) - runs
        posting = np.arange(int(runs.sum())) + np.repeat(starts[group] - before, runs)
        distance = np.bitwise_count(segment.posting_signatures[posting] ^ np.repeat(signatures[group], runs))
        close = np.flatnonzero(distance <= MATCH_DISTANCE)
        slots.append(np.repeat(group, runs)[close])
        postings.append(posting[close])
        distances.append(distance[close])
    return np.concatenate(slots), np.concatenate(postings), np.concatenate(distances)


def vote_scores(snapshot: Snapshot, hits: Hits) -> NDArray[np.float64]:
    """Votes of each image: a query feature votes once for an image, with its best match there.

    Against bursts of repeated structure: Jegou, Douze, Schmid, CVPR 2009.
    """
    if not len(hits.image):
        return np.zeros(len(snapshot.alive))
    first = np.concatenate(([0], np.flatnonzero((np.diff(hits.image) != 0) | (np.diff(hits.query) != 0)) + 1))
    best = np.maximum.reduceat(hits.weight, first)
    return np.bincount(hits.image[first], weights=best, minlength=len(snapshot.alive)).astype(np.float64)


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
