"""Ragged arrays: many lists laid end to end in one flat array."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RunTable",
    "bisect_lists",
    "lexicographic_order",
    "list_blocks",
    "ranges",
    "rank_in_groups",
    "sorted_unique",
    "starts_of",
]

# Items that are worked on at a time, by whatever goes through all of them.
BLOCK = 1_000_000
# Items in a run of a RunTable; how many bits say where in it the next list begins; and what they
# say if several do.
RUN_BITS, EDGE_BITS = 8, 9
RUN, MIXED = 1 << RUN_BITS, (1 << EDGE_BITS) - 1


def ranges(
    starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All (row, item) with item in starts[row] .. starts[row] + sizes[row] - 1, flat."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes) - sizes
    return row, np.arange(len(row)) + np.repeat(starts - before, sizes)


def starts_of(lengths: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each of some runs begins when they are laid end to end, and where the last ends."""
    return np.concatenate(([0], np.cumsum(np.asarray(lengths), dtype=np.int64)))


def sorted_unique(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """As np.unique, which hashes whole numbers from NumPy 2.3 on: sorting takes a tenth of that."""
    ordered = np.sort(values, axis=None)
    return ordered[np.concatenate(([True], np.diff(ordered) > 0))[: len(ordered)]]


def lexicographic_order(*columns: NDArray[np.integer]) -> NDArray[np.int64]:
    """The order (n,) of rows by their first column, then by the next; of numbers (n,) from 0 on,
    rows distinct. Where all columns fit into one number, sorting these takes a third of
    np.lexsort.
    """
    limits = [int(column.max(initial=0)) + 1 for column in columns]
    if math.prod(limits) >= 1 << 63:
        return np.lexsort(columns[::-1])
    key = columns[0].astype(np.int64)
    for column, limit in zip(columns[1:], limits[1:], strict=True):
        key *= limit
        key += column
    return np.argsort(key)


def rank_in_groups(group: NDArray[np.int64], value: NDArray[np.number]) -> NDArray[np.int64]:
    """How many members of its group come before each item (n,) by a value; ties go to the first."""
    order = np.lexsort((value, group))
    sizes = np.bincount(group)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank


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


def bisect_lists(
    values: NDArray[np.integer], starts: NDArray[np.int64], bound: int
) -> NDArray[np.int64]:
    """Where in each of some ascending lists, laid end to end from `starts` (n + 1,), the first
    value of at least `bound` is, or the list ends: (n,). All lists are bisected at once.
    """
    low, high = starts[:-1].copy(), starts[1:].copy()
    searched = np.flatnonzero(low < high)
    while len(searched):
        middle = (low[searched] + high[searched]) >> 1
        is_below = values[middle] < bound
        low[searched[is_below]] = middle[is_below] + 1
        high[searched[~is_below]] = middle[~is_below]
        searched = searched[low[searched] < high[searched]]
    return low


class RunTable:
    """Tells which list an item belongs to, of lists laid end to end: for most items with one look.

    A bisection of the starts would jump through memory for each item. Instead there is one number
    for each run of RUN items: its upper bits are the list of the run's first item, the lower
    EDGE_BITS how many items of the run come before the next list begins: RUN if none does, MIXED if
    several do. Only items of such a run are looked for by bisection.

    With lists that begin at 0, 300 and 310, of 512 items in all, there are two runs: (list 0, 256),
    and (list 0, MIXED).
    """

    def __init__(self, starts: NDArray[np.int64]) -> None:
        """Args: `starts` (lists + 1,), where each begins and where the last ends; from 0 on."""
        self.starts = starts
        items, lists = int(starts[-1]), len(starts) - 1
        firsts = np.append(np.arange(0, items, RUN), max(items - 1, 0))
        owners = np.searchsorted(starts, firsts, side="right") - 1
        begun = np.diff(owners)
        edge = np.minimum(starts[owners[:-1] + 1] - firsts[:-1], RUN)
        packed = owners[:-1] << EDGE_BITS | np.where(begun > 1, MIXED, edge)
        narrow = lists < 1 << (32 - EDGE_BITS)
        self.packed: NDArray[np.unsignedinteger]
        self.packed = packed.astype(np.uint32 if narrow else np.uint64)

    def owner_of(self, items: NDArray[np.integer]) -> NDArray[np.int64]:
        """The lists (n,) that items (n,) belong to."""
        packed = self.packed[items >> RUN_BITS]
        edge = packed & MIXED
        is_beyond = (items & (RUN - 1)).astype(np.uint32) >= edge
        owner = np.asarray((packed >> EDGE_BITS) + is_beyond, np.int64)
        mixed = np.flatnonzero(edge == MIXED)
        owner[mixed] = np.searchsorted(self.starts, items[mixed], side="right") - 1
        return owner
