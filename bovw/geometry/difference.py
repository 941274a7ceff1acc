"""Where two pictures of the same thing really differ, once one is laid onto the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pictures.reading import Box
from .light import STEP, relit

__all__ = ["Difference", "aligned", "differences"]

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Blur in pixels of lightness and of colour before pictures are compared: takes noise and the blocks
# of JPEG away, of which colour has more.
BLUR, COLOUR_BLUR = 1.0, 2.0
# Pixels whose channels lie no farther apart have no colour.
GRAY = 8
# Strongest difference that is overlooked: in grey levels, in standard deviations of the noise, and
# as a share of the contrast within so many pixels beyond the tolerance.
FAINT, NOISE, OVERLOOKED, NEARBY = 14.0, 6.0, 0.5, 2
# Windows of so many pixels differ if they do so by this share of that on average, wherever they may
# have moved; with more tolerance than so many pixels, they would always find a place to be alike.
WINDOW, ALIKE, SHIFTED = 7, 0.5, 4
# Differences are one that are closer than this in pixels, or than this share of the root of the
# larger one's area.
JOIN, JOIN_SHARE = 6, 0.25


@dataclass(frozen=True)
class Difference:
    """A place where two pictures differ.

    Attributes:
        box: x, y, width, height in pixels of the first picture.
        contrast: how strong the difference is at most, in lightness or colour, as a share of the
            contrast of the first picture.
        pixels: how many pixels differ.

    Example:
        >>> import cv2
        >>> from bovw import compare_pictures
        >>> board = cv2.imread("photos/carcassonne-walls.jpg")
        >>> changed = board.copy()
        >>> changed[300:340, 400:430] = 0
        >>> difference = compare_pictures(board, changed).differences[0]
        >>> x, y, width, height = difference.box
        >>> 395 <= x <= 405 and 295 <= y <= 305
        True
    """

    box: Box
    contrast: float
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"box": list(self.box), "contrast": self.contrast, "pixels": self.pixels}


def aligned(
    picture: Pixels, homography: NDArray[np.float64], size: tuple[int, int]
) -> tuple[Pixels, Mask]:
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
    first: Pixels,
    second: Pixels,
    covered: Mask,
    tolerance: int = 2,
    sensitivity: float = 1.0,
) -> list[Difference]:
    """Where a picture differs from one that is laid onto it, the largest difference first.

    They are compared in lightness and colour (YCrCb). Tolerant to gain, white balance and slow
    changes of light (see `light.relit`), and to shifts: a pixel differs only if its value lies
    outside all values within `tolerance` pixels in the other picture, in either direction, or if
    in lightness the window around it is unlike all windows as near in the other picture: so letters
    are told apart whose strokes are no wider than the tolerance. By how much they must differ is
    decided by the noise and by the contrast around, the larger one of both pictures: where contrast
    is high, so are the traces of sharpening, scaling and compression.

    Args:
        first, second: (h, w, 3) BGR.
        covered: (h, w) where both show something.
        tolerance: in pixels.
        sensitivity: above 1 for fainter differences, below for strong ones only: what is overlooked
            is divided by it, and the share of the contrast is raised to its power.
    """
    margin = np.ones((2 * tolerance + 5, 2 * tolerance + 5))
    inside = cv2.erode(covered.astype(np.uint8), margin, borderValue=0) > 0
    if not inside.any():
        return []
    if not both_have_colours(first, second, covered):
        first, second = (in_gray(picture) for picture in (first, second))
    second = relit(first, second, covered, STEP / max(1.0, sensitivity))
    miss, strength = np.zeros((2, *covered.shape), np.float32)
    for number, (one, other) in enumerate(zip(planes(first), planes(second), strict=True)):
        missed = np.maximum(outside(one, other, tolerance), outside(other, one, tolerance))
        noise = float(np.median(np.abs((one - other)[inside]))) * 1.4826
        contrast = np.maximum(*(contrasts(each, tolerance + NEARBY) for each in (one, other)))
        faint = max(FAINT, NOISE * noise) / sensitivity
        least = np.maximum(faint, OVERLOOKED**sensitivity * contrast)
        np.maximum(miss, missed, out=miss)
        np.maximum(strength, missed / least, out=strength)
        if number == 0 and tolerance <= SHIFTED:  # shapes are told by lightness
            strange = unlike_any(one, other, tolerance)
            strange[np.abs(one - other) <= ALIKE * least] = 0
            np.maximum(strength, strange / (ALIKE * least), out=strength)
    low, high = np.percentile(planes(first)[0][inside], (2, 98))
    whole_contrast = max(float(high - low), 1.0)
    found = []
    for y, x in joined((strength > 1) & inside):
        if len(x) > tolerance**2:
            box = (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
            strongest = round(float(miss[y, x].max()) / whole_contrast, 3)
            found.append(Difference(box, strongest, len(x)))
    return sorted(found, key=lambda difference: (-difference.pixels, difference.box))


def both_have_colours(first: Pixels, second: Pixels, covered: Mask) -> bool:
    """Whether colours are to be compared: not if there are none, nor if one of the pictures is a
    grey copy of the other.
    """
    spreads = [colourfulness(picture)[covered] for picture in (first, second)]
    colourless = [int(spread.max()) <= GRAY for spread in spreads]
    if all(colourless):
        return False
    return not any(colourless) or max(float(np.median(spread)) for spread in spreads) <= GRAY


def in_gray(picture: Pixels) -> Pixels:
    """The lightness of a picture (h, w, 1)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)[..., None]


def colourfulness(picture: Pixels) -> Pixels:
    """How far apart the channels (h, w) of each pixel lie."""
    blue, green, red = cv2.split(picture)
    highest, lowest = cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red)
    return np.asarray(highest - lowest, np.uint8)


def planes(picture: Pixels) -> list[Values]:
    """The lightness (h, w) of a picture and, if it has three channels, its two planes of colour."""
    if picture.shape[2] == 1:
        return [blurred(picture[..., 0], BLUR)]
    split = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb), np.uint8)
    sigmas = (BLUR, COLOUR_BLUR, COLOUR_BLUR)
    return [blurred(split[..., plane], sigma) for plane, sigma in enumerate(sigmas)]


def blurred(plane: Pixels, sigma: float) -> Values:
    """A plane, blurred by so many pixels."""
    return np.asarray(cv2.GaussianBlur(plane.astype(np.float32), (0, 0), sigma), np.float32)


def disc(radius: int) -> Pixels:
    """What lies within so many pixels, as OpenCV's morphology wants it."""
    size = (2 * radius + 1, 2 * radius + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)


def outside(one: Values, other: Values, tolerance: int) -> Values:
    """By how much each value lies outside those within so many pixels in the other plane."""
    near = disc(tolerance)
    above, below = one - cv2.dilate(other, near), cv2.erode(other, near) - one
    return np.asarray(np.maximum(above, below), np.float32)


def unlike_any(one: Values, other: Values, tolerance: int) -> Values:
    """By how much the window around each pixel differs on average from the one within so many
    pixels in the other plane that is most like it.
    """
    height, width = one.shape
    edges = (tolerance,) * 4
    other = np.asarray(cv2.copyMakeBorder(other, *edges, cv2.BORDER_REPLICATE), np.float32)
    least = np.full(one.shape, np.inf, np.float32)
    for y, x in np.argwhere(disc(tolerance)).tolist():
        away = cv2.absdiff(one, np.ascontiguousarray(other[y : y + height, x : x + width]))
        np.minimum(least, cv2.blur(away, (WINDOW, WINDOW)), out=least)
    return least


def contrasts(plane: Values, radius: int) -> Values:
    """The range of the values in a square of so many pixels around each pixel."""
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, square), np.float32)


def joined(differs: Mask) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The pixels, rows and columns, of each difference. Pieces that are close to one another, for
    their size, are one.
    """
    near = np.ones((2 * JOIN + 1, 2 * JOIN + 1), np.uint8)
    count, label, facts, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(differs.astype(np.uint8), near), ltype=cv2.CV_32S
    )
    label[~differs] = 0
    reaches = np.sqrt(np.bincount(label.ravel(), minlength=count)) * JOIN_SHARE
    belongs = np.arange(count)
    for number in np.flatnonzero(reaches[1:] > JOIN) + 1:
        x, y, width, height = (int(fact) for fact in facts[number, :4])
        far = math.ceil(reaches[number])
        part = label[max(0, y - far) : y + height + far, max(0, x - far) : x + width + far]
        away = cv2.distanceTransform((part != number).astype(np.uint8), cv2.DIST_L2, 5)
        for piece in np.unique(part[(away <= reaches[number]) & (part > 0)]):
            belongs[belongs == belongs[piece]] = belongs[number]
    rows, columns = np.nonzero(label)
    numbers = belongs[label[rows, columns]]
    order = np.argsort(numbers, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return [(rows[group], columns[group]) for group in groups]
