"""A map without overlaps: each position gets a cell of a grid, so that neighbours stay near."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["grid_cells", "grid_shape"]

# Cells that are given out together, at the least cost of all; it may take the cube of them.
TOGETHER = 256


def grid_shape(count: int) -> tuple[int, int]:
    """Rows and columns of the grid for so many positions: nearly square, the last row not empty."""
    columns = max(1, ceil(sqrt(count)))
    return max(1, ceil(count / columns)), columns


def grid_cells(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """The row and column (n, 2) of each of some positions (n, 2: x, y) in the grid of
    `grid_shape`; no two have the same.

    The grid is halved again and again along its longer side, and the positions with it, in their
    order along that side. What is left of at most TOGETHER cells is given out so that the sum of
    the squared ways is least (the assignment problem).
    """
    rows, columns = grid_shape(len(positions))
    cells = np.zeros((len(positions), 2), np.int64)
    parts = [(np.arange(len(positions)), 0, 0, rows, columns)]
    while parts:
        members, top, left, height, width = parts.pop()
        if height * width <= TOGETHER:
            cells[members] = np.add(assigned(positions[members], height, width), (top, left))
            continue
        axis = 0 if width >= height else 1
        half = (width if axis == 0 else height) // 2
        first = half * (height if axis == 0 else width)
        along, across = positions[members, axis], positions[members, 1 - axis]
        members = members[np.lexsort((members, across, along))]
        # both parts have as large a share of the cells that stay empty
        kept = round(len(members) * first / (height * width))
        kept = min(first, max(kept, len(members) - (height * width - first)))
        if axis == 0:
            parts.append((members[:kept], top, left, height, half))
            parts.append((members[kept:], top, left + half, height, width - half))
        else:
            parts.append((members[:kept], top, left, half, width))
            parts.append((members[kept:], top + half, left, height - half, width))
    return cells


def assigned(positions: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """The row and column (n, 2) of positions in a grid of this size that they fill all over."""
    from scipy.optimize import linear_sum_assignment

    low, high = positions.min(axis=0, initial=np.inf), positions.max(axis=0, initial=-np.inf)
    scale = np.array([width - 1, height - 1]) / np.maximum(high - low, 1e-12)
    wanted = (positions - low) * scale
    row, column = np.divmod(np.arange(height * width), width)
    ways = (wanted[:, :1] - column) ** 2 + (wanted[:, 1:] - row) ** 2
    _, chosen = linear_sum_assignment(ways)
    return np.stack([row[chosen], column[chosen]], axis=1)
