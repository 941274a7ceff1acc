"""Local features: keypoints with descriptors, in coordinates of the original picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..arrays import rank_in_groups
from ..errors import ParameterError
from ..opencv import cv2
from ..pictures.reading import Box, Picture
from .sift import sift

__all__ = [
    "FEATURE_NAMES",
    "MIRRORED",
    "FeatureSpec",
    "Features",
    "as_unit_vectors",
    "extract",
    "invert",
    "mirror",
    "mirrored_places",
]

DIMENSIONS = {"rootsift": 128, "orb": 256}
FEATURE_NAMES = tuple(DIMENSIONS)

MOST_FEATURES = 65_535
# Lower than OpenCV's 0.04: dim and smooth parts keep enough features, at about 15 % more time. With
# 0.01 more small crops are found, and fewer packages on white.
SIFT_CONTRAST = 0.014
# The detector gives up to this many times max_features, of which `select_keypoints` chooses.
SURPLUS = 4
# A query costs no bytes, and may show what is indexed in a small part of it: it may have so many
# times more features.
QUERY_SHARE = 2
# Grids of about so many squares, in each of which a feature may be among the strongest; of those
# that have not more squares than there may be features.
GRIDS = (16, 64, 256, 1024)
# Pictures of up to so many pixels have few features: describing all takes less time than building
# their pyramid again for those that are chosen.
DESCRIBED_AT_ONCE = 400_000
# The smallest patches that the detector finds, in pixels: those of its finest octave are below
# twice as large.
FINEST = {"rootsift": 1.8, "orb": 31.0}
# A small picture with fewer features than this is looked at in double size as well.
POOR = 30
# OpenCV's pyramids fail on narrower pictures, which hold no features anyway.
MIN_SIDE = 8
# A mirrored SIFT patch has the same descriptor with its rows and its orientations in reverse: these
# places of it.
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
# In the negative of a picture all gradients point the other way, so the patch is turned by half a
# turn: its rows and columns in reverse.
INVERTED = np.arange(128).reshape(4, 4, 8)[::-1, ::-1].ravel()


@dataclass(frozen=True)
class FeatureSpec:
    """Which features, and how many of them.

    Attributes:
        kind: "rootsift" or "orb".
        max_features: so many are kept, the strongest of each place and scale; twice as many of a
            query. More finds smaller crops, and costs bytes and
            time in proportion.
        max_side: pictures are shrunk to this long side, in pixels, before extraction. One that is
            longer than twice its other side keeps as many pixels as one that is not.

    Example:
        >>> from bovw import FeatureSpec
        >>> FeatureSpec("orb", max_features=500).dimension
        256
    """

    kind: str = "rootsift"
    max_features: int = 2000
    max_side: int = 1024

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in DIMENSIONS:
            raise ParameterError(
                f"features: {self.kind!r} is unknown, take one of {', '.join(FEATURE_NAMES)}"
            )
        if type(self.max_features) is not int or type(self.max_side) is not int:
            raise ParameterError(
                f"max_features, max_side: {self.max_features!r}, {self.max_side!r} "
                "are not whole numbers"
            )
        if not 1 <= self.max_features <= MOST_FEATURES:
            raise ParameterError(f"max_features: {self.max_features} is outside 1..{MOST_FEATURES}")
        if not 16 <= self.max_side <= 16_384:
            raise ParameterError(f"max_side: {self.max_side} is outside 16..16384")

    @property
    def dimension(self) -> int:
        """Length of a descriptor as a vector."""
        return DIMENSIONS[self.kind]

    def limited(self, max_features: int | None = None, max_side: int | None = None) -> FeatureSpec:
        """The same features with other limits; None keeps a limit."""
        return replace(
            self,
            max_features=self.max_features if max_features is None else max_features,
            max_side=self.max_side if max_side is None else max_side,
        )

    def for_queries(self) -> FeatureSpec:
        """How a query for pictures of these features is extracted: with more features."""
        return self.limited(min(QUERY_SHARE * self.max_features, MOST_FEATURES))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        return {"name": self.kind, "max_features": self.max_features, "max_side": self.max_side}

    @classmethod
    def from_json(cls, facts: Any) -> FeatureSpec:
        """What `to_json` gave. Raises TypeError or ParameterError if it is something else."""
        if not isinstance(facts, dict):
            raise TypeError(f"{facts!r:.60} is no object")
        rest = {key: value for key, value in facts.items() if key != "name"}
        if "name" not in facts or "kind" in rest:
            raise TypeError("the features have no name")
        return cls(kind=facts["name"], **rest)


@dataclass(frozen=True)
class Features:
    """The local features of one picture, n of them, strongest first.

    Coordinates are pixels of the original upright picture: x right, y down, centre of the first
    pixel = (0, 0).

    Attributes:
        xy: (n, 2) float32, positions.
        scale: (n,) float32, diameters of the described patches, in pixels of the original.
        angle: (n,) float32, orientations in radians, [0, 2 pi), clockwise from the x axis as y
            points down.
        descriptors: RootSIFT (n, 128) float32 of unit length; ORB (n, 32) uint8, 256 bits packed.
        size: (width, height) of the original upright picture in pixels.
        box: x, y, width, height of the part of the picture that was looked at.
    """

    xy: NDArray[np.float32]
    scale: NDArray[np.float32]
    angle: NDArray[np.float32]
    descriptors: NDArray[Any]
    size: tuple[int, int]
    box: Box

    def __len__(self) -> int:
        return len(self.xy)


def extract(picture: Picture, spec: FeatureSpec) -> Features:
    """Find the features of a picture.

    SIFT: Lowe, IJCV 2004; RootSIFT: Arandjelovic and Zisserman, CVPR 2012; ORB: Rublee et al., ICCV
    2011. A blank picture gives zero features, not an error.
    """
    rows, found = detect(picture.gray, spec)
    if len(rows) < POOR and max(picture.gray.shape) <= spec.max_side // 2:
        finer_rows, finer = detect(
            cv2.resize(picture.gray, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), spec
        )
        finer_rows[:, :3] = finer_rows[:, :3] / 2 - (0.25, 0.25, 0)
        rows, found = np.concatenate([rows, finer_rows]), np.concatenate([found, finer])
        rows, found = rows[: spec.max_features], found[: spec.max_features]
    x, y, width, height = picture.box
    shrink = np.array([width / picture.gray.shape[1], height / picture.gray.shape[0]])
    return Features(
        xy=((rows[:, :2] + 0.5) * shrink - 0.5 + (x, y)).astype(np.float32),
        scale=(rows[:, 2] * np.sqrt(shrink.prod())).astype(np.float32),
        angle=np.deg2rad(rows[:, 3] % 360).astype(np.float32),
        descriptors=found if spec.kind == "orb" else root_sift(found),
        size=picture.size,
        box=picture.box,
    )


def detect(gray: NDArray[Any], spec: FeatureSpec) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """The keypoints of a picture that are worth most, up to `spec.max_features`, best first: (n, 5)
    as x, y, size, angle in degrees, response; and their descriptors.
    """
    if min(gray.shape) < MIN_SIDE:
        return none_of(spec)
    if spec.kind == "rootsift" and kernel.is_there():
        rows, descriptors = sift(
            gray, SIFT_CONTRAST, lambda rows: select_keypoints(rows, gray.shape, spec)
        )
        # second orientations of a keypoint come after other places
        order = select_keypoints(rows, gray.shape, spec)
        return rows[order], descriptors[order]
    features = detector(spec)
    if gray.size <= DESCRIBED_AT_ONCE:
        keypoints, found = features.detectAndCompute(gray, None)
    else:
        keypoints = features.detect(gray, None)
        chosen = select_keypoints(keypoint_rows(keypoints), gray.shape, spec).tolist()
        keypoints, found = features.compute(gray, [keypoints[each] for each in chosen])
    if found is None or not len(keypoints):
        return none_of(spec)
    rows = keypoint_rows(keypoints)
    order = select_keypoints(rows, gray.shape, spec)
    return rows[order], np.asarray(found)[order]


def none_of(spec: FeatureSpec) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """No keypoints, and no descriptors."""
    columns = 32 if spec.kind == "orb" else 128
    return np.zeros((0, 5), np.float32), np.zeros((0, columns), np.uint8)


def keypoint_rows(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float32]:
    """Keypoints as rows (n, 5): x, y, size, angle in degrees, response."""
    rows = [(*k.pt, k.size, k.angle, k.response) for k in keypoints]
    return np.array(rows, np.float32).reshape(-1, 5)


def detector(spec: FeatureSpec) -> cv2.Feature2D:
    """OpenCV's detector for a spec."""
    if spec.kind == "orb":
        return cv2.ORB.create(nfeatures=SURPLUS * spec.max_features, fastThreshold=10)
    return cv2.SIFT.create(
        SURPLUS * spec.max_features, contrastThreshold=SIFT_CONTRAST, enable_precise_upscale=True
    )


def select_keypoints(
    rows: NDArray[np.float32], shape: tuple[int, ...], spec: FeatureSpec
) -> NDArray[np.int64]:
    """Choose up to `spec.max_features` keypoints that are strong for their part of the picture and
    for their scale, best first.

    By contrast alone, text would crowd a photograph out, and fine detail what is still seen when
    the picture is shrunk. So the r-th strongest of a square of a grid of n squares counts as if it
    were the n r-th of the picture, and the r-th of those of an octave as if it were the r / s-th,
    where s is the octave's share: half of all for the finest, half as much for each following one.
    It is the idea of adaptive non-maximal suppression (Brown, Szeliski, Winder, CVPR 2005), with
    grids in place of distances. Ties go by place, so the choice never depends on the order of
    detection.

    Args:
        rows: (n, 5) x, y, size, angle in degrees, response.
        shape: height and width of the picture.
    """
    order = np.lexsort((rows[:, 3], rows[:, 2], rows[:, 0], rows[:, 1], -rows[:, 4]))
    strongest = rows[order]
    rank = np.arange(len(rows))
    for squares in [each for each in GRIDS if each <= spec.max_features]:
        side = np.sqrt(shape[0] * shape[1] / squares)
        column, row = np.floor(strongest[:, :2] / side).clip(0).astype(np.int64).T
        square = row * (int(shape[1] / side) + 1) + column
        rank = np.minimum(rank, squares * rank_in_groups(square, np.arange(len(rows))))
    octave = np.log2(strongest[:, 2] / FINEST[spec.kind]).clip(0).astype(np.int64)
    rank = np.minimum(rank, rank_in_groups(octave, rank) << octave + 1)
    return order[np.argsort(rank, kind="stable")[: spec.max_features]]


def mirror(features: Features, picture: Picture, spec: FeatureSpec) -> Features:
    """The features of the picture with left and right swapped inside its box.

    A SIFT descriptor is mirrored by rearranging it, so nothing is extracted again; ORB's test
    points have no such symmetry, so the mirrored picture is.
    """
    if spec.kind == "orb":
        return extract(replace(picture, gray=np.ascontiguousarray(picture.gray[:, ::-1])), spec)
    xy, angle = mirrored_places(features.xy, features.angle, picture.box)
    descriptors = features.descriptors[:, MIRRORED]
    return replace(features, xy=xy, angle=angle, descriptors=descriptors)


def mirrored_places(
    xy: NDArray[np.float32], angle: NDArray[np.float32], box: Box
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The positions (n, 2) and angles (n,) of features once left and right are swapped inside a
    box.
    """
    x, _, width, _ = box
    mirrored = (xy * (-1, 1) + (2 * x + width - 1, 0)).astype(np.float32)
    return mirrored, (np.float32(np.pi) - angle) % np.float32(2 * np.pi)


def invert(features: Features, picture: Picture, spec: FeatureSpec) -> Features:
    """The features of the negative of a picture: what is bright there is dark.

    A SIFT descriptor is inverted by rearranging it; ORB is extracted again.
    """
    if spec.kind == "orb":
        return extract(replace(picture, gray=255 - picture.gray), spec)
    return replace(
        features,
        angle=(features.angle + np.float32(np.pi)) % np.float32(2 * np.pi),
        descriptors=features.descriptors[:, INVERTED],
    )


def root_sift(sift: NDArray[Any]) -> NDArray[np.float32]:
    """SIFT (n, 128) -> RootSIFT (n, 128): L1-normalise, take the square root; rows have unit L2
    length.
    """
    sift = sift.astype(np.float32)
    total = np.maximum(sift.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.sqrt(sift / total), np.float32)


def as_unit_vectors(descriptors: NDArray[Any]) -> NDArray[np.float32]:
    """Descriptors as unit vectors (n, d) float32, so that a dot product compares either kind.

    ORB's bits become +-1/16: the squared distance is then a 64th of the Hamming distance.
    """
    if descriptors.dtype == np.uint8:
        bits = np.unpackbits(descriptors, axis=1).astype(np.float32)
        return (bits - np.float32(0.5)) / np.float32(8)
    return descriptors.astype(np.float32, copy=False)
