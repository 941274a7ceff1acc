"""Where two pictures of the same thing really differ, once one is laid onto the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pictures.reading import Box

__all__ = ["Difference", "aligned", "differences"]

# Blur in pixels before pictures are compared: takes noise and the blocks of JPEG away.
BLUR = 1.0
# Light is what changes slowly: over this share of the long side.
LIGHT = 1 / 12
# Light is looked at in a picture shrunk by this.
COARSE = 8
# Strongest difference that is still overlooked, as a share of the contrast, and in standard
# deviations of the noise.
OVERLOOKED, NOISE = 0.35, 6.0
# Differences closer than this, in pixels, are one.
JOIN = 6


@dataclass(frozen=True)
class Difference:
    """A place where two pictures differ.

    Attributes:
        box: x, y, width, height in pixels of the first picture.
        contrast: how strong the difference is at most, as a share of the contrast of the first
            picture.
        pixels: how many pixels differ.
    """

    box: Box
    contrast: float
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"box": list(self.box), "contrast": self.contrast, "pixels": self.pixels}


def aligned(
    picture: NDArray[np.uint8], homography: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture laid onto another one, and where it covers it.

    Args:
        picture: (h, w) or (h, w, 3).
        homography: from its pixels to those of the other one.
        size: (width, height) of the other one.
    """
    laid = cv2.warpPerspective(picture, homography, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpPerspective(
        np.full(picture.shape[:2], 255, np.uint8), homography, size, flags=cv2.INTER_LINEAR
    )
    return np.asarray(laid, np.uint8), np.asarray(covered == 255, np.bool_)


def differences(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    covered: NDArray[np.bool_],
    tolerance: int = 2,
) -> list[Difference]:
    """Where a picture differs from one that is laid onto it, the largest difference first.

    Tolerant to slow changes of light, to gain, to noise, and to shifts: a pixel differs only if its
    value lies outside all values within `tolerance` pixels in the other picture, in either
    direction.

    Args:
        first, second: (h, w) grey values.
        covered: (h, w) where the second covers the first.
        tolerance: in pixels.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1, 2 * tolerance + 1))
    margin = np.ones((2 * tolerance + 5, 2 * tolerance + 5))
    inside = cv2.erode(covered.astype(np.uint8), margin, borderValue=0) > 0
    if not inside.any():
        return []
    one, other = without_light(first, covered), without_light(second, covered)
    other *= one[inside].std() / max(float(other[inside].std()), 1e-6)
    miss = np.maximum.reduce(
        [
            other - cv2.dilate(one, disc),
            cv2.erode(one, disc) - other,
            one - cv2.dilate(other, disc),
            cv2.erode(other, disc) - one,
        ]
    )
    low, high = np.percentile(one[inside], (2, 98))
    contrast = max(float(high - low), 1.0)
    noise = float(np.median(np.abs((one - other)[inside]))) * 1.4826
    differs = ((miss > max(OVERLOOKED * contrast, NOISE * noise)) & inside).astype(np.uint8)
    joining = np.ones((2 * JOIN + 1, 2 * JOIN + 1), np.uint8)
    count, label = cv2.connectedComponents(cv2.dilate(differs, joining))
    found = []
    for number in range(1, count):
        y, x = np.nonzero((label == number) & (differs > 0))
        if len(x) > tolerance**2:
            box = (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
            found.append(Difference(box, round(float(miss[y, x].max()) / contrast, 3), len(x)))
    return sorted(found, key=lambda difference: (-difference.pixels, difference.box))


def without_light(picture: NDArray[np.uint8], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A picture as differences from what is around, where only covered pixels count as such."""
    values = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), BLUR)
    share = covered.astype(np.float32)
    # what changes slowly can be seen as well in a small picture
    small = (max(1, picture.shape[1] // COARSE), max(1, picture.shape[0] // COARSE))
    sigma = max(small) * LIGHT
    light, seen = (
        cv2.GaussianBlur(cv2.resize(each, small, interpolation=cv2.INTER_AREA), (0, 0), sigma)
        for each in (values * share, share)
    )
    height, width = picture.shape
    light = light / np.maximum(seen, 1e-3)
    around = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(values - around, np.float32)
