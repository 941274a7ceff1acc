"""Least squares for many sets of matched points at once: the affine transforms that fit them.

Points are complex numbers x + iy; all points of all sets lie in flat arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AffineMaps", "columns", "fit_transforms"]


@dataclass(frozen=True)
class AffineMaps:
    """Affine transforms z -> linear z + shift, h of them.

    Attributes:
        linear: (h, 2, 2) float64.
        shift: (h, 2) float64.
    """

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]

    def magnification(self) -> NDArray[np.float64]:
        """The factor of lengths of each: (h,)."""
        return np.asarray(np.sqrt(np.abs(np.linalg.det(self.linear))))

    def rotation(self) -> NDArray[np.complex128]:
        """The rotation nearest to each, as a number of length 1: (h,)."""
        (a, b), (c, d) = self.linear.transpose(1, 2, 0)
        rotation = (a + d) + 1j * (c - b)
        return np.asarray(rotation / np.maximum(np.abs(rotation), 1e-12))

    def distances(
        self, number: NDArray[np.int64], z: NDArray[np.complex128], y: NDArray[np.complex128]
    ) -> NDArray[np.float64]:
        """How far from y (p,) the transforms of these numbers (p,) put z (p,): (p,)."""
        (a, b), (c, d) = self.linear.transpose(1, 2, 0)
        x_shift, y_shift = self.shift.T
        fitted_x = a[number] * z.real + b[number] * z.imag + x_shift[number]
        fitted_y = c[number] * z.real + d[number] * z.imag + y_shift[number]
        return np.asarray(np.hypot(fitted_x - y.real, fitted_y - y.imag))


@dataclass(frozen=True)
class Moments:
    """Weighted moments of points z -> y, of each of h sets.

    Attributes:
        mean_z, mean_y: (h, 2) float64.
        xx, xy, yy: (h,) float64, sums over the centred z = (x, y).
        cross: (h, 2, 2) float64, sums of centred y times centred z.
    """

    mean_z: NDArray[np.float64]
    mean_y: NDArray[np.float64]
    xx: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: NDArray[np.float64]
    cross: NDArray[np.float64]

    def variance(self) -> NDArray[np.float64]:
        """(h,) of z in both directions together, never 0."""
        return np.maximum(self.xx + self.yy, 1e-9)


def fit_transforms(
    z: NDArray[np.complex128],
    y: NDArray[np.complex128],
    weight: NDArray[np.float64],
    number: NDArray[np.int64],
    count: int,
    affine_points: int,
) -> AffineMaps:
    """Weighted least squares z -> y (p,) for each of `count` transforms: affine where at least
    `affine_points` points carry it, a similarity elsewhere.

    Args:
        number: (p,) which transform the points are for.
    """
    moments = sum_moments(z, y, weight, number, count)
    affine, solid = affine_from(moments)
    points = np.bincount(number, weights=weight > 0, minlength=count)
    use = solid & (points >= affine_points) & upright_enough(affine)
    linear = np.where(use[:, None, None], affine, similarity_from(moments))
    return AffineMaps(linear, moments.mean_y - np.einsum("hij,hj->hi", linear, moments.mean_z))


def sum_moments(
    z: NDArray[np.complex128],
    y: NDArray[np.complex128],
    weight: NDArray[np.float64],
    number: NDArray[np.int64],
    count: int,
) -> Moments:
    """The moments of points (p,) that belong to sets of these numbers (p,), 0 .. count - 1."""

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(number, values * weight, minlength=count).astype(np.float64)

    mass = np.maximum(total(np.ones(len(z))), 1e-12)[:, None]
    mean_z = np.stack([total(z.real), total(z.imag)], axis=1) / mass
    mean_y = np.stack([total(y.real), total(y.imag)], axis=1) / mass
    zx, zy = z.real - mean_z[number, 0], z.imag - mean_z[number, 1]
    yx, yy = y.real - mean_y[number, 0], y.imag - mean_y[number, 1]
    cross = matrices(total(yx * zx), total(yx * zy), total(yy * zx), total(yy * zy))
    return Moments(mean_z, mean_y, total(zx * zx), total(zx * zy), total(zy * zy), cross)


def similarity_from(moments: Moments) -> NDArray[np.float64]:
    """The linear part of the similarity of least squares of each set: (h, 2, 2)."""
    cross, variance = moments.cross, moments.variance()
    real = (cross[:, 0, 0] + cross[:, 1, 1]) / variance
    imaginary = (cross[:, 1, 0] - cross[:, 0, 1]) / variance
    return matrices(real, -imaginary, imaginary, real)


def affine_from(moments: Moments) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The linear part of the affine transform of least squares of each set, (h, 2, 2), and whether
    the points fix one: not if they lie on a line.
    """
    xx, xy, yy, variance = moments.xx, moments.xy, moments.yy, moments.variance()
    determinant = xx * yy - xy * xy
    solid = determinant > 1e-4 * variance * variance
    inverse = matrices(yy, -xy, -xy, xx) / np.where(solid, determinant, 1.0)[:, None, None]
    return moments.cross @ inverse, solid


def matrices(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Entries (h,) as matrices ((a, b), (c, d)): (h, 2, 2)."""
    return np.stack([np.stack([a, b], axis=1), np.stack([c, d], axis=1)], axis=1)


def upright_enough(linear: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the linear maps (n, 2, 2) neither mirror nor stretch one direction over 3 times the
    other.
    """
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    square = (linear**2).sum(axis=(1, 2))
    # singular values s >= t: s^2 + t^2 = square, s * t = |determinant|
    return np.asarray((determinant > 0) & (square < (3 + 1 / 3) * np.abs(determinant)), np.bool_)


def columns(z: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Points x + iy (n,) as (n, 2)."""
    return np.stack([z.real, z.imag], axis=1)
