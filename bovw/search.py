"""One search: scan, shortlist, verify; then say what was found and where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .encoding import EncodedImage
from .errors import ParameterError
from .geometry import Agreement, Matches, Tolerances, agree
from .match import Geometry, Match, Sought, match_of, matched, places, working_unit
from .scan import Tally, cosine_scores, scan
from .snapshot import Snapshot

__all__ = ["SCORINGS", "Clock", "Ranking", "SearchOptions", "describe", "rank"]

SCORINGS = ("hamming", "tfidf")
# How much an image's votes count beside the votes of its inliers.
VOTE_SHARE = 0.2
# When both sides count, scores are divided by features^power, before and after verification.
VOTE_POWER, VERIFIED_POWER = 0.4, 0.3


@dataclass(frozen=True)
class SearchOptions:
    """What a search does.

    Attributes:
        k: how many images to return at most.
        crop: the query is a part of what is sought, so the rest of an image does not count against it.
        scoring: "hamming" (Hamming embedding, the default) or "tfidf" (textbook cosine, the baseline).
        verify: so many of the best candidates are verified geometrically; 0 for none.
        words: nearest words per query feature. More finds more and scans more.
        mirror: whether the query is tried mirrored as well.
        instances: an image that shows the query several times gives up to so many matches.
    """

    k: int = 10
    crop: bool = False
    scoring: str = "hamming"
    verify: int = 100
    words: int = 4
    mirror: bool = True
    instances: int = 1

    def __post_init__(self) -> None:
        if self.scoring not in SCORINGS:
            raise ParameterError(f"scoring: {self.scoring!r} is unknown, take one of {', '.join(SCORINGS)}")
        for name, low in (("k", 1), ("verify", 0), ("words", 1), ("instances", 1)):
            if getattr(self, name) < low:
                raise ParameterError(f"{name}: {getattr(self, name)} is below {low}")


@dataclass(frozen=True)
class Ranking:
    """The best images of a search, before their places are worked out.

    Attributes:
        images: numbers in the snapshot, best first; ties go by path.
        scores: their scores.
        variants: which of the query's encodings gave the score.
        agreements: the geometric agreement with each; None where it was not verified or nothing agreed.
        matches: the tentative matches that the agreements refer to.
    """

    images: list[int]
    scores: list[float]
    variants: list[int]
    agreements: list[Agreement | None]
    matches: Matches


def rank(snapshot: Snapshot, queries: Sequence[EncodedImage], options: SearchOptions, clock: Clock | None = None) -> Ranking:
    """Rank the images of a snapshot for a query, given as one encoding or as two: as it is, and mirrored.

    The clock receives the time of each step.
    """
    clock = clock or Clock()
    parts = scan(snapshot, queries if options.scoring == "hamming" or options.verify else [])
    clock.lap("scan")
    images = len(snapshot.alive)
    scores = np.concatenate([cosine_scores(snapshot, query) for query in queries]) if options.scoring == "tfidf" else None
    tally = Tally(snapshot, queries, parts, scores)
    powers = (0.0, 0.0) if options.crop or options.scoring == "tfidf" else (VOTE_POWER, VERIFIED_POWER if options.verify else VOTE_POWER)
    shortlist = tally.best(snapshot.length_norm(powers[0]), options.verify)
    clock.lap("rank")
    matches = tentative_matches(snapshot, queries, tally, shortlist)
    agreements = agree(matches, Tolerances())
    entries = shortlist
    # by the same measure nothing beside the shortlist can come before it
    if powers[0] != powers[1] or len(np.unique(shortlist % max(images, 1))) < options.k:
        entries = np.union1d(shortlist, tally.best(snapshot.length_norm(powers[1]), options.k + len(shortlist)))
    score = (VOTE_SHARE if options.verify and options.scoring == "hamming" else 1.0) * tally.exact(entries)
    score[np.searchsorted(entries, shortlist)] += [agreement.weight if agreement else 0.0 for agreement in agreements]
    score /= snapshot.length_norm(powers[1])[entries % images]
    best = best_of(entries % images, entries // images, score)
    found = first_images(snapshot, entries[best] % images, score[best], options.k)
    verified = dict(zip(shortlist.tolist(), agreements, strict=True))
    clock.lap("verify")
    return Ranking(
        images=(entries[best][found] % images).tolist(),
        scores=score[best][found].tolist(),
        variants=(entries[best][found] // images).tolist(),
        agreements=[verified.get(entry) for entry in entries[best][found].tolist()],
        matches=matches,
    )


def best_of(images: NDArray[np.int64], variants: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The best-scored row of each image, the lower variant where they tie."""
    order = np.lexsort((variants, -scores, images))
    return order[np.concatenate(([True], np.diff(images[order]) > 0))] if len(order) else order


def first_images(snapshot: Snapshot, images: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> list[int]:
    """Which rows are the k best, best first; ties go by path."""
    rows = np.flatnonzero(scores >= np.partition(scores, -k)[-k]) if len(scores) > k else np.arange(len(scores))
    return sorted(rows.tolist(), key=lambda row: (-scores[row], snapshot.record(int(images[row])).path))[:k]


def tentative_matches(snapshot: Snapshot, queries: Sequence[EncodedImage], tally: Tally, shortlist: NDArray[np.int64]) -> Matches:
    """The matches that the scan found for the shortlisted entries, with the geometry of both sides.

    Args:
        shortlist: ascending; candidate c of the result is entry shortlist[c].
    """
    hits = tally.hits_of(shortlist)
    candidate, weight = np.searchsorted(shortlist, hits.entry), tally.weights(hits)
    order = np.lexsort((np.arange(len(candidate)), -weight, candidate))
    candidate, hits, weight = candidate[order], hits[order], weight[order]
    own, feature = (hits.pair // tally.words).astype(np.int64), hits.feature.astype(np.int64)
    place, scale, angle, side = snapshot.places(hits.entry.astype(np.int64) % max(len(snapshot.alive), 1), feature)
    geometry = Geometry(place, scale, angle, working_unit(side, snapshot.max_side))
    return matched(queries, geometry, snapshot.max_side, candidate, len(shortlist), own, feature, weight)


def describe(snapshot: Snapshot, queries: Sequence[EncodedImage], ranking: Ranking, instances: int = 1) -> list[Match]:
    """The matches of a ranking with their places, in pixels of the original pictures.

    An image that shows the query several times gives up to `instances` matches, one after the other, the best first.
    """
    found = []
    rows = zip(ranking.images, ranking.scores, ranking.variants, ranking.agreements, strict=False)
    for image, score, variant, agreement in rows:
        segment, ordinal = snapshot.locate(image)
        sought = Sought(segment.record(ordinal).path, segment.sizes[ordinal].astype(np.float64), snapshot.images, snapshot.max_side)
        match = match_of(queries[variant], sought, score, bool(variant), agreement, ranking.matches)
        found += places(queries[variant], sought, match, agreement, ranking.matches, instances) if agreement else [match]
    return found


class Clock:
    """The seconds that named steps took, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a step that began with the end of the one before."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now
