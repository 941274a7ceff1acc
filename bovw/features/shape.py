"""The coarse layout of edges in a picture as one vector: a histogram of oriented gradients (Dalal
and Triggs, CVPR 2005).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .appearance import THUMBNAIL_SIDE
from .projection import SHAPE_SIZE, whole_models

__all__ = ["gradient_histogram", "shape"]

# In pixels of a thumbnail.
BLOCK, STRIDE, CELL = (16, 16), (8, 8), (8, 8)
DIRECTIONS = 9


def shape(thumbnail: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The edges of a picture as one vector (128,) int8, to be compared by its cosine; zeros if it
    has none.

    Args:
        thumbnail: (THUMBNAIL_SIDE^2,) of the picture (see `appearance.thumbnail`).
    """
    histogram = gradient_histogram(thumbnail)
    if not histogram.any():
        return np.zeros(SHAPE_SIZE, np.int8)
    return whole_models().shape.shortened(histogram)


def gradient_histogram(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The vector before it is projected: (1764,) float32, of 7 x 7 overlapping blocks of 2 x 2
    cells with 9 directions each.
    """
    square = thumbnail.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    histogram = cv2.HOGDescriptor(square.shape, BLOCK, STRIDE, CELL, DIRECTIONS).compute(square)
    return np.asarray(histogram, np.float32).ravel()
