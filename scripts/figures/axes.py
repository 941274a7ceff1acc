"""A chart on a sheet: two axes, and what is drawn between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .sheet import GREY, INK, Colour, Sheet

__all__ = ["Axes"]

Range = tuple[float, float]
Ticks = Sequence[tuple[float, str]]


class Axes:
    """A box of a sheet (left, top, right, bottom) in which x and y are drawn over some ranges."""

    def __init__(self, sheet: Sheet, box: tuple[int, int, int, int], x: Range, y: Range) -> None:
        self.sheet, self.box, self.x, self.y = sheet, box, x, y
        left, top, right, bottom = box
        sheet.box(left, top, right - left, bottom - top, (255, 255, 255))

    def at(
        self,
        x: NDArray[np.floating | np.integer] | float,
        y: NDArray[np.floating | np.integer] | float,
    ) -> NDArray[np.floating]:
        """Where values are on the sheet: (n, 2)."""
        left, top, right, bottom = self.box
        across = left + (np.asarray(x) - self.x[0]) / (self.x[1] - self.x[0]) * (right - left)
        up = bottom - (np.asarray(y) - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - top)
        return np.column_stack(np.broadcast_arrays(across, up))

    def across(self, ticks: Ticks) -> None:
        """Name values of x below the box."""
        for value, text in ticks:
            self.line((value, self.y[0]), (value, self.y[1]), GREY, 0.4)
            ((x, y),) = self.at(value, self.y[0]).tolist()
            self.sheet.text(x, y + 17, text, 12, INK, "ms")

    def up(self, ticks: Ticks) -> None:
        """Name values of y left of the box."""
        for value, text in ticks:
            self.line((self.x[0], value), (self.x[1], value), GREY, 0.4)
            ((x, y),) = self.at(self.x[0], value).tolist()
            self.sheet.text(x - 5, y + 4, text, 12, INK, "rs")

    def line(self, start: Range, end: Range, colour: Colour, opacity: float = 1.0) -> None:
        """A line from one (x, y) to another."""
        self.sheet.lines(self.at(*start), self.at(*end), colour, opacity)

    def points(
        self,
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        radius: int,
        colour: Colour,
        opacity: float = 0.8,
    ) -> None:
        """Points at values (n,)."""
        self.sheet.dots(self.at(x, y), radius, colour, opacity)

    def bars(
        self, x: NDArray[np.floating], y: NDArray[np.floating], width: float, colour: Colour
    ) -> None:
        """Bars of heights y (n,) that begin at x (n,)."""
        lows, highs = self.at(x, np.zeros(len(y))), self.at(x + width, y)
        for (left, bottom), (right, top) in zip(lows.tolist(), highs.tolist(), strict=True):
            if round(top) < round(bottom):
                self.sheet.box(left, top, right - left, bottom - top, colour)
