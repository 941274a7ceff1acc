"""Geometric agreement between two pictures: from tentative matches to a transform and its inliers.

Points are complex numbers x + iy, so that a similarity (turn, scale, shift) is `a * z + b`.
Everything here is computed for many candidate images at once: matches of all candidates lie in one
flat array, grouped by candidate. Nothing here knows about indexes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..arrays import ranges, rank_in_groups
from .fitting import AffineMaps, columns, fit_transforms

__all__ = ["GeometricFit", "Matches", "Tolerances", "squared", "verify_candidates"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerances:
    """How exactly matches must agree. Pixels are those of the working size.

    Attributes:
        pixels: distance between where an inlier is and where the transform puts it, times the
            magnification if above 1.
        slope: extra distance allowed to a first hypothesis, per pixel away from the match that it
            came from; the two add in squares.
        log_scale: difference of natural logarithms of scale, between a match and the transform.
        turn: difference of orientation in radians.
        hypotheses: so many of an image's strongest matches propose a transform.
        matches: so many of an image's strongest matches are looked at.
        refined: so many of an image's best hypotheses are refined.
        affine_inliers: from so many inliers on an affine transform is fitted, a similarity below.
    """

    pixels: float = 8.0
    slope: float = 0.2
    log_scale: float = 0.6
    turn: float = 0.64
    hypotheses: int = 48
    matches: int = 400
    refined: int = 3
    affine_inliers: int = 6


@dataclass(frozen=True)
class Matches:
    """Tentative matches of a query with several candidates: n in all, sorted by candidate,
    strongest first in each.

    Attributes:
        candidate: (n,) int64, which candidate, 0 .. count - 1.
        count: the number of candidates; some may have no matches.
        query: (n,) complex128, positions in the query, in working pixels.
        image: (n,) complex128, positions in the candidate, in working pixels.
        log_scale: (n,) float64, ln(scale in the image / scale in the query).
        turn: (n,) float64, orientation in the image minus orientation in the query, radians.
        weight: (n,) float64, how much a match tells.
        query_feature, image_feature: (n,) int64, which features are matched; a feature may be in
            several matches.
    """

    candidate: NDArray[np.int64]
    count: int
    query: NDArray[np.complex128]
    image: NDArray[np.complex128]
    log_scale: NDArray[np.float64]
    turn: NDArray[np.float64]
    weight: NDArray[np.float64]
    query_feature: NDArray[np.int64]
    image_feature: NDArray[np.int64]

    def starts(self) -> NDArray[np.int64]:
        """(count + 1,) where the matches of each candidate begin."""
        return np.searchsorted(self.candidate, np.arange(self.count + 1)).astype(np.int64)


@dataclass(frozen=True)
class GeometricFit:
    """The best geometric explanation of one candidate's matches.

    Attributes:
        weight: sum of the weights of its inliers, each feature of either side counted once.
        inliers: (k,) int64, numbers of the inlying matches.
        matrix: (3, 3) float64, affine, from query to image in working pixels.
    """

    weight: float
    inliers: NDArray[np.int64]
    matrix: Matrix


@dataclass(frozen=True)
class Hypotheses:
    """Transforms that a match of their candidate implies, h of them, and what may support them.

    Attributes:
        seed: (h,) int64, the match that each comes from; ascending.
        number, match: (p,) int64, all pairs of a hypothesis and a match of its candidate, sorted.
        inlying: (p,) bool, whether that match supports that hypothesis.
    """

    seed: NDArray[np.int64]
    number: NDArray[np.int64]
    match: NDArray[np.int64]
    inlying: NDArray[np.bool_]


def verify_candidates(matches: Matches, tolerances: Tolerances) -> list[GeometricFit | None]:
    """The best agreement of each candidate, None where no three matches agree.

    Every strong match proposes the similarity that its own scale, orientation and place imply
    (Philbin et al., CVPR 2007); the proposals with most support are refined by least squares on
    their inliers (LO-RANSAC: Chum, Matas, Kittler, DAGM 2003). No random numbers: all proposals are
    tried.
    """
    hypotheses = propose(matches, tolerances)
    if not len(hypotheses.seed):
        return [None] * matches.count
    hypotheses, maps = refine(matches, hypotheses, tolerances)
    return select_best(matches, hypotheses, maps)


def propose(matches: Matches, tolerances: Tolerances) -> Hypotheses:
    """The similarities that strong matches imply, those of each candidate with most support."""
    starts = matches.starts()
    sizes = np.minimum(np.diff(starts), tolerances.matches)
    proposing = np.where(sizes >= 3, np.minimum(sizes, tolerances.hypotheses), 0)
    _, seed = ranges(starts[:-1], proposing)
    implied = Implied.of(matches, tolerances)
    support = implied.supports(matches, seed, starts, sizes)
    best = top_per_group(matches.candidate[seed], support, tolerances.refined)
    seed = seed[best]
    owner = matches.candidate[seed]
    number, match = ranges(starts[owner], sizes[owner])
    inlying = np.zeros(len(match), bool)
    inlying[implied.inliers(seed[number], match)] = True
    return Hypotheses(seed, number, match, inlying)


@dataclass(frozen=True)
class Implied:
    """The similarities that matches (n,) imply, each by its own scale, orientation and place.

    Single precision is plenty for a first guess, and halves the memory that long arrays move.
    Numbers are real, and each operation is rounded by itself, so that the compiled kernel and NumPy
    agree to the bit.

    Attributes:
        log_scale: (n,) float32, as everything here.
        cosine, sine: of the turn.
        real, imaginary: of the factor of the similarity.
        query_x, query_y, image_x, image_y: the places.
        allowed: the square of the miss that is allowed at the place of the match itself.
        tolerances: (3,) of ln of the scale, the least cosine of the turn, and what is allowed more,
            for each squared pixel away.
    """

    log_scale: NDArray[np.float32]
    cosine: NDArray[np.float32]
    sine: NDArray[np.float32]
    real: NDArray[np.float32]
    imaginary: NDArray[np.float32]
    query_x: NDArray[np.float32]
    query_y: NDArray[np.float32]
    image_x: NDArray[np.float32]
    image_y: NDArray[np.float32]
    allowed: NDArray[np.float32]
    tolerances: NDArray[np.float32]

    @classmethod
    def of(cls, matches: Matches, tolerances: Tolerances) -> Implied:
        """What some matches imply."""
        scale, rotation = np.exp(matches.log_scale), np.exp(1j * matches.turn)
        linear = scale * rotation
        allowed = (tolerances.pixels * np.maximum(1, scale)) ** 2
        columns = (
            *(matches.log_scale, rotation.real, rotation.imag, linear.real, linear.imag),
            *(matches.query.real, matches.query.imag, matches.image.real, matches.image.imag),
            *(
                allowed,
                np.array([tolerances.log_scale, np.cos(tolerances.turn), tolerances.slope**2]),
            ),
        )
        return cls(*(np.ascontiguousarray(column, np.float32) for column in columns))

    def supports(
        self,
        matches: Matches,
        seed: NDArray[np.int64],
        starts: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """The sum of the weights of what agrees with each of the matches `seed` (h,): (h,).

        Args:
            starts, sizes: the matches of each candidate that are looked at.
        """
        owner = matches.candidate[seed]
        if kernel.is_there():
            columns = [getattr(self, field.name) for field in fields(self)[:-1]]
            first = starts[owner]
            return kernel.supports(
                columns, matches.weight, self.tolerances, seed, first, first + sizes[owner]
            )
        number, match = ranges(starts[owner], sizes[owner])
        rows = self.inliers(seed[number], match)
        agreeing = matches.weight[match[rows]]
        return np.bincount(number[rows], agreeing, minlength=len(seed)).astype(np.float64)

    def inliers(self, seed: NDArray[np.int64], match: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which matches (p,) agree with the similarities that other matches, the seeds (p,), imply:
        their places among these, ascending.
        """
        log_scale, least_cosine, slope = self.tolerances
        # most pairs disagree in scale or turn already
        rows = np.flatnonzero(np.abs(self.log_scale[match] - self.log_scale[seed]) < log_scale)
        match, seed = match[rows], seed[rows]
        turned = self.cosine[match] * self.cosine[seed] + self.sine[match] * self.sine[seed]
        fitting = np.flatnonzero(turned > least_cosine)
        rows, match, seed = rows[fitting], match[fitting], seed[fitting]
        x, y = self.query_x[match] - self.query_x[seed], self.query_y[match] - self.query_y[seed]
        away_x = self.image_x[match] - self.image_x[seed]
        away_y = self.image_y[match] - self.image_y[seed]
        real, imaginary = self.real[seed], self.imaginary[seed]
        miss_x = (real * x - imaginary * y) - away_x
        miss_y = (real * y + imaginary * x) - away_y
        reach = self.allowed[seed] + slope * (away_x * away_x + away_y * away_y)
        return np.asarray(rows[miss_x * miss_x + miss_y * miss_y < reach])


def top_per_group(
    group: NDArray[np.int64], score: NDArray[np.number], count: int
) -> NDArray[np.bool_]:
    """Flags of the `count` highest scores of each group, where `group` (n,) ascends: (n,).

    Ties go to the first.
    """
    return rank_in_groups(group, -score) < count


def refine(
    matches: Matches, hypotheses: Hypotheses, tolerances: Tolerances
) -> tuple[Hypotheses, AffineMaps]:
    """Three rounds of weighted least squares and re-counting, the first at twice the tolerance.

    Returns the hypotheses with the inliers of the last round, and their transforms.
    """
    seed, number, match = hypotheses.seed, hypotheses.number, hypotheses.match
    weight, log_scale = matches.weight[match], matches.log_scale[match]
    rotation = np.exp(1j * matches.turn)[match]
    # places are counted relative to the seed, which keeps the normal equations well conditioned
    query_seed, image_seed = matches.query[seed], matches.image[seed]
    z, y = matches.query[match] - query_seed[number], matches.image[match] - image_seed[number]
    inlying = hypotheses.inlying
    for widening in (2.0, 1.0, 1.0):
        rows = np.flatnonzero(inlying)
        maps = fit_transforms(
            z[rows], y[rows], weight[rows], number[rows], len(seed), tolerances.affine_inliers
        )
        magnification = maps.magnification()
        reach = widening * tolerances.pixels * np.maximum(1, magnification)
        log_magnification = np.log(np.maximum(magnification, 1e-12))
        rows = np.flatnonzero(np.abs(log_scale - log_magnification[number]) < tolerances.log_scale)
        turned = maps.rotation().conj()[number[rows]] * rotation[rows]
        rows = rows[turned.real > np.cos(tolerances.turn)]
        owner = number[rows]
        rows = rows[maps.distances(owner, z[rows], y[rows]) < reach[owner]]
        inlying = np.zeros(len(number), bool)
        inlying[rows] = True
    moved = np.einsum("hij,hj->hi", maps.linear, columns(query_seed))
    shift = maps.shift - moved + columns(image_seed)
    return replace(hypotheses, inlying=inlying), AffineMaps(maps.linear, shift)


def select_best(
    matches: Matches, hypotheses: Hypotheses, maps: AffineMaps
) -> list[GeometricFit | None]:
    """Of each candidate the hypothesis whose inliers weigh most, of at least three."""
    number, match = hypotheses.number[hypotheses.inlying], hypotheses.match[hypotheses.inlying]
    chosen = distinct(matches, number, match)
    number, match = number[chosen], match[chosen]
    count = len(hypotheses.seed)
    weights = np.bincount(number, weights=matches.weight[match], minlength=count)
    weights[np.bincount(number, minlength=count) < 3] = 0
    bounds = np.searchsorted(number, np.arange(count + 1))
    owner = matches.candidate[hypotheses.seed]
    result: list[GeometricFit | None] = [None] * matches.count
    # the best of a candidate comes last and stays
    order = np.argsort(weights, kind="stable")
    order = order[weights[order] > 0]
    for candidate, best in dict(zip(owner[order].tolist(), order.tolist(), strict=True)).items():
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = maps.linear[best], maps.shift[best]
        inliers = match[bounds[best] : bounds[best + 1]]
        result[candidate] = GeometricFit(float(weights[best]), inliers, matrix)
    return result


def distinct(
    matches: Matches, row: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which pairs (row, item) remain when each feature of either side counts once a row: the
    strongest match of each.
    """
    base = int(max(matches.query_feature.max(initial=0), matches.image_feature.max(initial=0))) + 1
    _, first = np.unique(row * base + matches.query_feature[item], return_index=True)
    kept = np.sort(first)
    _, first = np.unique(row[kept] * base + matches.image_feature[item[kept]], return_index=True)
    return kept[np.sort(first)]


def squared(z: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """|z|^2, which spares the square root of |z|."""
    return z.real**2 + z.imag**2
