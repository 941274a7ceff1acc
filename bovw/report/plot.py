"""Plots as SVG for a page: means with their intervals, and accuracy against cost. No script, no
file, no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Protocol

from .html import escaped

__all__ = ["Point", "bars", "scatter"]

LABEL, BAR, LINE = 170, 420, 22
WIDTH, HEIGHT, MARGIN = 640, 360, 56
TEXT = 'font-family="system-ui, sans-serif" font-size="12" fill="#222"'
LETTER, SMALL_LINE = 5.5, 11
SMALL = TEXT.replace('"12"', '"10"')


class Mean(Protocol):
    """A mean with the ends of its interval, if it has one."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot: what it is called, its cost, its accuracy, and whether it stands
    out.
    """

    label: str
    cost: float
    accuracy: Mean
    marked: bool = False


def bars(title: str, rows: Sequence[tuple[str, Mean]]) -> str:
    """Rates from 0 to 1 as bars with their intervals."""
    height = LINE * (len(rows) + 2)
    parts = [f'<text x="0" y="14" font-weight="bold" {TEXT}>{escaped(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LABEL + share * BAR
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{LINE}" y2="{height - LINE}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle" {TEXT}>{share:g}</text>'
        )
    for number, (label, rate) in enumerate(rows, 1):
        y = number * LINE + 4
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end" {TEXT}>{escaped(label)}</text>'
        )
        parts.append(
            f'<rect x="{LABEL}" y="{y + 2}" width="{rate.mean * BAR:.1f}" height="{LINE - 8}" '
            f'fill="#8fb8de"/>'
        )
        if rate.low is not None and rate.high is not None:
            x1, x2 = LABEL + rate.low * BAR, LABEL + rate.high * BAR
            parts.append(
                f'<path d="M{x1:.1f} {y + 5}v8M{x1:.1f} {y + 9}H{x2:.1f}M{x2:.1f} {y + 5}v8" '
                f'stroke="#123" fill="none"/>'
            )
        parts.append(f'<text x="{LABEL + BAR + 14}" y="{y + 12}" {TEXT}>{rate.mean:.3f}</text>')
    return framed(LABEL + BAR + 70, height, parts)


def scatter(title: str, cost: str, points: Sequence[Point]) -> str:
    """Accuracy (up) against cost (to the right, from 0), with the intervals of the accuracy."""
    # one wide interval would squeeze all the points together
    lowest = max(0.0, floor(20 * min(point.accuracy.mean for point in points)) / 20 - 0.05)
    right, inner_width, inner_height = (
        max(point.cost for point in points) * 1.25 or 1.0,
        WIDTH - 2 * MARGIN,
        HEIGHT - 2 * MARGIN,
    )

    def x_of(value: float) -> float:
        return MARGIN + value / right * inner_width

    def y_of(value: float) -> float:
        return HEIGHT - MARGIN - (value - lowest) / (1.0 - lowest) * inner_height

    parts = [f'<text x="0" y="14" font-weight="bold" {TEXT}>{escaped(title)}</text>']
    for step in range(5):
        value = lowest + (1 - lowest) * step / 4
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" '
            f'y1="{y_of(value):.1f}" y2="{y_of(value):.1f}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{MARGIN - 8}" y="{y_of(value) + 4:.1f}" '
            f'text-anchor="end" {TEXT}>{value:.3f}</text>'
        )
        amount = right * step / 4
        parts.append(
            f'<text x="{x_of(amount):.1f}" y="{HEIGHT - MARGIN + 18}" '
            f'text-anchor="middle" {TEXT}>{amount:,.0f}</text>'
        )
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" '
        f'text-anchor="middle" {TEXT}>{escaped(cost)}</text>'
    )
    taken: list[tuple[float, float, float]] = []
    for point in sorted(points, key=lambda point: (not point.marked, point.cost)):
        x, y, colour = (
            x_of(point.cost),
            y_of(point.accuracy.mean),
            "#c0392b" if point.marked else "#2a6fb0",
        )
        if point.accuracy.low is not None and point.accuracy.high is not None:
            ends = y_of(max(point.accuracy.low, lowest)), y_of(point.accuracy.high)
            parts.append(
                f'<path d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{colour}" opacity=".35"/>'
            )
        # what comes later lies above
        parts.insert(0, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        label_x, label_y = x + 7, free(taken, x + 7, y - 5, LETTER * len(point.label))
        parts.append(
            f'<text x="{label_x:.1f}" y="{label_y:.1f}" {SMALL}>{escaped(point.label)}</text>'
        )
    return framed(WIDTH, HEIGHT, parts)


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


def framed(width: float, height: float, parts: Sequence[str]) -> str:
    """A drawing of this size."""
    return (
        f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        + "".join(parts)
        + "</svg>\n"
    )
