"""One match: what is known of an image that agrees with a query, and where the query lies in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..features.encoding import EncodedImage
from ..geometry.certainty import is_certain, log_false_alarms
from ..geometry.transform import corners_of, decompose, project, select_transform
from ..geometry.verification import GeometricFit, Matches, Tolerances, verify_candidates

__all__ = [
    "CandidateFit",
    "Geometry",
    "Match",
    "Target",
    "find_instances",
    "match_of",
    "matched",
    "transform_text",
    "verdict",
    "working_unit",
]

# Distance in working pixels at which the final transform is judged.
SETTLE_PIXELS = 3.0
# What there is of each match.
FLAT = ("query", "image", "log_scale", "turn", "weight", "query_feature", "image_feature")


@dataclass(frozen=True)
class Match:
    """An image that a search found.

    Attributes:
        path: its path: of `describe` as it is stored, of `ImageIndex.search` one that can be
            opened.
        score: orders the verified matches of one search, and then the others; not comparable
            between searches.
        inliers: features of the query that agree geometrically with this image.
        verified: whether that agreement is hardly chance: no more false alarms than the search
            allows.
        log_false_alarms: log10 of how many images of an index of this size would agree as well by
            chance (docs/reliability.md).
        mirrored: whether the query had to be mirrored to agree.
        model: what explains the agreement: "similarity", "affine" or "homography"; None where
            nothing agreed.
        rotation: degrees in [-180, 180) by which the query is turned in the image, clockwise as
            pictures are seen, at the centre of the query and after mirroring; None where nothing
            agreed.
        scale: pixels of the image that a pixel of the query covers there, as a ratio of lengths;
            None where nothing agreed.
        outline: (4, 2) where the query's corners (top left, top right, bottom right, bottom left)
            lie in the image, in pixels of the original upright image; None where nothing agreed.
        homography: (3, 3) maps pixels of the original upright query to those of the image; None
            where nothing agreed.
        correspondences: (inliers, 4) the places that agree: x, y in the query and x, y in the
            image.
    """

    path: str
    score: float
    inliers: int = 0
    verified: bool = False
    log_false_alarms: float = math.inf
    mirrored: bool = False
    model: str | None = None
    rotation: float | None = None
    scale: float | None = None
    outline: NDArray[np.float64] | None = None
    homography: NDArray[np.float64] | None = None
    correspondences: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def confidence(self) -> float:
        """The probability, 0 to 1, that not one image of such an index would agree as well by
        chance: exp(-false alarms).
        """
        return math.exp(-(10.0 ** min(self.log_false_alarms, 3.0)))


@dataclass(frozen=True)
class Target:
    """An image that a query is compared with.

    Attributes:
        path: as a match names it.
        size: its (width, height).
        image_count: among how many it is.
        max_side: the working size.
        false_alarms: so many are allowed to a verified match.
    """

    path: str
    size: NDArray[np.float64]
    image_count: int
    max_side: int
    false_alarms: float

    @property
    def area(self) -> float:
        """In square working pixels."""
        return float(self.size.prod() / working_unit(int(self.size.max()), self.max_side) ** 2)


@dataclass(frozen=True)
class CandidateFit:
    """A query's agreement with an image.

    Attributes:
        score: see `Match`.
        mirrored: whether it is that of the mirrored query.
        fit: None where nothing agreed.
        log_false_alarms: see `Match`.
    """

    score: float
    mirrored: bool
    fit: GeometricFit | None
    log_false_alarms: float


def match_of(query: EncodedImage, target: Target, found: CandidateFit, matches: Matches) -> Match:
    """One match with its place."""
    fit = found.fit
    if fit is None:
        return Match(target.path, found.score)
    unit, own_unit = (
        float(working_unit(int(side), target.max_side))
        for side in (target.size.max(), max(query.box[2:]))
    )
    own, other = matches.query[fit.inliers], matches.image[fit.inliers]
    points, partners = (
        np.column_stack([own.real, own.imag]),
        np.column_stack([other.real, other.imag]),
    )
    corners = corners_of(query.box)
    transform = select_transform(points, partners, fit.matrix, corners / own_unit, SETTLE_PIXELS)
    matrix = (
        np.diag([unit, unit, 1.0]) @ transform.matrix @ np.diag([1 / own_unit, 1 / own_unit, 1.0])
    )
    points, partners = points * own_unit, partners * unit
    if found.mirrored:
        flip = np.array(
            [[-1.0, 0.0, 2 * query.box[0] + query.box[2] - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        )
        matrix, points = matrix @ flip, project(flip, points)
    matrix /= matrix[2, 2]
    rotation, scale = decompose(matrix, corners.mean(axis=0), found.mirrored)
    return Match(
        path=target.path,
        score=found.score,
        inliers=len(fit.inliers),
        verified=bool(is_certain(found.log_false_alarms, target.false_alarms)),
        log_false_alarms=found.log_false_alarms,
        mirrored=found.mirrored,
        model=transform.model,
        rotation=rotation,
        scale=scale,
        outline=project(matrix, corners),
        homography=matrix,
        correspondences=np.hstack([points, partners]),
    )


def verdict(match: Match) -> str:
    """One word: verified, unsure, or "-" where nothing agreed."""
    return "verified" if match.verified else "unsure" if match.inliers else "-"


def transform_text(match: Match) -> str:
    """How the query lies in the image, in words; empty where nothing agreed."""
    if match.rotation is None or match.scale is None:
        return ""
    turned = round(match.rotation, 1) + 0.0  # no minus zero
    return f"turned {turned:.1f} degrees, scaled {match.scale:.3g}{', mirrored' if match.mirrored else ''}"


def find_instances(
    query: EncodedImage,
    target: Target,
    best: Match,
    fit: GeometricFit,
    matches: Matches,
    count: int,
) -> list[Match]:
    """The places of a query in one image that shows it several times: `best`, which `fit` told, and
    up to count - 1 more.

    What lies within the places that are known is left out, and the rest is asked whether it agrees
    as well.
    """
    if count == 1:
        return [best]
    found = [best]
    rest = subset(matches, rows_of(fit, matches))
    unit = float(working_unit(int(target.size.max()), target.max_side))
    while len(found) < count and found[-1].verified and found[-1].outline is not None:
        outline = np.asarray(found[-1].outline / unit, np.float32)
        outside = [
            cv2.pointPolygonTest(outline, (float(z.real), float(z.imag)), False) < 0
            for z in rest.image
        ]
        rest = subset(rest, np.flatnonzero(outside))
        (other,) = verify_candidates(rest, Tolerances())
        if other is None:
            break
        (alarms,) = log_false_alarms(
            rest, [other], np.array([target.area]), target.image_count
        ).tolist()
        match = match_of(
            query, target, CandidateFit(other.weight, best.mirrored, other, alarms), rest
        )
        if not match.verified:
            break
        found.append(match)
    return found


def rows_of(fit: GeometricFit, matches: Matches) -> NDArray[np.int64]:
    """All matches of the candidate that an agreement is about."""
    low, high = np.searchsorted(
        matches.candidate, matches.candidate[fit.inliers[0]] + np.array([0, 1])
    ).tolist()
    return np.arange(low, high)


def subset(matches: Matches, rows: NDArray[np.int64]) -> Matches:
    """Some matches of one candidate, as those of the only one."""
    values = {name: getattr(matches, name)[rows] for name in FLAT}
    return replace(matches, **values, candidate=np.zeros(len(rows), np.int64), count=1)


def working_unit(side: NDArray[np.float64] | int, max_side: int) -> NDArray[np.float64]:
    """Original pixels in a working pixel, of pictures with this long side."""
    return np.asarray(np.maximum(1.0, np.asarray(side) / max_side), np.float64)


@dataclass(frozen=True)
class Geometry:
    """Of features: position x + iy, scale and angle (n,), in pixels of the original; and original
    pixels in a working pixel.
    """

    position: NDArray[np.complex128]
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
    """Matches of features of a query, counted through its variants, with features of images whose
    geometry is given.
    """
    xy, scales, angles = (
        np.concatenate([getattr(query, name) for query in queries])
        for name in ("xy", "scale", "angle")
    )
    own_unit = working_unit(max(queries[0].box[2:]), max_side)
    return Matches(
        candidate=candidate,
        count=count,
        query=(xy[own, 0].astype(np.float64) + 1j * xy[own, 1]) / own_unit,
        image=image.position / image.unit,
        log_scale=np.log(image.scale / image.unit) - np.log(scales[own] / own_unit),
        turn=image.angle - angles[own],
        weight=weight,
        query_feature=own,
        image_feature=feature,
    )
