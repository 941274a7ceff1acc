"""One search: scan, shortlist, verify; then say what was found and where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError
from ..features.encoding import EncodedImage
from ..geometry.certainty import is_certain, log_false_alarms
from ..geometry.verification import GeometricFit, Matches, Tolerances, verify_candidates
from ..index.snapshot import Snapshot
from .match import (
    CandidateFit,
    Geometry,
    Match,
    Target,
    find_instances,
    match_of,
    matched,
    working_unit,
)
from .scan import VoteTable, cosine_scores, scan

__all__ = ["SCORINGS", "Clock", "Ranking", "SearchOptions", "describe", "rank", "require_rate"]

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
        crop: the query is a part of what is sought, so the rest of an image does not count against
            it.
        scoring: "hamming" (Hamming embedding, the default) or "tfidf" (textbook cosine, the
            baseline).
        verify_top: so many of the best candidates are verified geometrically; 0 for none.
        words_per_feature: nearest words per query feature. More finds more and scans more.
        mirror: whether the query is tried mirrored as well.
        instances: an image that shows the query several times gives up to so many matches.
        false_alarms: a match is verified if no more images than this, of an index of this size,
            would agree as well by chance: at most about one wrong yes in 1 / false_alarms queries
            (docs/reliability.md). Verified matches come first.
    """

    k: int = 10
    crop: bool = False
    scoring: str = "hamming"
    verify_top: int = 100
    words_per_feature: int = 4
    mirror: bool = True
    instances: int = 1
    false_alarms: float = 0.01

    def __post_init__(self) -> None:
        if self.scoring not in SCORINGS:
            raise ParameterError(
                f"scoring: {self.scoring!r} is unknown, take one of {', '.join(SCORINGS)}"
            )
        for name, low in (("k", 1), ("verify_top", 0), ("words_per_feature", 1), ("instances", 1)):
            if getattr(self, name) < low:
                raise ParameterError(f"{name}: {getattr(self, name)} is below {low}")
        require_rate(self.false_alarms)


def require_rate(false_alarms: float) -> None:
    """Raise ParameterError unless so many false alarms can be asked for."""
    if not 0 < false_alarms <= 1:
        raise ParameterError(f"false_alarms: {false_alarms} is not above 0 and at most 1")


@dataclass(frozen=True)
class Ranking:
    """The best images of a search, before their places are worked out.

    Attributes:
        image_ids: numbers in the snapshot, best first: the verified ones, then the others, each by
            score; ties go by path.
        scores: their scores.
        variants: which of the query's encodings gave the score.
        fits: the geometric agreement with each; None where there was none, or none was looked for.
        log_false_alarms: how many images would agree as well by chance.
        matches: the tentative matches that the agreements refer to.
    """

    image_ids: list[int]
    scores: list[float]
    variants: list[int]
    fits: list[GeometricFit | None]
    log_false_alarms: list[float]
    matches: Matches


def rank(
    snapshot: Snapshot,
    queries: Sequence[EncodedImage],
    options: SearchOptions,
    clock: Clock | None = None,
) -> Ranking:
    """Rank the images of a snapshot for a query, given as one encoding or as two: as it is, and
    mirrored.

    The clock receives the time of each step.
    """
    clock = clock or Clock()
    parts = scan(snapshot, queries if options.scoring == "hamming" or options.verify_top else [])
    clock.lap("scan")
    images = len(snapshot.alive)
    scores = (
        np.concatenate([cosine_scores(snapshot, query) for query in queries])
        if options.scoring == "tfidf"
        else None
    )
    table = VoteTable(snapshot, queries, parts, scores)
    powers = (
        (0.0, 0.0)
        if options.crop or options.scoring == "tfidf"
        else (VOTE_POWER, VERIFIED_POWER if options.verify_top else VOTE_POWER)
    )
    shortlist = table.best(snapshot.length_norm(powers[0]), options.verify_top)
    clock.lap("rank")
    matches = tentative_matches(snapshot, queries, table, shortlist)
    fits = verify_candidates(matches, Tolerances())
    areas = np.array(
        [target_image(snapshot, entry % images, options).area for entry in shortlist.tolist()]
    )
    alarms = log_false_alarms(matches, fits, areas, snapshot.image_count)
    entries = shortlist
    # by the same measure nothing beside the shortlist can come before it; an image may take an
    # entry as it is and one mirrored
    if powers[0] != powers[1] or len(np.unique(shortlist % max(images, 1))) < options.k:
        entries = np.union1d(
            shortlist,
            table.best(snapshot.length_norm(powers[1]), options.k * len(queries) + len(shortlist)),
        )
    score = (
        VOTE_SHARE if options.verify_top and options.scoring == "hamming" else 1.0
    ) * table.exact(entries)
    score[np.searchsorted(entries, shortlist)] += [fit.weight if fit else 0.0 for fit in fits]
    score /= snapshot.length_norm(powers[1])[entries % images]
    verified = np.isin(entries, shortlist[is_certain(alarms, options.false_alarms)])
    best = best_of(entries % images, entries // images, verified, score)
    found = best[
        first_images(snapshot, entries[best] % images, verified[best], score[best], options.k)
    ]
    chosen = entries[found].tolist()
    known = {entry: number for number, entry in enumerate(shortlist.tolist())}
    clock.lap("verify")
    return Ranking(
        image_ids=[entry % images for entry in chosen],
        scores=score[found].tolist(),
        variants=[entry // images for entry in chosen],
        fits=[fits[known[entry]] if entry in known else None for entry in chosen],
        log_false_alarms=[
            float(alarms[known[entry]]) if entry in known else np.inf for entry in chosen
        ],
        matches=matches,
    )


def best_of(
    images: NDArray[np.int64],
    variants: NDArray[np.int64],
    verified: NDArray[np.bool_],
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The best row of each image: verified, then of higher score, then of the lower variant."""
    order = np.lexsort((variants, -scores, ~verified, images))
    return order[np.concatenate(([True], np.diff(images[order]) > 0))] if len(order) else order


def first_images(
    snapshot: Snapshot,
    images: NDArray[np.int64],
    verified: NDArray[np.bool_],
    scores: NDArray[np.float64],
    k: int,
) -> list[int]:
    """Which rows are the k best, best first: verified, then of higher score; ties go by path."""
    order = np.lexsort((-scores, ~verified))
    if len(order) > k:
        last = order[k - 1]
        order = order[
            (verified[order] > verified[last])
            | ((verified[order] == verified[last]) & (scores[order] >= scores[last]))
        ]
    return sorted(
        order.tolist(),
        key=lambda row: (not verified[row], -scores[row], snapshot.record(int(images[row])).path),
    )[:k]


def tentative_matches(
    snapshot: Snapshot,
    queries: Sequence[EncodedImage],
    table: VoteTable,
    shortlist: NDArray[np.int64],
) -> Matches:
    """The matches that the scan found for the shortlisted entries, with the geometry of both sides.

    Args:
        shortlist: ascending; candidate c of the result is entry shortlist[c].
    """
    hits = table.hits_of(shortlist)
    candidate, weight = np.searchsorted(shortlist, hits.entry), table.weights(hits)
    order = np.lexsort((np.arange(len(candidate)), -weight, candidate))
    candidate, hits, weight = candidate[order], hits[order], weight[order]
    own, feature = (hits.word_slot // table.words).astype(np.int64), hits.feature.astype(np.int64)
    position, scale, angle, side = snapshot.geometry_of(
        hits.entry.astype(np.int64) % max(len(snapshot.alive), 1), feature
    )
    geometry = Geometry(position, scale, angle, working_unit(side, snapshot.max_side))
    return matched(
        queries, geometry, snapshot.max_side, candidate, len(shortlist), own, feature, weight
    )


def describe(
    snapshot: Snapshot, queries: Sequence[EncodedImage], ranking: Ranking, options: SearchOptions
) -> list[Match]:
    """The matches of a ranking with their places, in pixels of the original pictures.

    An image that shows the query several times gives up to `options.instances` matches, one after
    the other, the best first.
    """
    described = []
    rows = zip(
        ranking.image_ids,
        ranking.scores,
        ranking.variants,
        ranking.fits,
        ranking.log_false_alarms,
        strict=False,
    )
    for image, score, variant, fit, alarms in rows:
        target = replace(target_image(snapshot, image, options), path=snapshot.record(image).path)
        match = match_of(
            queries[variant],
            target,
            CandidateFit(score, bool(variant), fit, alarms),
            ranking.matches,
        )
        described += (
            find_instances(queries[variant], target, match, fit, ranking.matches, options.instances)
            if fit
            else [match]
        )
    return described


def target_image(snapshot: Snapshot, image: int, options: SearchOptions) -> Target:
    """What an agreement with an image is judged by, without its path."""
    segment, ordinal = snapshot.locate(image)
    return Target(
        "",
        segment.sizes[ordinal].astype(np.float64),
        snapshot.image_count,
        snapshot.max_side,
        options.false_alarms,
    )


class Clock:
    """The seconds that named steps took, one after the other."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a step that began with the end of the one before."""
        now = time.perf_counter()
        self.timings[name] = self.timings.get(name, 0.0) + now - self.last
        self.last = now
