"""Ragged arrays: many lists laid end to end in one flat array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["list_blocks", "ranges", "starts_of"]

# Items that are worked on at a time, by whatever goes through all of them.
BLOCK = 1_000_000


def ranges(
    starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All (row, item) with item in starts[row] .. starts[row] + sizes[row] - 1, flat."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes) - sizes
    return row, np.arange(len(row)) - before[row] + starts[row]


def starts_of(lengths: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each of some runs begins when they are laid end to end, and where the last ends."""
    return np.concatenate(([0], np.cumsum(np.asarray(lengths), dtype=np.int64)))


def list_blocks(starts: NDArray[np.int64], limit: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Cut lists that begin at `starts` (n + 1,) into blocks (first, last + 1) of at most `limit`
    items in all, or of one list.
    """
    first, count = 0, len(starts) - 1
    while first < count:
        last = int(np.searchsorted(starts, starts[first] + limit, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield first, last
        first = last
