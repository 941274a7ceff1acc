"""One search: scan, shortlist, verify; then say what was found and where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .encoding import EncodedImage
from .errors import ParameterError
from .geometry import Agreement, Matches, Tolerances, agree, log_false_alarms
from .place import pose, project, settle
from .scan import Tally, cosine_scores, scan
from .snapshot import Snapshot

__all__ = ["SCORINGS", "Clock", "Match", "Ranking", "SearchOptions", "describe", "rank"]

SCORINGS = ("hamming", "tfidf")
# How much an image's votes count beside the votes of its inliers.
VOTE_SHARE = 0.2
# When both sides count, scores are divided by features^power, before and after verification.
VOTE_POWER, VERIFIED_POWER = 0.4, 0.3
MAX_FALSE_ALARMS = 0.01
# Inliers count as one place within a square of so many working pixels.
PLACE = 16
# Distance in working pixels at which the final transform is judged.
SETTLE_PIXELS = 3.0


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
    """

    k: int = 10
    crop: bool = False
    scoring: str = "hamming"
    verify: int = 100
    words: int = 4
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.scoring not in SCORINGS:
            raise ParameterError(f"scoring: {self.scoring!r} is unknown, take one of {', '.join(SCORINGS)}")
        for name, low in (("k", 1), ("verify", 0), ("words", 1)):
            if getattr(self, name) < low:
                raise ParameterError(f"{name}: {getattr(self, name)} is below {low}")


@dataclass(frozen=True)
class Match:
    """An image that a search found.

    Attributes:
        image: its path: of `describe` as it is stored, of `ImageIndex.search` one that can be opened.
        score: orders the matches of one search; not comparable between searches.
        inliers: features of the query that agree geometrically with this image.
        verified: whether that agreement is hardly chance (see `log_false_alarms`: below -2).
        log_false_alarms: log10 of how many images of an index of this size would agree as well by chance.
        mirrored: whether the query had to be mirrored to agree.
        model: what explains the agreement: "similarity", "affine" or "homography"; None where nothing agreed.
        rotation: degrees in [-180, 180) by which the query is turned in the image, clockwise as pictures are seen, at the
            centre of the query and after mirroring; None where nothing agreed.
        scale: pixels of the image that a pixel of the query covers there, as a ratio of lengths; None where nothing agreed.
        outline: (4, 2) where the query's corners (top left, top right, bottom right, bottom left) lie in the image, in
            pixels of the original upright image; None where nothing agreed.
        homography: (3, 3) maps pixels of the original upright query to those of the image; None where nothing agreed.
        matched: (inliers, 4) the places that agree: x, y in the query and x, y in the image.
    """

    image: str
    score: float
    inliers: int = 0
    verified: bool = False
    log_false_alarms: float = 0.0
    mirrored: bool = False
    model: str | None = None
    rotation: float | None = None
    scale: float | None = None
    outline: NDArray[np.float64] | None = None
    homography: NDArray[np.float64] | None = None
    matched: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))


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


@dataclass(frozen=True)
class Geometry:
    """Of features: place x + iy, scale and angle (n,), in pixels of the original; and original pixels in a working pixel."""

    place: NDArray[np.complex128]
    scale: NDArray[np.float64]
    angle: NDArray[np.float64]
    unit: NDArray[np.float64]


def matched(
    queries: Sequence[EncodedImage],
    image: Geometry,
    max_side: int,
    candidate: NDArray[np.int64],
    count: int,
    own: NDArray[np.int64],
    feature: NDArray[np.int64],
    weight: NDArray[np.float64],
) -> Matches:
    """Matches of features of a query, counted through its variants, with features of images whose geometry is given."""
    xy, scales, angles = (np.concatenate([getattr(query, name) for query in queries]) for name in ("xy", "scale", "angle"))
    own_unit = working_unit(max(queries[0].box[2:]), max_side)
    return Matches(
        candidate=candidate,
        count=count,
        query=(xy[own, 0].astype(np.float64) + 1j * xy[own, 1]) / own_unit,
        image=image.place / image.unit,
        log_scale=np.log(image.scale / image.unit) - np.log(scales[own] / own_unit),
        turn=image.angle - angles[own],
        weight=weight,
        query_feature=own,
        image_feature=feature,
    )


def working_unit(side: NDArray[np.float64] | int, max_side: int) -> NDArray[np.float64]:
    """Original pixels in a working pixel, of pictures with this long side."""
    return np.asarray(np.maximum(1.0, np.asarray(side) / max_side), np.float64)


def describe(snapshot: Snapshot, queries: Sequence[EncodedImage], ranking: Ranking) -> list[Match]:
    """The matches of a ranking with their places, in pixels of the original pictures."""
    found = []
    rows = zip(ranking.images, ranking.scores, ranking.variants, ranking.agreements, strict=False)
    for image, score, variant, agreement in rows:
        segment, ordinal = snapshot.locate(image)
        sought = Sought(segment.record(ordinal).path, segment.sizes[ordinal].astype(np.float64), snapshot.images, snapshot.max_side)
        found.append(match_of(queries[variant], sought, score, bool(variant), agreement, ranking.matches))
    return found


@dataclass(frozen=True)
class Sought:
    """An image that a query is compared with: its path, its (width, height), among how many it is, and the working size."""

    path: str
    size: NDArray[np.float64]
    images: int
    max_side: int


def match_of(query: EncodedImage, sought: Sought, score: float, mirrored: bool, agreement: Agreement | None, matches: Matches) -> Match:
    """One match with its place."""
    if agreement is None:
        return Match(sought.path, score)
    unit, own_unit = (float(working_unit(int(side), sought.max_side)) for side in (sought.size.max(), max(query.box[2:])))
    own, other = matches.query[agreement.inliers], matches.image[agreement.inliers]
    points, partners = np.column_stack([own.real, own.imag]), np.column_stack([other.real, other.imag])
    corners = corners_of(query.box)
    place = settle(points, partners, agreement.matrix, corners / own_unit, SETTLE_PIXELS)
    matrix = np.diag([unit, unit, 1.0]) @ place.matrix @ np.diag([1 / own_unit, 1 / own_unit, 1.0])
    points, partners = points * own_unit, partners * unit
    if mirrored:
        flip = np.array([[-1.0, 0.0, 2 * query.box[0] + query.box[2] - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        matrix, points = matrix @ flip, project(flip, points)
    matrix /= matrix[2, 2]
    rotation, scale = pose(matrix, corners.mean(axis=0), mirrored)
    alarms = false_alarms(sought.images, agreement, matches, sought.size / unit)
    return Match(
        image=sought.path,
        score=score,
        inliers=len(agreement.inliers),
        verified=bool(alarms < np.log10(MAX_FALSE_ALARMS)),
        log_false_alarms=alarms,
        mirrored=mirrored,
        model=place.model,
        rotation=rotation,
        scale=scale,
        outline=project(matrix, corners),
        homography=matrix,
        matched=np.hstack([points, partners]),
    )


def corners_of(box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Centres of the corner pixels of a box: top left, top right, bottom right, bottom left."""
    x, y, width, height = box
    right, bottom = x + width - 1, y + height - 1
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom]], np.float64)


def false_alarms(images: int, agreement: Agreement, matches: Matches, size: NDArray[np.float64]) -> float:
    """log10 of the expected number of images, of so many in the index, that agree as well by chance.

    `size` is the width and height of the agreeing image in working pixels.
    """
    tolerances = Tolerances()
    low, high = np.searchsorted(matches.candidate, matches.candidate[agreement.inliers[0]] + np.array([0, 1]))
    tentative = min(len(np.unique(matches.query_feature[low:high])), tolerances.matches)
    radius = tolerances.pixels * max(1.0, float(np.sqrt(abs(np.linalg.det(agreement.matrix[:2, :2])))))
    chance = min(0.5, np.pi * radius**2 / size.prod()) * (tolerances.turn / np.pi) * 0.5
    alarms = log_false_alarms(distinct_places(matches, agreement.inliers), tentative, chance)
    return float((alarms + np.log(max(images, 1))) / np.log(10))


def distinct_places(matches: Matches, inliers: NDArray[np.int64]) -> int:
    """How many squares of a grid over the query hold inliers, or of one over the image, whichever is less."""
    counts = []
    for points in (matches.query[inliers], matches.image[inliers]):
        squares = np.floor(np.column_stack([points.real, points.imag]) / PLACE)
        counts.append(len(np.unique(squares, axis=0)))
    return min(counts)


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
