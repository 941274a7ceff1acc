"""How certain an agreement is: how many images of an index would agree as well by chance (a
contrario).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import sorted_unique
from .verification import GeometricFit, Matches, Tolerances, squared

__all__ = ["is_certain", "log_bound", "log_false_alarms"]

Numbers = NDArray[np.float64]

# How exactly inliers agree: whichever of these distances tells most, in working pixels (times the
# magnification, if above 1). The last is that of an inlier.
RADII = (1.0, 3.0, Tolerances().pixels)
# Inliers count once in a square of so many working pixels.
CELL = 8
# Matches nearer to one another than this say nothing about how unrelated ones fall.
NEIGHBOUR = 32.0
# So many of the strongest matches are shuffled.
SHUFFLED = 150
# Squares are counted from far outside of the picture.
ORIGIN = 1 << 20
# How often orientation and scale of a match fit a transform by chance.
FITTING = Tolerances().turn / np.pi * 0.5


def log_false_alarms(
    matches: Matches, fits: Sequence[GeometricFit | None], areas: Numbers, images: int
) -> Numbers:
    """log10 of the number of images, of so many in the index, that would agree as well as each
    candidate by chance: (count,).

    A contrario (Moisan and Stival, IJCV 2004). By chance, a match agrees if its partner falls into
    the circle where the transform puts it, and orientation and scale fit. Partners fall anywhere in
    the picture with the same probability; and as those of letters, grids and other patterns do not,
    also where partners fall when the matches of this very picture exchange them. What counts is
    distinct places, and how exactly they agree. At most `images`.

    Args:
        fits: of each candidate, or None.
        areas: (count,) of the candidates in square working pixels.
    """
    log_alarms = np.zeros(matches.count)
    candidates = np.array([number for number, fit in enumerate(fits) if fit], np.int64)
    if len(candidates):
        known = [fit for fit in fits if fit]
        log_alarms[candidates] = log_chances(matches, known, candidates, areas[candidates], images)
    return np.asarray((log_alarms + np.log(max(images, 1))) / np.log(10))


def log_chances(
    matches: Matches,
    fits: Sequence[GeometricFit],
    candidates: NDArray[np.int64],
    areas: Numbers,
    images: int,
) -> Numbers:
    """ln of a bound on how often an image agrees by chance as well as each of f candidates does:
    (f,), 0 at most.

    Args:
        candidates: (f,) which candidates of `matches` the fits are of.
        areas: (f,) of these.
    """
    matrices = np.stack([fit.matrix for fit in fits])
    reach = np.maximum(1.0, np.sqrt(np.abs(np.linalg.det(matrices[:, :2, :2]))))
    cells = count_cells(matches, fits, matrices, reach)
    starts = matches.starts()
    tentative = np.minimum(np.diff(starts)[candidates], Tolerances().matches)
    uniform = uniform_share(reach, areas)
    bound = log_bound(cells, tentative, uniform * FITTING).min(axis=0)
    # nobody asks for more than one false alarm, so what is worse already needs no second model
    for number in np.flatnonzero(bound + np.log(len(RADII) * max(images, 1)) < 0):
        strongest = starts[candidates[number]] + np.arange(min(tentative[number], SHUFFLED))
        share = uniform[:, number] + shuffled_share(
            matches, strongest, matrices[number], reach[number]
        )
        bound[number] = log_bound(cells[:, number], tentative[number], share * FITTING).min()
    return np.asarray(np.minimum(bound + np.log(len(RADII)), 0.0))


def is_certain(log_alarms: Numbers | float, allowed: float) -> NDArray[np.bool_]:
    """Whether agreements of so many false alarms (log10) are verified where so many are allowed."""
    return np.asarray(log_alarms <= np.log10(allowed))


def log_bound(cells: NDArray[np.integer], matches: NDArray[np.integer], chance: Numbers) -> Numbers:
    """ln of a bound on how often so many random matches of a picture agree in so many distinct
    places, elementwise; 0 at most.

    Two places fix the transform, which may be any of C(matches, 2); each other match agrees with
    probability `chance`, and the binomial tail is bounded by exp(-n KL(k / n || chance))
    (Chernoff). Fewer than three places prove nothing.
    """
    trials, hits = np.maximum(matches - 2.0, 1.0), cells - 2.0
    chance = np.minimum(chance, 0.5)
    share = np.clip(hits / trials, 1e-12, 1 - 1e-12)
    divergence = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    choices = np.log(np.maximum(matches * (matches - 1.0) / 2, 1.0))
    return np.where(
        (hits > 0) & (share > chance), np.minimum(choices - trials * divergence, 0.0), 0.0
    )


def count_cells(
    matches: Matches, fits: Sequence[GeometricFit], matrices: Numbers, reach: Numbers
) -> NDArray[np.int64]:
    """In how many distinct places the inliers of each of f fits agree, for each radius: (radii, f).

    Args:
        matrices: (f, 3, 3) of the fits.
        reach: (f,) their magnifications, if above 1.
    """
    rows = np.concatenate([fit.inliers for fit in fits])
    owner = np.repeat(np.arange(len(fits)), [len(fit.inliers) for fit in fits])
    missed = transformed(matrices[owner], matches.query[rows]) - matches.image[rows]
    # an inlier is within the last radius, whatever refining has made of it
    distance = np.minimum(np.abs(missed) / reach[owner], RADII[-1])
    within = [distance <= radius for radius in RADII]
    return np.stack([cells_within(matches, rows[near], owner[near], len(fits)) for near in within])


def transformed(matrices: Numbers, points: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Points (n,) through affine transforms, (3, 3) or one each (n, 3, 3)."""
    x, y = (
        matrices[..., row, 0] * points.real
        + matrices[..., row, 1] * points.imag
        + matrices[..., row, 2]
        for row in (0, 1)
    )
    return np.asarray(x + 1j * y)


def cells_within(
    matches: Matches, rows: NDArray[np.int64], owner: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """In how many distinct places the matches of each owner are, in the query or in the image,
    whichever is less: (count,).
    """
    query = distinct_cells(matches.query[rows], owner, count)
    return np.minimum(query, distinct_cells(matches.image[rows], owner, count))


def distinct_cells(
    points: NDArray[np.complex128], owner: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """How many squares of a grid hold points (n,) of each owner: (count,)."""
    x = np.floor(points.real / CELL).astype(np.int64)
    y = np.floor(points.imag / CELL).astype(np.int64)
    squares = sorted_unique((owner << 42) + (x + ORIGIN << 21) + y + ORIGIN)
    return np.bincount(squares >> 42, minlength=count)


def uniform_share(reach: Numbers, areas: Numbers) -> Numbers:
    """The share of a picture that lies within each radius of a place: (radii, f).

    Args:
        reach: (f,) what the radii of each candidate are multiplied with.
        areas: (f,) of the candidates.
    """
    return np.asarray(np.pi * (np.array(RADII)[:, None] * reach) ** 2 / areas)


def shuffled_share(
    matches: Matches, rows: NDArray[np.int64], matrix: Numbers, reach: float
) -> Numbers:
    """The share of pairs of matches that lie within each radius when each has the partner of the
    other: (radii,).

    Pairs of neighbours and of matches of one feature count as missing them: where all is right,
    they agree as well.

    Args:
        rows: (n,) the matches of one candidate that are paired.
        matrix: (3, 3) its transform.
        reach: what the radii are multiplied with.
    """
    query, image, feature = matches.query[rows], matches.image[rows], matches.query_feature[rows]
    missed = squared(transformed(matrix, query)[:, None] - image) / reach**2
    neighbours = squared(query[:, None] - query) < NEIGHBOUR**2
    missed[neighbours | (feature[:, None] == feature)] = np.inf
    pairs = max(len(rows) * (len(rows) - 1), 1)
    return np.array([np.count_nonzero(missed < radius**2) / pairs for radius in RADII])
