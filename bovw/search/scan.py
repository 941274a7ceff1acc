"""The collection as one: scan the postings for matches of a query, and count votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..arrays import ranges
from ..features.encoding import EncodedImage
from ..index.segment import Segment
from ..index.snapshot import Snapshot
from ..index.weighting import cosine, votes

__all__ = ["Hits", "VoteTable", "cosine_scores", "scan"]

# A posting counts as a match up to this Hamming distance of its signature: 1.6 % of random ones do.
MATCH_DISTANCE = 23
SIGMA = 16.0
# Postings that are looked at together, so that what is worked out of them stays in the processor's
# cache.
BLOCK = 1 << 16
# Postings after which what they gave is put into narrow types.
CHUNK = 1 << 24
# Posting lists of at least this length, on average over a block, are read where they lie; shorter
# ones are copied together first, and the shortest number by number.
LONG_LIST, TINY_LIST = 1024, 48
# Values of which only the highest is looked at first.
VALUES = 64


@dataclass(frozen=True)
class Hits:
    """Postings that match a query. A large query meets millions of them in a million images, so the
    types are narrow.

    Attributes:
        entry: (n,) which variant of the query and which image: variant * all images + image.
        word_slot: (n,) which feature and word of the query: feature * words per feature + place of
            the word, where features are counted through all variants.
        feature: (n,) the feature in the segment of that image.
        distance: (n,) Hamming distance of the signatures.
    """

    entry: NDArray[np.int32]
    word_slot: NDArray[np.int32]
    feature: NDArray[np.uint32]
    distance: NDArray[np.uint8]

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> Hits:
        return Hits(self.entry[rows], self.word_slot[rows], self.feature[rows], self.distance[rows])


def scan(snapshot: Snapshot, queries: Sequence[EncodedImage]) -> list[Hits]:
    """All postings of the words of some variants of a query, whose signatures are close to its own;
    in no special order.
    """
    chunks_of_hits = []
    before = 0
    for variant, query in enumerate(queries):
        words, signatures = query.words.ravel(), query.signatures.ravel()
        for first, segment in zip(snapshot.first_image.tolist(), snapshot.segments, strict=False):
            for low, high in chunks(segment.word_counts[words]):
                word_slot, posting, distance = close_postings(
                    segment, words[low:high], signatures[low:high]
                )
                word_slot += before + low
                feature = segment.features_at(posting)
                image = segment.image_of(feature)
                image += first
                kept = slice(None) if snapshot.all_alive else np.flatnonzero(snapshot.alive[image])
                image += variant * len(snapshot.alive)
                chunks_of_hits.append(
                    Hits(
                        image.astype(np.int32),
                        word_slot.astype(np.int32),
                        feature.astype(np.uint32),
                        distance,
                    )[kept]
                )
        before += len(words)
    return chunks_of_hits


def chunks(lengths: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Divide posting lists, so that those of a chunk have about CHUNK postings: the first of each,
    and the first after it.
    """
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, np.arange(CHUNK, int(ends[-1]) if len(ends) else 0, CHUNK))
    return list(pairwise([0, *cuts.tolist(), len(lengths)]))


class VoteTable:
    """The votes for each entry: bounds for all of them at once, exact ones for those that matter.

    A query feature votes once for an image, with its best match there: against bursts of repeated
    structure (Jegou, Douze, Schmid, CVPR 2009). Sorting all hits for that would take longer than
    the scan, and few images can win.

    Attributes:
        words: words per feature of the query.
        bound: (entries,) what an entry gets at most.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        queries: Sequence[EncodedImage],
        chunks_of_hits: list[Hits],
        scores: NDArray[np.float64] | None = None,
    ) -> None:
        """Args: `scores` (entries,) to count instead of votes."""
        entries = len(queries) * len(snapshot.alive)
        self.chunks_of_hits, self.scores = chunks_of_hits, scores
        self.words = queries[0].words.shape[1]
        rarity = snapshot.idf[np.concatenate([query.words.ravel() for query in queries])]
        self.vote = votes(rarity[:, None], np.arange(MATCH_DISTANCE + 1), SIGMA)
        self.bound = np.zeros(entries) if scores is None else scores
        if scores is None:
            for part in chunks_of_hits:
                first = int(
                    part.entry.min(initial=entries)
                )  # the images of one segment lie side by side
                sums = np.bincount(part.entry - first, self.weights(part))
                self.bound[first : first + len(sums)] += sums
            self.bound *= (
                1 + 1e-9
            )  # a sum of the same numbers in another order may be a little larger
        self.gathered, self.is_gathered = joined([]), np.zeros(entries, bool)

    def weights(self, hits: Hits) -> NDArray[np.float64]:
        """The vote of each hit."""
        return np.asarray(
            np.take(self.vote, hits.word_slot * self.vote.shape[1] + hits.distance), np.float64
        )

    def hits_of(self, entries: NDArray[np.int64]) -> Hits:
        """The hits of some entries, sorted by entry, feature of the query and feature."""
        if not self.is_gathered[entries].all():
            self.is_gathered[entries] = True
            hits = joined(
                [part[np.flatnonzero(self.is_gathered[part.entry])] for part in self.chunks_of_hits]
            )
            self.gathered = hits[
                np.lexsort((hits.feature, hits.word_slot // self.words, hits.entry))
            ]
        wanted = np.zeros(len(self.is_gathered), bool)
        wanted[entries] = True
        return self.gathered[np.flatnonzero(wanted[self.gathered.entry])]

    def exact(self, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """The votes of some entries, given ascending."""
        if self.scores is not None:
            return self.scores[entries]
        hits = self.hits_of(entries)
        if not len(hits.entry):
            return np.zeros(len(entries))
        own = hits.word_slot // self.words
        first = np.concatenate(
            ([0], np.flatnonzero((np.diff(hits.entry) != 0) | (np.diff(own) != 0)) + 1)
        )
        best = np.maximum.reduceat(self.weights(hits), first)
        return np.bincount(
            np.searchsorted(entries, hits.entry[first]), best, minlength=len(entries)
        ).astype(np.float64)

    def best(self, norm: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """The `count` entries with the most votes over `norm` (images,), and all that tie with the
        last; ascending.
        """
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


def joined(chunks_of_hits: list[Hits]) -> Hits:
    """Some hits as one."""
    none = Hits(
        np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint32), np.zeros(0, np.uint8)
    )
    return Hits(
        *(
            np.concatenate([getattr(part, field.name) for part in (none, *chunks_of_hits)])
            for field in fields(Hits)
        )
    )


def highest(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], float]:
    """Where at least the `count` highest values above 0 are, ascending; and a number that all
    others are below.
    """
    blocks = (
        np.maximum.reduceat(values, np.arange(0, len(values), VALUES)) if len(values) else values
    )
    if (blocks > 0).sum() <= count:
        return np.flatnonzero(values > 0), 0.0
    # so many blocks reach this, thus at least so many values
    least = float(np.partition(blocks, -count)[-count])
    return np.flatnonzero(values >= least), least


def close_postings(
    segment: Segment, words: NDArray[np.integer], signatures: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """For each (word, signature) the postings of the word within MATCH_DISTANCE.

    Returns flat arrays: which word_slot, which posting, at what distance; in the order in which the
    postings lie in the segment.
    """
    order = np.argsort(words, kind="stable")
    starts, lengths = segment.word_starts[words[order]], segment.word_counts[words[order]]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    # the lists are laid end to end, and cut into blocks: pieces of lists
    shift = starts - ends + lengths
    blocks = np.arange(0, total, BLOCK)
    cuts = np.union1d(ends, np.append(blocks, 0))
    slot = np.searchsorted(ends, cuts[:-1], side="right")
    posting, own = cuts[:-1] + shift[slot], signatures[order[slot]]
    size = min(BLOCK, total)
    near, distance, is_close = (
        np.empty(size, np.uint64),
        np.empty(size, np.uint8),
        np.empty(size, bool),
    )
    found, distances = [], []
    for first, last in pairwise([*np.searchsorted(cuts, blocks).tolist(), len(cuts) - 1]):
        at = cuts[first : last + 1] - cuts[first]
        filled = slice(0, int(at[-1]))
        differences(
            segment.posting_signatures, posting[first:last], at, own[first:last], near[filled]
        )
        np.bitwise_count(near[filled], out=distance[filled])
        np.less_equal(distance[filled], MATCH_DISTANCE, out=is_close[filled])
        rows = is_close[filled].nonzero()[0]
        distances.append(distance[rows])
        found.append(rows + cuts[first])
    close = np.concatenate(found)
    before = np.searchsorted(close, ends)
    of_each = np.diff(before, prepend=0)
    return np.repeat(order, of_each), close + np.repeat(shift, of_each), np.concatenate(distances)


def differences(
    signatures: NDArray[np.uint64],
    starts: NDArray[np.int64],
    at: NDArray[np.int64],
    own: NDArray[np.uint64],
    out: NDArray[np.uint64],
) -> None:
    """In which bits pieces of `signatures` differ from one signature each: those from starts[i]
    from own[i], to out[at[i] : at[i + 1]].
    """
    if len(out) >= LONG_LIST * len(starts):
        bounds = at.tolist()
        for start, first, last, signature in zip(
            starts.tolist(), bounds, bounds[1:], own, strict=False
        ):
            np.bitwise_xor(signatures[start : start + last - first], signature, out=out[first:last])
        return
    lengths = at[1:] - at[:-1]
    if len(out) >= TINY_LIST * len(starts):
        lists = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
        np.concatenate([signatures[first:last] for first, last in lists], out=out)
    else:
        np.take(
            signatures,
            np.arange(len(out)) + np.repeat(starts - at[:-1], lengths),
            out=out,
            mode="clip",
        )
    out ^= np.repeat(own, lengths)


def cosine_scores(snapshot: Snapshot, query: EncodedImage) -> NDArray[np.float64]:
    """TF-IDF cosine between the query and each image (Sivic and Zisserman, ICCV 2003)."""
    words, counts = np.unique(query.words[:, 0], return_counts=True)
    rarity = snapshot.idf[words]
    terms = cosine(
        counts.astype(np.float64), np.ones(len(words)), rarity
    )  # of one posting; an image has several
    scores = np.zeros(len(snapshot.alive))
    for first, segment in zip(snapshot.first_image.tolist(), snapshot.segments, strict=False):
        starts, lengths = segment.word_starts[words], segment.word_counts[words]
        for low, high in chunks(lengths):
            word, posting = ranges(starts[low:high], lengths[low:high])
            image = segment.image_of(segment.features_at(posting))
            scores[first : first + segment.image_count] += np.bincount(
                image, terms[low:high][word], minlength=segment.image_count
            )
    norm = snapshot.lengths * np.sqrt(((counts * rarity) ** 2).sum())
    return np.where(snapshot.alive, scores / np.maximum(norm, 1e-12), 0.0)
