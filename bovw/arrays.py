"""Ragged arrays: many lists laid end to end in one flat array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["RunTable", "list_blocks", "ranges", "starts_of"]

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


# Items in a run, and the mark of a run in which several lists begin.
RUN, MIXED = 256, 511


class RunTable:
    """Tells which list an item belongs to, of lists laid end to end."""

    def __init__(self, starts: NDArray[np.int64]) -> None:
        self.starts = starts
        items, lists = int(starts[-1]), len(starts) - 1
        firsts = np.append(np.arange(0, items, RUN), max(items - 1, 0))
        owners = np.searchsorted(starts, firsts, side="right") - 1
        begun = np.diff(owners)
        edge = np.minimum(starts[owners[:-1] + 1] - firsts[:-1], RUN)
        packed = owners[:-1] << 9 | np.where(begun > 1, MIXED, edge)
        self.packed = packed.astype(np.uint32 if lists < 1 << 23 else np.uint64)

    def owner_of(self, items: NDArray[np.integer]) -> NDArray[np.int64]:
        """The lists (n,) that items (n,) belong to."""
        packed = self.packed[items >> 8]
        edge = packed & 511
        owner = np.asarray((packed >> 9) + ((items & 255).astype(np.uint32) >= edge), np.int64)
        mixed = np.flatnonzero(edge == MIXED)
        owner[mixed] = np.searchsorted(self.starts, items[mixed], side="right") - 1
        return owner
