"""What a picture looks like as a whole, small enough to be kept: a thumbnail and its colours."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "THUMBNAIL_SIDE", "as_gray", "colour_histogram", "thumbnail"]

# Side of a thumbnail in pixels.
THUMBNAIL_SIDE = 64
# Colours of a histogram: so many steps of each of L, a and b.
STEPS = 4
COLOURS = STEPS**3
# Steps of a and b, in the units of 8-bit Lab, about its grey at 128: most colours are near it.
STEP = 24.0


def thumbnail(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The grey values of a picture, stretched to a square: (THUMBNAIL_SIDE^2,), row by row.

    Args:
        colours: (h, w, 3) BGR.
    """
    return as_gray(stretched(colours)).ravel()


def as_gray(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours (h, w, 3) BGR as grey values (h, w)."""
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY), np.uint8)


def colour_histogram(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The square roots of the shares of 64 colours in a picture, times 255: (64,), so that a
    product of two is their Bhattacharyya coefficient.

    The colours are a grid in CIELAB. A pixel counts for the eight around it by its nearness to
    each: small changes of the light move no pixel from one colour to another at a stroke.

    Args:
        colours: (h, w, 3) BGR.
    """
    lab = cv2.cvtColor(stretched(colours), cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float64)
    place = np.column_stack(
        [lab[:, 0] * ((STEPS - 1) / 255), (lab[:, 1:] - 128) / STEP + (STEPS - 1) / 2]
    ).clip(0, STEPS - 1)
    low = np.minimum(place.astype(np.int64), STEPS - 2)
    share = place - low
    histogram = np.zeros(COLOURS)
    for corner in product((0, 1), repeat=3):
        colour = (low + corner) @ (STEPS * STEPS, STEPS, 1)
        weight = np.where(corner, share, 1 - share).prod(axis=1)
        histogram += np.bincount(colour, weight, COLOURS)
    shares: NDArray[np.float64] = histogram / len(place)
    return np.asarray(np.rint(np.sqrt(shares) * 255), np.uint8)


def stretched(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as a square of the size of a thumbnail."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(cv2.resize(colours, side, interpolation=cv2.INTER_AREA), np.uint8)
