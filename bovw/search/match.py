"""One match: what is known of an image that agrees with a query, and where the query lies in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..features.encoding import EncodedImage
from ..geometry.certainty import is_certain, log_false_alarms
from ..geometry.transform import (
    Model,
    corners_of,
    decompose,
    overlaps,
    project,
    select_transform,
)
from ..geometry.verification import GeometricFit, Matches, Tolerances, verify_candidates
from ..pictures.working import working_area, working_unit
from .query import Variant

__all__ = [
    "NO_CORRESPONDENCES",
    "SELECT_PIXELS",
    "CandidateFit",
    "FeatureGeometry",
    "Match",
    "Target",
    "describe_match",
    "find_instances",
    "matches_of",
    "pairs_of",
    "rows_of_matches",
    "transform_text",
    "verdict",
]

# Distance in working pixels at which the final transform is judged.
SELECT_PIXELS = 3.0
# What there is of each match.
FLAT = ("query", "image", "log_scale", "turn", "weight", "query_feature", "image_feature")


# Shared by all matches that have none, so that a long ranking is small when it is sent.
NO_CORRESPONDENCES = np.zeros((0, 4))
NO_CORRESPONDENCES.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Match:
    """An image that a search found. Two are equal if they say the same, to the last bit.

    Attributes:
        id: names the image in its index: the path as it is stored, unless it was added with
            another.
        path: its file, as a path that can be opened; empty for an image without a file.
        metadata: what was said of the image when it was added.
        size: (width, height) of the image in pixels, upright.
        score: orders the verified matches of one search, and then the others; not comparable
            between searches.
        inliers: features of the query that agree geometrically with this image.
        checked: whether agreement was looked for. It was not if the search verifies nothing, or if
            the image came among the first only by other candidates' failing.
        verified: whether that agreement is hardly chance: no more false alarms than the search
            allows.
        expanded: whether that is so of the query together with what its verified images show where
            it lies, not of the query alone (see `SearchOptions.expand`); never both.
        log_false_alarms: log10 of how many images of an index of this size would agree as well by
            chance (docs/reliability.md).
        mirrored: whether the query had to be mirrored to agree.
        negative: whether its negative agreed: bright and dark swapped (see
            `SearchOptions.thorough`).
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
        query_overlap: how much of the query lies in the image, as a share of its area, 0 to 1; None
            where nothing agreed.
        image_overlap: how much of the image the query covers, likewise.
        correspondences: (inliers, 4) the positions that agree: x, y in the query and x, y in the
            image.
        sisters: which group of images that verify each other it is in, from 1 on; None where it was
            not asked for, or it is in none.
        likeness: how much of what tells the image from its sisters is seen in the query, 0 to 1.
            Sisters whose likeness differs clearly stand in its order, whatever their scores. None
            without sisters, or where nothing tells them apart.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     match = index.search("query.jpg", crop=True).matches[0]
        >>> match.verified, round(match.rotation), round(match.scale, 1), match.outline.shape
        (True, 25, 1.7, (4, 2))
    """

    id: str
    score: float
    path: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    inliers: int = 0
    checked: bool = False
    verified: bool = False
    expanded: bool = False
    log_false_alarms: float = math.inf
    mirrored: bool = False
    negative: bool = False
    model: Model | None = None
    rotation: float | None = None
    scale: float | None = None
    outline: NDArray[np.float64] | None = None
    homography: NDArray[np.float64] | None = None
    query_overlap: float | None = None
    image_overlap: float | None = None
    correspondences: NDArray[np.float64] = field(default_factory=lambda: NO_CORRESPONDENCES)
    sisters: int | None = None
    likeness: float | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Match):
            return NotImplemented
        values = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return all(
            np.array_equal(one, two)
            if isinstance(one, np.ndarray) and isinstance(two, np.ndarray)
            else type(one) is type(two) and one == two
            for one, two in values
        )

    @property
    def confidence(self) -> float:
        """The probability, 0 to 1, that not one image of such an index would agree as well by
        chance: exp(-false alarms).
        """
        return math.exp(-(10.0 ** min(self.log_false_alarms, 3.0)))

    @property
    def name(self) -> str:
        """What to call the image: its path or, without a file, its id."""
        return self.path or self.id

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, rounded: what `bovw search --json` prints of a match."""
        return {
            "image": self.name,
            "score": round(self.score, 4),
            "inliers": self.inliers,
            "checked": self.checked,
            "verified": self.verified,
            "expanded": self.expanded,
            "confidence": round(self.confidence, 6),
            "log_false_alarms": round(self.log_false_alarms, 2) if self.inliers else None,
            "mirrored": self.mirrored,
            "negative": self.negative,
            "model": self.model,
            "rotation": None if self.rotation is None else round(self.rotation, 3),
            "scale": None if self.scale is None else round(self.scale, 5),
            "outline": None if self.outline is None else self.outline.round(2).tolist(),
            "homography": None if self.homography is None else self.homography.ravel().tolist(),
            "query_overlap": None if self.query_overlap is None else round(self.query_overlap, 4),
            "image_overlap": None if self.image_overlap is None else round(self.image_overlap, 4),
            "sisters": self.sisters,
            "likeness": None if self.likeness is None else round(self.likeness, 4),
            "id": self.id,
            "metadata": self.metadata,
        }


@dataclass(frozen=True)
class Target:
    """An image that a query is compared with.

    Attributes:
        found: a match that names it, and says nothing else.
        size: (2,) float64, its width and height.
        image_count: among how many it is.
        max_side: the working size.
        false_alarms: so many are allowed to a verified match.
    """

    found: Match
    size: NDArray[np.float64]
    image_count: int
    max_side: int
    false_alarms: float

    @property
    def unit(self) -> float:
        """Its pixels in a working pixel."""
        width, height = self.size.tolist()
        return float(working_unit(width, height, self.max_side))


@dataclass(frozen=True)
class CandidateFit:
    """A query's agreement with an image.

    Attributes:
        score: see `Match`.
        fit: None where nothing agreed.
        log_false_alarms: see `Match`.
    """

    score: float
    fit: GeometricFit | None
    log_false_alarms: float


def describe_match(
    variant: Variant, target: Target, found: CandidateFit, matches: Matches
) -> Match:
    """One match, with the place of the query in the image."""
    fit = found.fit
    if fit is None:
        return replace(target.found, score=found.score)
    query, unit = variant.encoded, target.unit
    query_unit = float(working_unit(*query.box[2:], target.max_side))
    points, partners = (pairs_of(side[fit.inliers]) for side in (matches.query, matches.image))
    corners = corners_of(variant.box)
    own = np.asarray(project(variant.matrix, corners) / query_unit)
    if variant.mirrored:
        own = own[::-1]  # as seen, they turn the same way
    transform = select_transform(points, partners, fit.matrix, own, SELECT_PIXELS)
    matrix = np.diag([unit, unit, 1.0]) @ transform.matrix
    matrix = matrix @ np.diag([1 / query_unit, 1 / query_unit, 1.0]) @ variant.matrix
    points = project(np.asarray(np.linalg.inv(variant.matrix)), np.asarray(points * query_unit))
    matrix /= matrix[2, 2]
    query_overlap, image_overlap = overlaps(matrix, variant.box, target.found.size)
    rotation, scale = decompose(matrix, corners.mean(axis=0), variant.mirrored)
    return replace(
        target.found,
        score=found.score,
        inliers=len(fit.inliers),
        verified=bool(is_certain(found.log_false_alarms, target.false_alarms)),
        log_false_alarms=found.log_false_alarms,
        mirrored=variant.mirrored,
        negative=variant.negative,
        model=transform.model,
        rotation=rotation,
        scale=scale,
        outline=project(matrix, corners),
        homography=matrix,
        query_overlap=query_overlap,
        image_overlap=image_overlap,
        correspondences=np.hstack([points, partners * unit]),
    )


def pairs_of(points: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """Points (n,) x + iy as (n, 2)."""
    return np.column_stack([points.real, points.imag])


def verdict(match: Match) -> str:
    """One word: verified, expanded, unsure, "-" where nothing agreed, unchecked if that was not
    asked.
    """
    if match.verified or match.expanded:
        return "verified" if match.verified else "expanded"
    if match.inliers:
        return "unsure"
    return "-" if match.checked else "unchecked"


def transform_text(match: Match) -> str:
    """How the query lies in the image, in words; empty where nothing agreed."""
    if match.rotation is None or match.scale is None:
        return ""
    turned = round(match.rotation, 1) + 0.0  # no minus zero
    changed = ", mirrored" * match.mirrored + ", a negative" * match.negative
    return f"turned {turned:.1f} degrees, scaled {match.scale:.3g}{changed}"


def find_instances(
    variant: Variant,
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
    found = [best]
    if count == 1:
        return found
    area = working_area(target.size[None], target.max_side)
    rest = subset(matches, rows_of(fit, matches))
    while len(found) < count and found[-1].verified and found[-1].outline is not None:
        outline = np.asarray(found[-1].outline / target.unit, np.float32)
        outside = [
            cv2.pointPolygonTest(outline, (float(z.real), float(z.imag)), False) < 0
            for z in rest.image
        ]
        rest = subset(rest, np.flatnonzero(outside))
        (other,) = verify_candidates(rest, Tolerances())
        if other is None:
            break
        (alarms,) = log_false_alarms(rest, [other], area, target.image_count).tolist()
        another = CandidateFit(other.weight, other, alarms)
        match = describe_match(variant, target, another, rest)
        if not match.verified:
            break
        found.append(match)
    return found


def rows_of(fit: GeometricFit, matches: Matches) -> NDArray[np.int64]:
    """All matches of the candidate that a fit is about."""
    candidate = matches.candidate[fit.inliers[0]]
    low, high = np.searchsorted(matches.candidate, candidate + np.array([0, 1])).tolist()
    return np.arange(low, high)


def subset(matches: Matches, rows: NDArray[np.int64]) -> Matches:
    """Some matches of one candidate, as those of the only one."""
    some = rows_of_matches(matches, rows)
    return replace(some, candidate=np.zeros(len(rows), np.int64), count=1)


def rows_of_matches(matches: Matches, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Matches:
    """Some matches, given by their numbers or by flags; candidates keep their numbers."""
    values = {name: getattr(matches, name)[rows] for name in ("candidate", *FLAT)}
    return replace(matches, **values)


@dataclass(frozen=True)
class FeatureGeometry:
    """The geometry of n features of images, in pixels of the original.

    Attributes:
        position: (n,) complex128, x + iy.
        scale: (n,) float64.
        angle: (n,) float64, radians.
        unit: (n,) float64, original pixels in a working pixel.
    """

    position: NDArray[np.complex128]
    scale: NDArray[np.float64]
    angle: NDArray[np.float64]
    unit: NDArray[np.float64]


def matches_of(
    variants: Sequence[EncodedImage],
    image: FeatureGeometry,
    max_side: int,
    candidate: NDArray[np.int64],
    count: int,
    query_feature: NDArray[np.int64],
    image_feature: NDArray[np.int64],
    weight: NDArray[np.float64],
) -> Matches:
    """Matches (n,) of features of a query, counted through its variants, with features of `count`
    candidates whose geometry is given, in working pixels.
    """
    xy, scales, angles = (
        np.concatenate([getattr(query, name) for query in variants])
        for name in ("xy", "scale", "angle")
    )
    unit = working_unit(*variants[0].box[2:], max_side)
    x, y = xy[query_feature, 0].astype(np.float64), xy[query_feature, 1]
    return Matches(
        candidate=candidate,
        count=count,
        query=(x + 1j * y) / unit,
        image=image.position / image.unit,
        log_scale=np.log(image.scale / image.unit) - np.log(scales[query_feature] / unit),
        turn=image.angle - angles[query_feature],
        weight=weight,
        query_feature=query_feature,
        image_feature=image_feature,
    )
