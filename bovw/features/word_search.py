"""The nearest words of many points at once: those of a few cells instead of a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..arrays import starts_of

__all__ = ["WordSearch", "half_norms"]

# So many products of visitors and words are looked at together: 1 MB.
VISITED = 1 << 18
# The highest number of 8 bits.
NARROWEST = 255


class WordSearch:
    """The words of C cells, laid out so that the nearest ones of points are found quickly: by the
    compiled kernel, if there is one, otherwise by matrix products.

    The nearest are those with the highest closeness, `2 * point @ word - word @ word`: the squared
    length of the point minus the squared distance. All are whole numbers: integers, or held exactly
    by float32, so that both ways agree to the bit.
    """

    def __init__(
        self,
        words: Callable[[], Iterable[NDArray[np.float32]]],
        centres: NDArray[np.float32],
        finer: int,
    ) -> None:
        """Args:
        words: gives those of each cell, (n, d), in the unit of the points, d even.
        centres: (C, d) of the cells, in a unit that is finer than that of the points.
        finer: by this factor.
        """
        self.words, self.centres, self.finer = words, centres, finer
        cells = list(words())
        self.first_words = starts_of([len(each) for each in cells])
        self.by_kernel = kernel.is_there()
        if self.by_kernel:
            self.narrow = (
                (LaidOut.of(cells, narrow=True), LaidOut.of([centres], narrow=True))
                if kernel.likes_narrow_words() and all(map(is_narrow, [*cells, centres]))
                else None
            )
            return
        # of each cell (d, n) and half the squared lengths (n,)
        self.cells = [(np.ascontiguousarray(each.T), half_norms(each)) for each in cells]
        self.centre_columns = np.ascontiguousarray(centres.T)
        self.centre_norms = 2 * half_norms(centres)
        sizes = np.diff(self.first_words)
        self.by_size = np.argsort(sizes, kind="stable")
        self.place_by_size = np.argsort(self.by_size)
        self.sizes = sizes[self.by_size].tolist()

    @cached_property
    def wide(self) -> tuple[LaidOut, LaidOut]:
        """The words and the centres for points that are not narrow, which most are."""
        cells = list(self.words())
        return LaidOut.of(cells, narrow=False), LaidOut.of([self.centres], narrow=False)

    def nearest(self, points: NDArray[np.float32], count: int, cells: int) -> NDArray[np.int32]:
        """The `count` nearest words of points (n, d), nearest first, in their `cells` nearest
        cells: (n, count).

        Ties go to lower words. These cells must hold as many words.
        """
        if self.by_kernel:
            return self.nearest_by_kernel(points.astype(np.int16, "C"), count, cells)
        closeness = 2 * self.finer * (points @ self.centre_columns) - self.centre_norms
        visited = nearest_cells(closeness, cells)
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

    def nearest_by_kernel(
        self, points: NDArray[np.int16], count: int, cells: int
    ) -> NDArray[np.int32]:
        """As `nearest`, compiled."""
        if self.narrow is None:
            return self.nearest_laid_out(points, count, cells, self.wide)
        narrow = (points.view(np.uint16) <= NARROWEST).all(axis=1)
        if narrow.all():
            return self.nearest_laid_out(points, count, cells, self.narrow)
        found = np.empty((len(points), count), np.int32)
        found[narrow] = self.nearest_laid_out(points[narrow], count, cells, self.narrow)
        found[~narrow] = self.nearest_laid_out(points[~narrow], count, cells, self.wide)
        return found

    def nearest_laid_out(
        self, points: NDArray[np.int16], count: int, cells: int, laid_out: tuple[LaidOut, LaidOut]
    ) -> NDArray[np.int32]:
        """As `nearest`, among words and centres that are laid out for these points."""
        words, centres = laid_out
        one = np.zeros((len(points), 1), np.int64)
        bounds = np.array([0, len(self.first_words) - 1])
        visited = centres.nearest(points, 2 * self.finer, bounds, one, cells)
        return words.nearest(points, 2, self.first_words, visited.astype(np.int64), count)

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


@dataclass(frozen=True)
class LaidOut:
    """The words of some cells as the kernel reads them: side by side in blocks.

    Attributes:
        words: (blocks, d / 2, WORDS, 2) int16 or, narrow, (blocks, d / 4, NARROW_WORDS, 4) uint8,
            those of a cell from a block of its own on; 0 beyond its last.
        norms: (blocks * side,) int32, their squared lengths.
        sums: (blocks * side,) int32, of their numbers.
    """

    words: NDArray[Any]
    norms: NDArray[np.int32]
    sums: NDArray[np.int32]

    @classmethod
    def of(cls, cells: Sequence[NDArray[np.float32]], *, narrow: bool) -> LaidOut:
        """Lay out cells of words (n, d)."""
        side, group = (kernel.NARROW_WORDS, 4) if narrow else (kernel.WORDS, 2)
        sides = [-(-len(each) // side) for each in cells]
        starts = starts_of(sides)
        dimension = cells[0].shape[1]
        dtype = np.uint8 if narrow else np.int16
        words = np.zeros((int(starts[-1]), dimension // group, side, group), dtype)
        norms, sums = np.zeros((2, int(starts[-1]), side), np.int32)
        for first, count, cell in zip(starts.tolist(), sides, cells, strict=False):
            padded = np.zeros((count * side, dimension), np.int32)
            padded[: len(cell)] = cell
            parts = padded.reshape(count, side, dimension // group, group)
            words[first : first + count] = parts.transpose(0, 2, 1, 3)
            norms[first : first + count] = (padded**2).sum(axis=1).reshape(count, side)
            sums[first : first + count] = padded.sum(axis=1).reshape(count, side)
        return cls(words, norms.ravel(), sums.ravel())

    def nearest(
        self,
        points: NDArray[np.int16],
        factor: int,
        first_words: NDArray[np.int64],
        visited: NDArray[np.int64],
        count: int,
    ) -> NDArray[np.int32]:
        """See `kernel.nearest_words`; for narrow words, the points must be narrow as well."""
        return kernel.nearest_words(
            points, self.words, self.norms, self.sums, factor, first_words, visited, count
        )


def is_narrow(points: NDArray[np.float32]) -> bool:
    """Whether the processor's faster products of 8 bits can be had with these points (n, d)."""
    fits = not len(points) or (points.min() >= 0 and points.max() <= NARROWEST)
    return bool(fits) and points.shape[1] % 4 == 0


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
