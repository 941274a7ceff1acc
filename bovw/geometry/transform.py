"""Where a picture lies in another one: the transform that its matched points tell, which model it
is, and its pose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Model",
    "Transform",
    "corners_of",
    "decompose",
    "flip_in",
    "move_features",
    "overlaps",
    "project",
    "select_transform",
]

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Place = tuple[float, float]
Model = Literal["similarity", "affine", "homography"]


T = TypeVar("T")

# Of the sharpest corner of a plausible quadrilateral.
SINE = math.sin(math.radians(20))


def corners_of(box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Centres of the corner pixels of a box: top left, top right, bottom right, bottom left."""
    x, y, width, height = box
    right, bottom = x + width - 1, y + height - 1
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom]], np.float64)


def flip_in(box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """The transform (3, 3) that swaps left and right inside a box."""
    x, _, width, _ = box
    return np.array([[-1.0, 0, 2 * x + width - 1], [0, 1, 0], [0, 0, 1]])


def project(matrix: Matrix, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (n, 2) through a homography (3, 3): (n, 2) float64. Points on its horizon give
    infinities.
    """
    return _divided(_homogeneous(points) @ matrix.T)


def overlaps(
    matrix: Matrix, box: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[float, float]:
    """How much of a part of a picture lies in an image, and how much of the image that covers:
    shares of their areas, 0 to 1.

    Args:
        matrix: (3, 3) maps pixels of the picture to those of the image.
        box: x, y, width, height of the part, in pixels of the picture.
        size: (width, height) of the image.
    """
    x, y, width, height = box
    left, top = x - 0.5, y - 0.5
    right, bottom = left + width, top + height
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    across, down, depth = matrix * np.sign(matrix[2] @ ((left + right) / 2, (top + bottom) / 2, 1))
    # the sides of the image, as lines in the picture: what lies before the horizon of the
    # homography and within them is seen
    for line in (
        across + 0.5 * depth,
        (size[0] - 0.5) * depth - across,
        down + 0.5 * depth,
        (size[1] - 0.5) * depth - down,
    ):
        points = _clipped(points, line.tolist())
        if len(points) < 3:
            return 0.0, 0.0
    covered = project(matrix, np.array(points)).tolist()
    query_share = _area(points) / (width * height)
    image_share = _area(covered) / (size[0] * size[1])
    return min(max(query_share, 0.0), 1.0), min(max(image_share, 0.0), 1.0)


def _clipped(points: Sequence[Place], line: Sequence[float]) -> list[Place]:
    """The part of a convex polygon where line . (x, y, 1) is not negative (Sutherland and Hodgman
    1974).
    """
    # of a few corners, numbers take a fifth of the time of arrays
    side = [line[0] * x + line[1] * y + line[2] for x, y in points]
    found = list[Place]()
    for ((x, y), (end_x, end_y)), (before, after) in zip(
        cyclic_pairs(points), cyclic_pairs(side), strict=True
    ):
        if before >= 0:
            found.append((x, y))
        if (before < 0) != (after < 0):
            share = before / (before - after)
            found.append((x + (end_x - x) * share, y + (end_y - y) * share))
    return found


def _area(points: Sequence[Place]) -> float:
    """The area of a simple polygon."""
    # from its first corner, for the sake of places far from 0
    first_x, first_y = points[0]
    return abs(
        sum(
            (x - first_x) * (next_y - first_y) - (next_x - first_x) * (y - first_y)
            for (x, y), (next_x, next_y) in cyclic_pairs(points)
        )
        / 2
    )


def _homogeneous(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (n, 2) as (n, 3), with a 1 each."""
    return np.column_stack([points, np.ones(len(points))])


def _divided(homogeneous: NDArray[np.float64]) -> NDArray[np.float64]:
    """Homogeneous points (n, 3) as (n, 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])


def move_features(
    matrix: Matrix,
    position: NDArray[np.complexfloating],
    scale: NDArray[np.float64],
    angle: NDArray[np.float64],
) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
    """Features (n,) through a homography (3, 3): position x + iy, scale, and angle in radians,
    [0, 2 pi). Scale is NaN where the homography mirrors, or the feature is on its horizon.
    """
    x, y = position.real, position.imag
    u, v, depth = (matrix @ np.stack([x, y, np.ones(len(x))])).reshape(3, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.asarray((u + 1j * v) / depth, np.complex128)
        # the derivative at the feature along x and along y
        along_x = (matrix[0, 0] + 1j * matrix[1, 0] - moved * matrix[2, 0]) / depth
        along_y = (matrix[0, 1] + 1j * matrix[1, 1] - moved * matrix[2, 1]) / depth
        area = (along_x.conj() * along_y).imag
        scale = scale * np.sqrt(np.where(area > 0, area, np.nan))
        direction = along_x * np.cos(angle) + along_y * np.sin(angle)
    return moved, scale, np.asarray(np.angle(direction) % (2 * np.pi), np.float64)


def is_plausible(matrix: Matrix, corners: NDArray[np.float64]) -> bool:
    """Whether a homography maps the corners (4, 2) of a picture to a sane quadrilateral.

    Sane: in front of the camera, convex, turning the same way, corner angles of 20 to 160 degrees,
    no side collapsed.
    """
    # of four corners, numbers take a fifth of the time of arrays
    homogeneous = (_homogeneous(corners) @ matrix.T).tolist()
    depths = [depth for _, _, depth in homogeneous]
    if not np.isfinite(matrix).all() or min(depths) <= 0.2 * max(depths):
        return False
    quad = [(x / depth, y / depth) for x, y, depth in homogeneous]
    sides = [(x - start_x, y - start_y) for (start_x, start_y), (x, y) in cyclic_pairs(quad)]
    lengths = [math.hypot(*side) for side in sides]
    if not math.isfinite(sum(lengths)) or not min(lengths) >= 1e-3 * max(lengths) > 0:
        return False
    return all(
        x * next_y - y * next_x > SINE * length * next_length
        for ((x, y), (next_x, next_y)), (length, next_length) in zip(
            cyclic_pairs(sides), cyclic_pairs(lengths), strict=True
        )
    )


def cyclic_pairs(items: Sequence[T]) -> Iterator[tuple[T, T]]:
    """Each item with the one after it; after the last comes the first."""
    return zip(items, [*items[1:], *items[:1]], strict=True)


@dataclass(frozen=True)
class Transform:
    """Where a picture lies in another one.

    Attributes:
        model: "similarity", "affine" or "homography": the simplest transform that explains the
            matches.
        matrix: (3, 3) float64, from the picture to the other one.
    """

    model: Model
    matrix: Matrix


@dataclass(frozen=True)
class Pairs:
    """Matched points.

    Attributes:
        query: (n, 2).
        lifted: (n, 3), the same with a 1 each.
        image: (n, 2), their partners.
    """

    query: Points
    lifted: Points
    image: Points

    def distances(self, matrix: Matrix) -> NDArray[np.float64]:
        """How far from their partners a transform puts the points: (n,)."""
        miss = _divided(self.lifted @ matrix.T) - self.image
        return np.hypot(miss[:, 0], miss[:, 1])


def select_transform(
    query: Points, image: Points, start: Matrix, corners: Points, pixels: float
) -> Transform:
    """The simplest transform that explains matched points (n, 2) -> (n, 2) about as well as any.

    A similarity and an affine transform, both refined from `start`, a homography (MAGSAC++: Barath
    et al., CVPR 2020) and `start` itself, which is affine, compete. A richer one must put over a
    tenth more points within `pixels` (times the magnification of `start`, if above 1), since it
    carries places outside the matched points further astray; and all but `start` must be plausible
    for the `corners` (4, 2) of the query.
    """
    reach = pixels * max(1.0, float(np.sqrt(abs(np.linalg.det(start[:2, :2])))))
    pairs = Pairs(query, _homogeneous(query), image)
    models = [
        Transform("similarity", refine_transform(pairs, start, reach, fit_similarity)),
        Transform("affine", refine_transform(pairs, start, reach, fit_affine)),
    ]
    homography = fit_homography(query, image, reach)
    if homography is not None:
        models.append(Transform("homography", homography))
    models = [model for model in models if is_plausible(model.matrix, corners)]
    models.append(Transform("affine", start))
    counts = [int((pairs.distances(model.matrix) < reach).sum()) for model in models]
    enough = 0.9 * max(counts)
    return next(model for model, count in zip(models, counts, strict=True) if count >= enough)


def decompose(matrix: Matrix, point: NDArray[np.float64], mirrored: bool) -> tuple[float, float]:
    """How a transform turns and scales what is around a point (2,): degrees in [-180, 180),
    clockwise as pictures are seen (x right, y down), and the factor of lengths.

    The rotation is that nearest to the derivative there (polar decomposition), after the mirroring
    of x if it mirrors.
    """
    homogeneous = matrix @ [*point, 1.0]
    derivative = (
        matrix[:2, :2] - np.outer(homogeneous[:2] / homogeneous[2], matrix[2, :2])
    ) / homogeneous[2]
    if mirrored:
        derivative = derivative * [-1.0, 1.0]
    turn = np.degrees(
        np.arctan2(derivative[1, 0] - derivative[0, 1], derivative[0, 0] + derivative[1, 1])
    )
    return float((turn + 180.0) % 360.0 - 180.0), float(np.sqrt(abs(np.linalg.det(derivative))))


def refine_transform(
    pairs: Pairs, start: Matrix, pixels: float, fit: Callable[[Points, Points], Matrix]
) -> Matrix:
    """Least squares on the points that the transform puts within `pixels`, repeated while it
    reaches more of them. It begins with the points within three times that of `start`.
    """
    best, most = start, 0
    distances = pairs.distances(start)
    for _ in range(5):
        near = distances < (pixels if most else 3 * pixels)
        if near.sum() < 3:
            break
        model = fit(pairs.query[near], pairs.image[near])
        distances = pairs.distances(model)
        count = int((distances < pixels).sum())
        if count <= most:
            break
        best, most = model, count
    return best


def fit_similarity(query: Points, image: Points) -> Matrix:
    """The similarity (3, 3) of least squares from points (n, 2) to points (n, 2)."""
    z, y = query @ (1, 1j), image @ (1, 1j)
    centred = z - z.mean()
    a = (centred.conj() * (y - y.mean())).sum() / max(float((np.abs(centred) ** 2).sum()), 1e-12)
    b = y.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag], [0, 0, 1]])


def fit_affine(query: Points, image: Points) -> Matrix:
    """The affine transform (3, 3) of least squares; of smallest norm where the points do not fix
    one.
    """
    middle = query.mean(axis=0)
    rows = np.linalg.lstsq(
        np.column_stack([query - middle, np.ones(len(query))]), image, rcond=None
    )[0].T
    matrix = np.eye(3)
    matrix[:2] = np.column_stack([rows[:, :2], rows[:, 2] - rows[:, :2] @ middle])
    return matrix


def fit_homography(query: Points, image: Points, pixels: float) -> Matrix | None:
    """A homography (3, 3) from points (n, 2) to points (n, 2), or None: too few points, or
    degenerate ones.
    """
    if len(query) < 8:
        return None
    try:
        found, _ = cv2.findHomography(
            query, image, cv2.USAC_MAGSAC, pixels, maxIters=2000, confidence=0.999
        )
    except cv2.error:
        return None
    if found is None or abs(found[2, 2]) < 1e-12:
        return None
    return np.asarray(found, np.float64) / float(found[2, 2])
