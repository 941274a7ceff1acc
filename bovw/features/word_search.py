"""The nearest words of many points at once: a few small matrix products instead of a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..arrays import starts_of

__all__ = ["WordSearch", "half_norms"]

# So many products of visitors and words are looked at together: 1 MB.
VISITED = 1 << 18


class WordSearch:
    """The words of C cells, laid out so that the nearest ones of points are found quickly.

    The nearest are those with the highest closeness, `point @ word - word @ word / 2`: half the
    squared distance is half the squared length of the point minus that. All are whole numbers as
    float32, so that every sum is exact.
    """

    def __init__(
        self, words: Iterable[NDArray[np.float32]], centres: NDArray[np.float32], finer: float
    ) -> None:
        """Args:
        words: of each cell, (n, d), in the unit of the points.
        centres: (C, d) of the cells, in a unit that is finer than that of the points.
        finer: by this factor.
        """
        # of each cell (d, n) and half the squared lengths (n,)
        self.cells = [(np.ascontiguousarray(each.T), half_norms(each)) for each in words]
        self.centres = np.ascontiguousarray(centres.T)
        self.centre_half_norms = half_norms(centres) / np.float32(finer)
        sizes = np.array([len(half_norm) for _, half_norm in self.cells], np.int64)
        self.first_words = starts_of(sizes)[:-1]
        self.by_size = np.argsort(sizes, kind="stable")
        self.place_by_size = np.argsort(self.by_size)
        self.sizes = sizes[self.by_size].tolist()

    def nearest(self, points: NDArray[np.float32], count: int, cells: int) -> NDArray[np.int32]:
        """The `count` nearest words of points (n, d), nearest first, in their `cells` nearest
        cells: (n, count).

        Ties go to lower words. These cells must hold as many words.
        """
        visited = nearest_cells(points @ self.centres - self.centre_half_norms, cells)
        # visits sorted by cell: each cell then serves all its visitors with one matrix product
        places = self.place_by_size[visited].ravel()
        order = np.argsort(places.astype(np.uint16), kind="stable")
        bounds = starts_of(np.bincount(places, minlength=len(self.cells))).tolist()
        closeness, words = self.scan_cells(points[order // cells], bounds, count)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        rows = (len(points), cells * count)
        best, _ = top_k_rows(closeness[back].reshape(rows), count)
        return np.take_along_axis(words[back].reshape(rows), best, axis=1)

    def scan_cells(
        self, visitors: NDArray[np.float32], bounds: list[int], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The closeness and number of the `count` nearest words of each visitor (n, d), in the cell
        that it has come to: (n, count) each; -inf where the cell has fewer.

        Args:
            bounds: the visitors bounds[i] .. bounds[i + 1] - 1 have come to cell by_size[i].
        """
        closeness = np.full((len(visitors), count), -np.inf, np.float32)
        words = np.zeros((len(visitors), count), np.int32)
        for first, last in self.groups(bounds):
            rows = slice(bounds[first], bounds[last])
            columns, best = top_k_rows(self.compare(visitors, bounds, first, last), count)
            cell = np.repeat(self.by_size[first:last], np.diff(bounds[first : last + 1]))
            closeness[rows, : best.shape[1]] = best
            words[rows, : best.shape[1]] = self.first_words[cell][:, None] + columns
        return closeness, words

    def groups(self, bounds: list[int]) -> Iterator[tuple[int, int]]:
        """Cut the cells by size into groups (first, last + 1), so that few calls do much and what
        they fill stays in the processor's cache.
        """
        first = 0
        while first < len(self.sizes):
            last = first + 1
            while (
                last < len(self.sizes)
                and (bounds[last + 1] - bounds[first]) * self.sizes[last] <= VISITED
            ):
                last += 1
            yield first, last
            first = last

    def compare(
        self, visitors: NDArray[np.float32], bounds: list[int], first: int, last: int
    ) -> NDArray[np.float32]:
        """The closeness of the visitors of cells by_size[first] .. by_size[last - 1] to all words
        of their cell, -inf beyond: (n, words of the largest cell).
        """
        start, end = bounds[first], bounds[last]
        closeness = np.full((end - start, self.sizes[last - 1]), -np.inf, np.float32)
        for place in range(first, last):
            low, high = bounds[place], bounds[place + 1]
            if low < high and self.sizes[place]:
                block, half_norm = self.cells[self.by_size[place]]
                inside = closeness[low - start : high - start, : self.sizes[place]]
                np.matmul(visitors[low:high], block, out=inside)
                inside -= half_norm
        return closeness


def nearest_cells(closeness: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` cells of the highest closeness (n, cells) of each point, ascending: (n, count).
    Overwrites `closeness`.
    """
    return np.sort(top_k_rows(closeness, count)[0], axis=1)


def top_k_rows(
    values: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The columns of the `count` highest values of each row (n, m), and these values, highest
    first: (n, min(count, m)) each. Overwrites `values`.

    Ties go to the lower column. For the few that are wanted, looking for the highest again and
    again takes a ninth of the time of a partition.
    """
    count = min(count, values.shape[1])
    columns = np.empty((len(values), count), np.int64)
    highest = np.empty((len(values), count), np.float32)
    each = np.arange(len(values))
    for place in range(count):
        best = values.argmax(axis=1)
        columns[:, place], highest[:, place] = best, values[each, best]
        values[each, best] = -np.inf
    return columns, highest


def half_norms(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the squared length of each row of (n, d): (n,) float32."""
    return np.asarray(np.einsum("ij,ij->i", points, points) / 2, np.float32)
