"""Plots as SVG for a page: means with their intervals, and accuracy against cost. No script, no
file, no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Protocol

from .rendering import render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Exact", "Point", "bars", "scatter"]

LABEL, BAR, LINE = 170, 420, 22
WIDTH, HEIGHT, MARGIN = 640, 360, 56
LETTER, SMALL_LINE = 5.5, 11


class Mean(Protocol):
    """A mean with the ends of its interval, if it has one."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Exact:
    """A number without an interval, to be drawn as a mean."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot: what it is called, its cost, its accuracy, and whether it stands
    out.
    """

    label: str
    cost: float
    accuracy: Mean
    marked: bool = False


def bars(title: str, rows: Sequence[tuple[str, Mean]]) -> Markup:
    """Rates from 0 to 1 as bars with their intervals."""
    lines = [
        {
            "label": label,
            "y": number * LINE,
            "width": round(rate.mean * BAR, 1),
            "ends": [
                round(LABEL + end * BAR, 1) for end in (rate.low, rate.high) if end is not None
            ],
            "value": f"{rate.mean:.3f}",
        }
        for number, (label, rate) in enumerate(rows, 1)
    ]
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    return render(
        "bars.svg",
        title=title,
        left=LABEL,
        line=LINE,
        right=LABEL + BAR,
        height=LINE * (len(rows) + 2),
        ticks=[(round(LABEL + share * BAR, 1), f"{share:g}") for share in shares],
        bars=lines,
    )


def scatter(title: str, cost: str, points: Sequence[Point]) -> Markup:
    """Accuracy (up) against cost (to the right, from 0), with the intervals of the accuracy."""
    # one wide interval would squeeze all the points together
    lowest = max(0.0, floor(20 * min(point.accuracy.mean for point in points)) / 20 - 0.05)
    right = max(point.cost for point in points) * 1.25 or 1.0

    def x_of(value: float) -> float:
        return round(MARGIN + value / right * (WIDTH - 2 * MARGIN), 1)

    def y_of(value: float) -> float:
        share = (max(value, lowest) - lowest) / (1.0 - lowest)
        return round(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN), 1)

    taken: list[tuple[float, float, float]] = []
    shown = []
    for point in sorted(points, key=lambda point: (not point.marked, point.cost)):
        x, y = x_of(point.cost), y_of(point.accuracy.mean)
        ends = [y_of(end) for end in (point.accuracy.low, point.accuracy.high) if end is not None]
        label = f"✓ {point.label}" if point.marked else point.label
        label_y = round(free(taken, x + 7, y - 5, LETTER * len(label)), 1)
        shown.append({"x": x, "y": y, "ends": ends, "label": label, "label_y": label_y})
        shown[-1]["kind"] = "marked" if point.marked else "point"
    steps = [step / 4 for step in range(5)]
    levels = [lowest + (1 - lowest) * step for step in steps]
    return render(
        "scatter.svg",
        title=title,
        cost=cost,
        width=WIDTH,
        height=HEIGHT,
        margin=MARGIN,
        levels=[(y_of(level), f"{level:.3f}") for level in levels],
        costs=[(x_of(right * step), f"{right * step:,.0f}") for step in steps],
        points=shown,
    )


def free(taken: list[tuple[float, float, float]], x: float, y: float, width: float) -> float:
    """How far down a label must go that begins at x, y to hide none of those that are there: (left,
    right, y) of each.
    """
    while any(
        x < right and x + width > left and abs(y - other) < SMALL_LINE
        for left, right, other in taken
    ):
        y += 2
    taken.append((x, x + width, y))
    return y
