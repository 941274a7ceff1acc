"""Where one stored image lies in another, by their words, signatures and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import lexicographic_order, ranges
from ..features.encoding import EncodedImage
from ..geometry.certainty import log_false_alarms
from ..geometry.transform import corners_of, flip_in, project, select_transform
from ..geometry.verification import GeometricFit, Matches, Tolerances, verify_candidates
from ..pictures.working import working_area, working_unit
from ..search.match import SELECT_PIXELS, FeatureGeometry, matches_of, pairs_of
from ..search.postings import MATCH_DISTANCE
from ..search.scan import SIGMA, Hits, without_crowds

__all__ = ["LEAST_MATCHES", "Agreement", "agreements"]

# Fewer matches than this prove nothing.
LEAST_MATCHES = 6
# Distance in working pixels, times the magnification if above 1, at which features agree exactly,
# as those of copies do: of other views of a thing, fewer do.
EXACT_PIXELS = 1.0
# At this distance features agree well enough to ask whether neighbours are off alike; neighbours
# lie in one cell of a grid of so many pixels; fewer features cannot tell.
DRIFT_PIXELS, DRIFT_CELL, LEAST_DRIFTING = 3.0, 64.0, 30


@dataclass(frozen=True)
class Agreement:
    """How two images agree geometrically.

    Attributes:
        inliers: features of the one that agree exactly with features of the other.
        share: these over the features that lie where both images show something, of the image that
            has fewer there; 0 to 1.
        log_chance: log10 of how often an image agrees as well by chance (see `log_false_alarms`).
        drift: how far neighbouring features are off in one direction, in working pixels: hardly at
            all in copies, as all that edits do to the place of a feature differs from feature to
            feature; 0 where features are too few to tell.
        matrix: (3, 3) maps pixels of the first image to pixels of the second, both upright.
        mirrored: whether that mirrors.
    """

    inliers: int
    share: float
    log_chance: float
    drift: float
    matrix: NDArray[np.float64]
    mirrored: bool


def agreements(
    variants: Sequence[EncodedImage],
    others: Sequence[EncodedImage],
    max_side: int,
    least: int = LEAST_MATCHES,
) -> list[Agreement | None]:
    """How an image, given as it is and mirrored, agrees with each of some others; None where
    nothing agrees.

    Nothing here depends on the rest of a collection: the same two images always agree alike.

    Args:
        max_side: the working size of their features.
        least: others with fewer matches are not looked at.
    """
    hits = common_features(variants, others)
    counts = np.bincount(hits.candidate, minlength=len(variants) * len(others))
    candidates = np.flatnonzero(counts >= max(least, 3))
    found: list[Agreement | None] = [None] * len(others)
    if not len(candidates):
        return found
    hits = hits[np.flatnonzero(np.isin(hits.candidate, candidates))]
    matches = geometric_matches(variants, others, hits, candidates, max_side)
    sizes = np.array([others[each].size for each in (candidates % len(others)).tolist()], float)
    areas = working_area(sizes, max_side)
    fits = verify_candidates(matches, Tolerances())
    chances = log_false_alarms(matches, fits, areas, 1).tolist()
    for candidate, fit, chance in zip(candidates.tolist(), fits, chances, strict=True):
        variant, other = divmod(candidate, len(others))
        before = found[other]
        if fit is None or (before and before.log_chance <= chance):
            continue
        found[other] = described(
            variants[variant], others[other], fit, chance, matches, max_side, bool(variant)
        )
    return found


def common_features(variants: Sequence[EncodedImage], others: Sequence[EncodedImage]) -> Hits:
    """The features of the variants of an image and of other images that share a word and have close
    signatures, as a search would find them; candidate: variant * all others + other.
    """
    words = np.concatenate([each.words[:, 0] for each in variants])
    signatures = np.concatenate([each.signatures[:, 0] for each in variants])
    variant = np.repeat(np.arange(len(variants)), [len(each) for each in variants])
    other_words = np.concatenate([each.words[:, 0] for each in others])
    other_signatures = np.concatenate([each.signatures[:, 0] for each in others])
    owner = np.repeat(np.arange(len(others)), [len(each) for each in others])
    feature = np.concatenate([np.arange(len(each)) for each in others])
    is_used = np.zeros(max(words.max(initial=0), other_words.max(initial=0)) + 1, bool)
    is_used[words] = True
    rows = np.flatnonzero(is_used[other_words])
    order = np.argsort(words, kind="stable")
    ordered = words[order]
    low = np.searchsorted(ordered, other_words[rows])
    row, place = ranges(low, np.searchsorted(ordered, other_words[rows], side="right") - low)
    row, slot = rows[row], order[place]
    distance = np.bitwise_count(other_signatures[row] ^ signatures[slot])
    close = np.flatnonzero(distance <= MATCH_DISTANCE)
    row, slot, distance = row[close], slot[close], distance[close]
    candidate = variant[slot] * len(others) + owner[row]
    order = lexicographic_order(candidate, slot, feature[row])
    hits = Hits(
        candidate[order].astype(np.int32),
        slot[order].astype(np.int32),
        feature[row][order].astype(np.uint32),
        distance[order],
    )
    return without_crowds(hits)


def geometric_matches(
    variants: Sequence[EncodedImage],
    others: Sequence[EncodedImage],
    hits: Hits,
    candidates: NDArray[np.int64],
    max_side: int,
) -> Matches:
    """The geometry of both sides of some hits, strongest first, of candidates given ascending."""
    candidate = np.searchsorted(candidates, hits.candidate)
    weight = np.exp(-((hits.distance / SIGMA) ** 2))
    order = np.lexsort((-weight, candidate))
    hits, candidate, weight = hits[order], candidate[order], weight[order]
    other = hits.candidate.astype(np.int64) % len(others)
    first = np.concatenate(([0], np.cumsum([len(each) for each in others])))
    row = first[other] + hits.feature
    xy = np.concatenate([each.xy for each in others])[row].astype(np.float64)
    sizes = np.array([each.size for each in others], float)
    geometry = FeatureGeometry(
        position=xy[:, 0] + 1j * xy[:, 1],
        scale=np.concatenate([each.scale for each in others])[row].astype(np.float64),
        angle=np.concatenate([each.angle for each in others])[row].astype(np.float64),
        unit=working_unit(sizes[:, 0], sizes[:, 1], max_side)[other],
    )
    return matches_of(
        variants,
        geometry,
        max_side,
        candidate,
        len(candidates),
        hits.word_slot.astype(np.int64),
        hits.feature.astype(np.int64),
        weight,
    )


def described(
    variant: EncodedImage,
    other: EncodedImage,
    fit: GeometricFit,
    chance: float,
    matches: Matches,
    max_side: int,
    mirrored: bool,
) -> Agreement:
    """A fit, as a transform between whole pictures."""
    unit = float(working_unit(*variant.size, max_side))
    other_unit = float(working_unit(*other.size, max_side))
    points, partners = (pairs_of(side[fit.inliers]) for side in (matches.query, matches.image))
    corners = corners_of(variant.box)
    transform = select_transform(points, partners, fit.matrix, corners / unit, SELECT_PIXELS)
    matrix = np.diag([other_unit, other_unit, 1.0]) @ transform.matrix
    matrix = matrix @ np.diag([1 / unit, 1 / unit, 1.0])
    if mirrored:
        matrix = matrix @ flip_in(variant.box)
    rows = np.flatnonzero(matches.candidate == matches.candidate[fit.inliers[0]])
    inliers = agreeing_features(transform.matrix, matches, rows)
    drift = drift_of(transform.matrix, matches, rows)
    to_image = matrix @ flipped(variant, mirrored)
    within = min(
        features_inside(to_image, variant, other),
        features_inside(np.asarray(np.linalg.inv(to_image), np.float64), other, variant),
    )
    share = min(inliers / max(within, 1), 1.0)
    return Agreement(inliers, share, chance, drift, matrix / matrix[2, 2], mirrored)


def flipped(variant: EncodedImage, mirrored: bool) -> NDArray[np.float64]:
    """Maps pixels of a variant to those of the image."""
    return flip_in(variant.box) if mirrored else np.eye(3)


def agreeing_features(
    matrix: NDArray[np.float64], matches: Matches, rows: NDArray[np.int64]
) -> int:
    """How many features agree with a transform of working pixels, each of either side counted once,
    of all matches of a candidate: verifying looks at the strongest only.
    """
    close = rows[np.abs(missed_by(matrix, matches, rows)) < EXACT_PIXELS]
    own, partners = matches.query_feature[close], matches.image_feature[close]
    return int(min(len(np.unique(own)), len(np.unique(partners))))


def missed_by(
    matrix: NDArray[np.float64], matches: Matches, rows: NDArray[np.int64]
) -> NDArray[np.complex128]:
    """By how much a transform misses the partners of some matches: working pixels, over the
    magnification if above 1.
    """
    placed = project(matrix, pairs_of(matches.query[rows]))
    magnified = max(1.0, float(np.sqrt(abs(np.linalg.det(matrix[:2, :2])))))
    return (placed[:, 0] + 1j * placed[:, 1] - matches.image[rows]) / magnified


def drift_of(matrix: NDArray[np.float64], matches: Matches, rows: NDArray[np.int64]) -> float:
    """How far neighbouring features are off in one direction (see Agreement): the root of the mean
    product of what any two of a cell are off.
    """
    missed = missed_by(matrix, matches, rows)
    close = np.abs(missed) < DRIFT_PIXELS
    places, missed = matches.image[rows][close], missed[close]
    # several features of one place are one: they would agree whatever moved it
    _, first = np.unique(np.round(places), return_index=True)
    if len(first) < LEAST_DRIFTING:
        return 0.0
    places, missed = places[first], missed[first]
    cells = np.floor(places.real / DRIFT_CELL) + 1j * np.floor(places.imag / DRIFT_CELL)
    _, cell = np.unique(cells, return_inverse=True)
    count = np.bincount(cell)
    sums = np.bincount(cell, missed.real) + 1j * np.bincount(cell, missed.imag)
    products = (np.abs(sums) ** 2).sum() - (np.abs(missed) ** 2).sum()
    return float(np.sqrt(max(products, 0.0) / max((count * (count - 1)).sum(), 1)))


def features_inside(matrix: NDArray[np.float64], image: EncodedImage, other: EncodedImage) -> int:
    """How many features of an image lie in another one, given what maps its pixels there."""
    placed = project(matrix, image.xy.astype(np.float64)) + 0.5
    return int(((placed >= 0) & (placed <= other.size)).all(axis=1).sum())
