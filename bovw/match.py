"""One match: what is known of an image that agrees with a query, and where the query lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .encoding import EncodedImage
from .geometry import Agreement, Matches, Tolerances, agree, log_false_alarms
from .place import pose, project, settle

__all__ = ["Geometry", "Match", "Sought", "corners_of", "match_of", "matched", "places", "working_unit"]

MAX_FALSE_ALARMS = 0.01
# Inliers count as one place within a square of so many working pixels.
PLACE = 16
# Distance in working pixels at which the final transform is judged.
SETTLE_PIXELS = 3.0
# What there is of each match.
FLAT = ("query", "image", "log_scale", "turn", "weight", "query_feature", "image_feature")


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
    tentative = min(len(np.unique(matches.query_feature[rows_of(agreement, matches)])), tolerances.matches)
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


def places(query: EncodedImage, sought: Sought, best: Match, agreement: Agreement, matches: Matches, count: int) -> list[Match]:
    """The places of a query in one image that shows it several times: `best`, which `agreement` told, and up to count - 1 more.

    What lies within the places that are known is left out, and the rest is asked whether it agrees as well.
    """
    found = [best]
    rest = part_of(matches, rows_of(agreement, matches))
    unit = float(working_unit(int(sought.size.max()), sought.max_side))
    while len(found) < count and found[-1].verified and found[-1].outline is not None:
        outline = np.asarray(found[-1].outline / unit, np.float32)
        outside = [cv2.pointPolygonTest(outline, (float(z.real), float(z.imag)), False) < 0 for z in rest.image]
        rest = part_of(rest, np.flatnonzero(outside))
        (other,) = agree(rest, Tolerances())
        if other is None:
            break
        match = match_of(query, sought, other.weight, best.mirrored, other, rest)
        if not match.verified:
            break
        found.append(match)
    return found


def rows_of(agreement: Agreement, matches: Matches) -> NDArray[np.int64]:
    """All matches of the candidate that an agreement is about."""
    low, high = np.searchsorted(matches.candidate, matches.candidate[agreement.inliers[0]] + np.array([0, 1])).tolist()
    return np.arange(low, high)


def part_of(matches: Matches, rows: NDArray[np.int64]) -> Matches:
    """Some matches of one candidate, as those of the only one."""
    values = {name: getattr(matches, name)[rows] for name in FLAT}
    return replace(matches, **values, candidate=np.zeros(len(rows), np.int64), count=1)


def working_unit(side: NDArray[np.float64] | int, max_side: int) -> NDArray[np.float64]:
    """Original pixels in a working pixel, of pictures with this long side."""
    return np.asarray(np.maximum(1.0, np.asarray(side) / max_side), np.float64)


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
