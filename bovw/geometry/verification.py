"""Geometric agreement between two pictures: from tentative matches to a transform and its inliers.

Points are complex numbers x + iy, so that a similarity (turn, scale, shift) is `a * z + b`.
Everything here is computed for many candidate images at once: matches of all candidates lie in one
flat array, grouped by candidate. Nothing here knows about indexes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import ranges

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
        affine_from: distinct inliers from which an affine transform is fitted; a similarity below.
    """

    pixels: float = 8.0
    slope: float = 0.2
    log_scale: float = 0.6
    turn: float = 0.64
    hypotheses: int = 48
    matches: int = 400
    refined: int = 3
    affine_from: int = 6


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


def verify_candidates(matches: Matches, tolerances: Tolerances) -> list[GeometricFit | None]:
    """The best agreement of each candidate, None where no three matches agree.

    Every strong match proposes the similarity that its own scale, orientation and place imply
    (Philbin et al., CVPR 2007); the proposals with most support are refined by least squares on
    their inliers (LO-RANSAC: Chum, Matas, Kittler, DAGM 2003). No random numbers: all proposals are
    tried.
    """
    starts = matches.starts()
    sizes = np.minimum(np.diff(starts), tolerances.matches)
    proposals, seeds = propose(matches, starts, sizes, tolerances)
    result: list[GeometricFit | None] = [None] * matches.count
    if not len(proposals):
        return result
    owner = matches.candidate[seeds]
    pair_proposal, pair_match = ranges(starts[owner], sizes[owner])
    inside, linear, shift = refine(matches, proposals, seeds, pair_proposal, pair_match, tolerances)
    chosen = distinct(matches, pair_proposal[inside], pair_match[inside])
    pair_proposal, pair_match = pair_proposal[inside][chosen], pair_match[inside][chosen]
    weights = np.bincount(pair_proposal, weights=matches.weight[pair_match], minlength=len(seeds))
    counts = np.bincount(pair_proposal, minlength=len(seeds))
    bounds = np.searchsorted(pair_proposal, np.arange(len(seeds) + 1))
    weights[counts < 3] = 0
    for number in np.lexsort(
        (np.arange(len(seeds)), weights)
    ):  # the best of a candidate comes last and stays
        if weights[number] > 0:
            matrix = np.eye(3)
            matrix[:2, :2], matrix[:2, 2] = linear[number], shift[number]
            inliers = pair_match[bounds[number] : bounds[number + 1]]
            result[owner[number]] = GeometricFit(float(weights[number]), inliers, matrix)
    return result


def propose(
    matches: Matches, starts: NDArray[np.int64], sizes: NDArray[np.int64], tolerances: Tolerances
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The best supported proposals: for each its support over the matches of its candidate (flat),
    and its match.
    """
    _, seeds = ranges(
        starts[:-1], np.where(sizes >= 3, np.minimum(sizes, tolerances.hypotheses), 0)
    )
    owner = matches.candidate[seeds]
    row, item = ranges(starts[owner], sizes[owner])
    scale = np.exp(matches.log_scale)
    rotation = np.exp(1j * matches.turn).astype(np.complex64)
    # single precision is plenty for a first guess, and halves the memory that these long arrays
    # move
    linear = (scale * rotation).astype(np.complex64)
    query, image = matches.query.astype(np.complex64), matches.image.astype(np.complex64)
    log_scale = matches.log_scale.astype(np.float32)
    allowed = ((tolerances.pixels * np.maximum(1, scale)) ** 2).astype(np.float32)
    seed = seeds[row]
    away = image[item] - image[seed]
    miss = linear[seed] * (query[item] - query[seed]) - away
    supports = (
        (squared(miss) < allowed[seed] + np.float32(tolerances.slope**2) * squared(away))
        & (np.abs(log_scale[item] - log_scale[seed]) < tolerances.log_scale)
        & ((rotation[item] * rotation[seed].conj()).real > np.cos(tolerances.turn))
    )
    support = np.bincount(row, weights=supports * matches.weight[item], minlength=len(seeds))
    order = np.lexsort((np.arange(len(seeds)), -support, owner))
    first = np.searchsorted(owner[order], np.arange(matches.count))
    rank = np.arange(len(order)) - first[owner[order]]
    kept = np.zeros(len(seeds), bool)
    kept[order[rank < tolerances.refined]] = True
    return supports[kept[row]], seeds[kept]


def squared(z: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """|z|^2, which spares the square root of |z|."""
    return z.real**2 + z.imag**2


def refine(
    matches: Matches,
    inside: NDArray[np.bool_],
    seeds: NDArray[np.int64],
    row: NDArray[np.int64],
    item: NDArray[np.int64],
    tolerances: Tolerances,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Three rounds of weighted least squares and re-counting, the first at twice the tolerance.

    Returns which pairs (row, item) are inliers, and the transforms: linear parts (rows, 2, 2),
    shifts (rows, 2).
    """
    count = len(seeds)
    query, image, weight = matches.query[item], matches.image[item], matches.weight[item]
    # places are counted relative to the seed, which keeps the normal equations well conditioned
    base_query, base_image = matches.query[seeds], matches.image[seeds]
    z, y = query - base_query[row], image - base_image[row]
    turn = np.exp(1j * matches.turn)
    linear, shift = np.zeros((count, 2, 2)), np.zeros((count, 2))
    for widening in (2.0, 1.0, 1.0):
        linear, shift = fit_transforms(
            z, y, np.where(inside, weight, 0.0), row, count, tolerances.affine_from
        )
        magnification = np.sqrt(np.abs(np.linalg.det(linear)))
        rotation = (linear[:, 0, 0] + linear[:, 1, 1]) + 1j * (linear[:, 1, 0] - linear[:, 0, 1])
        rotation /= np.maximum(np.abs(rotation), 1e-12)
        fitted_x = linear[row, 0, 0] * z.real + linear[row, 0, 1] * z.imag + shift[row, 0]
        fitted_y = linear[row, 1, 0] * z.real + linear[row, 1, 1] * z.imag + shift[row, 1]
        inside = (
            (
                np.hypot(fitted_x - y.real, fitted_y - y.imag)
                < widening * tolerances.pixels * np.maximum(1, magnification)[row]
            )
            & (
                np.abs(matches.log_scale[item] - np.log(np.maximum(magnification, 1e-12))[row])
                < tolerances.log_scale
            )
            & ((rotation.conj()[row] * turn[item]).real > np.cos(tolerances.turn))
        )
    moved = np.einsum("rij,rj->ri", linear, np.stack([base_query.real, base_query.imag], axis=1))
    return inside, linear, shift - moved + np.stack([base_image.real, base_image.imag], axis=1)


def fit_transforms(
    z: NDArray[np.complex128],
    y: NDArray[np.complex128],
    weight: NDArray[np.float64],
    row: NDArray[np.int64],
    count: int,
    affine_from: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted least squares z -> y for each row: affine where enough points carry it, a similarity
    elsewhere.
    """

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(row, weights=values * weight, minlength=count).astype(np.float64)

    mass = np.maximum(total(np.ones(len(z))), 1e-12)
    mean_z = np.stack([total(z.real), total(z.imag)], axis=1) / mass[:, None]
    mean_y = np.stack([total(y.real), total(y.imag)], axis=1) / mass[:, None]
    zx, zy = z.real - mean_z[row, 0], z.imag - mean_z[row, 1]
    yx, yy = y.real - mean_y[row, 0], y.imag - mean_y[row, 1]
    xx, xy_, yy_ = total(zx * zx), total(zx * zy), total(zy * zy)
    cross = np.stack(
        [
            np.stack([total(yx * zx), total(yx * zy)], axis=1),
            np.stack([total(yy * zx), total(yy * zy)], axis=1),
        ],
        axis=1,
    )
    variance = np.maximum(xx + yy_, 1e-9)
    real, imaginary = (
        (cross[:, 0, 0] + cross[:, 1, 1]) / variance,
        (cross[:, 1, 0] - cross[:, 0, 1]) / variance,
    )
    similar = np.stack(
        [np.stack([real, -imaginary], axis=1), np.stack([imaginary, real], axis=1)], axis=1
    )
    determinant = xx * yy_ - xy_ * xy_
    solid = determinant > 1e-4 * variance * variance
    inverse = np.stack([np.stack([yy_, -xy_], axis=1), np.stack([-xy_, xx], axis=1)], axis=1)
    affine = cross @ (inverse / np.where(solid, determinant, 1.0)[:, None, None])
    points = np.bincount(row, weights=weight > 0, minlength=count)
    use = solid & (points >= affine_from) & upright_enough(affine)
    linear = np.where(use[:, None, None], affine, similar)
    return linear, mean_y - np.einsum("rij,rj->ri", linear, mean_z)


def upright_enough(linear: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the linear maps (n, 2, 2) neither mirror nor stretch one direction over 3 times the
    other.
    """
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    square = (linear**2).sum(axis=(1, 2))
    # singular values s >= t: s^2 + t^2 = square, s * t = |determinant|
    return np.asarray((determinant > 0) & (square < (3 + 1 / 3) * np.abs(determinant)), np.bool_)


def distinct(
    matches: Matches, row: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which pairs remain when each feature of either side counts once a row: the strongest match of
    each.
    """
    base = int(max(matches.query_feature.max(initial=0), matches.image_feature.max(initial=0))) + 1
    _, first = np.unique(row * base + matches.query_feature[item], return_index=True)
    kept = np.sort(first)
    _, first = np.unique(row[kept] * base + matches.image_feature[item[kept]], return_index=True)
    return kept[np.sort(first)]
