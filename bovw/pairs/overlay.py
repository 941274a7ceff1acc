"""Two images laid onto each other: how much of each the other covers, and whether the pixels of
their thumbnails agree there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.transform import corners_of, project

__all__ = ["Resemblance", "Size", "Thumbnail", "coverage", "resemblance", "whole_transform"]

Matrix = NDArray[np.float64]
Values = NDArray[np.float64]
Size = tuple[int, int]
# A grey picture, stretched to a square: (side, side) uint8.
Thumbnail = NDArray[np.uint8]
# Thumbnails are smoothed a little before they are compared, as they are never laid exactly.
SMOOTH = 0.7
# Less variation than this, in grey values, is none; pictures without any are equal up to this
# difference.
FLAT, EQUAL = 2.0, 8.0
# The share of places that may count, how often they are chosen anew, and how much a copy may gain
# in contrast.
KEPT, TRIMMINGS, GAINS = 0.6, 5, (0.4, 2.5)
# Fewer pixels of a thumbnail prove nothing.
LEAST_PIXELS = 64
# Turns by 0 to 3 right angles, clockwise: matrices (2, 2), row by row.
TURNS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))


def coverage(matrix: Matrix, size: Size, other: Size) -> tuple[float, float]:
    """How much of an image of a size lies in another one, and how much of that other one it covers:
    shares of their areas. (0, 0) where the transform (3, 3) makes no sense of it.
    """
    outline = project(matrix, corners_of((0, 0, *size)) + EDGES)
    if not np.isfinite(outline).all() or np.abs(outline).max() > 1e6:
        return 0.0, 0.0
    frame = corners_of((0, 0, *other)) + EDGES
    area, _ = cv2.intersectConvexConvex(
        outline.astype(np.float32), frame.astype(np.float32), handleNested=True
    )
    own = abs(polygon_area(outline))
    return min(area / max(own, 1e-9), 1.0), min(area / (other[0] * other[1]), 1.0)


# From the centres of corner pixels to the corners of the picture.
EDGES = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def polygon_area(points: Values) -> float:
    """The signed area of a polygon (n, 2)."""
    x, y = points.T
    return float(0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


@dataclass(frozen=True)
class Resemblance:
    """How alike the pixels of two images are where one lies in the other.

    Attributes:
        correlation: normalised, -1 to 1; of all these places.
        trimmed: the same of the 60 % of them that agree best after a change of brightness and
            contrast: what lies on top of a picture does not count.
        tone: mean difference in grey values, 0 to 255.
    """

    correlation: float
    trimmed: float
    tone: float


UNLIKE = Resemblance(0.0, 0.0, 255.0)


def resemblance(
    matrix: Matrix, first: Thumbnail, second: Thumbnail, size: Size, other: Size
) -> Resemblance:
    """How alike two images are where one lies in the other: not at all where hardly anything of
    them does, or nothing is to be seen there in just one of them.

    Args:
        matrix: (3, 3) maps pixels of the first image to those of the second.
        first, second: their thumbnails, of one side.
        size, other: their widths and heights.
    """
    laid = laid_onto(matrix, first, second, size, other)
    if laid is None:
        return UNLIKE
    one, two = laid
    tone = float(np.abs(one - two).mean())
    rows = agreeing_rows(one, two)
    return Resemblance(correlation(one, two), correlation(one[rows], two[rows]), tone)


def correlation(one: Values, two: Values) -> float:
    """The normalised correlation of two rows of grey values. Where neither shows anything it is 1
    if both are of about one brightness, else 0.
    """
    tone = abs(float(one.mean() - two.mean()))
    one, two = one - one.mean(), two - two.mean()
    spread, other_spread = float(one.std()), float(two.std())
    if min(spread, other_spread) < FLAT:
        return float(max(spread, other_spread) < 2 * FLAT and tone < EQUAL)
    return float((one * two).mean() / (spread * other_spread))


def agreeing_rows(one: Values, two: Values) -> NDArray[np.int64]:
    """The share of places that agree best after a change of brightness and contrast, which is
    fitted to half of them (least trimmed squares: Rousseeuw, 1984), from two starts.
    """
    found, least = np.arange(len(one)), np.inf
    for gain in (1.0, float(two.std() / max(one.std(), 1.0))):
        offset = float(np.median(two) - gain * np.median(one))
        for _ in range(TRIMMINGS):
            missed = np.abs(gain * one + offset - two)
            near = missed <= np.quantile(missed, 0.5)
            x, y = one[near], two[near]
            variance = float(x.var())
            if variance < 1:
                break
            gain = float(((x - x.mean()) * (y - y.mean())).mean()) / variance
            gain = min(max(gain, GAINS[0]), GAINS[1])
            offset = float(y.mean() - gain * x.mean())
        missed = np.abs(gain * one + offset - two)
        reach = float(np.quantile(missed, KEPT))
        if reach < least:
            found, least = np.flatnonzero(missed <= reach), reach
    return found


def laid_onto(
    matrix: Matrix, first: Thumbnail, second: Thumbnail, size: Size, other: Size
) -> tuple[Values, Values] | None:
    """The grey values (n,) of two images at the places that both show, seen as coarsely as the
    coarser of them; None if these are too few.
    """
    side = len(first)
    to_thumbnail, from_thumbnail = stretched(other, side), np.linalg.inv(stretched(size, side))
    between = to_thumbnail @ matrix @ from_thumbnail
    factor = float(np.sqrt(abs(np.linalg.det(between[:2, :2]))))
    if not np.isfinite(between).all() or not 1e-3 < factor < 1e3:
        return None
    if factor > 1:  # a pixel of the first is larger: it is the frame
        between, factor = np.linalg.inv(between), 1 / factor
        first, second = second, first
    blur = float(np.hypot(SMOOTH / factor, 0.5 * np.sqrt(max(1 / factor**2 - 1, 0))))
    fine = cv2.GaussianBlur(first.astype(np.float32), (0, 0), blur)
    coarse = cv2.GaussianBlur(second.astype(np.float32), (0, 0), SMOOTH)
    laid = cv2.warpPerspective(fine, between, (side, side), flags=cv2.INTER_LINEAR)
    ones = np.full((side, side), 255, np.uint8)
    covered = cv2.warpPerspective(ones, between, (side, side), flags=cv2.INTER_LINEAR) == 255
    if np.count_nonzero(covered) < LEAST_PIXELS:
        return None
    return laid[covered].astype(np.float64), coarse[covered].astype(np.float64)


def stretched(size: Size, side: int) -> Matrix:
    """Maps pixels of an image to those of its thumbnail."""
    scale = np.array([side / size[0], side / size[1]])
    shift = 0.5 * scale - 0.5
    return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]], [0, 0, 1.0]])


def whole_transform(orientation: int, size: Size, other: Size) -> Matrix:
    """Maps all of an image onto all of another one.

    Args:
        orientation: how it is turned there, by its number (see `hashing.ORIENTATIONS`): mirrored
            left to right first, then turned by right angles.
    """
    centre = np.array(
        [[1 / size[0], 0, 0.5 / size[0] - 0.5], [0, 1 / size[1], 0.5 / size[1] - 0.5]]
    )
    a, b, c, d = TURNS[orientation // 2]
    turn = np.array([[a, b], [c, d]]) @ np.diag([-1 if orientation % 2 else 1, 1])
    unit = turn @ centre
    unit[:, 2] += 0.5
    matrix: Matrix = np.diag([other[0], other[1], 1.0]) @ np.vstack([unit, [0, 0, 1]])
    matrix[:2, 2] -= 0.5
    return matrix
