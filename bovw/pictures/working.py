"""The working size: how far a picture is shrunk before its features are looked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["working_area", "working_unit"]


def working_unit(
    width: NDArray[np.float64] | float, height: NDArray[np.float64] | float, max_side: int
) -> NDArray[np.float64]:
    """Original pixels in a working pixel, of pictures (n,) of these sizes; at least 1.

    The long side becomes `max_side`. A picture that is longer than twice its other side keeps the
    area of one that is not: shrunk by its long side alone, nothing of a panorama would be left.
    """
    width, height = np.asarray(width, np.float64), np.asarray(height, np.float64)
    side = np.minimum(np.maximum(width, height), np.sqrt(2 * width * height))
    return np.asarray(np.maximum(1.0, side / max_side))


def working_area(sizes: NDArray[np.float64], max_side: int) -> NDArray[np.float64]:
    """The areas (n,) of pictures of these (n, 2) widths and heights, in square working pixels."""
    width, height = sizes.T
    return np.asarray(width * height / working_unit(width, height, max_side) ** 2)
