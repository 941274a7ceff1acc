"""How much of what tells nearly equal pictures apart is seen in another picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["likenesses"]

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Pictures are compared in windows of so many pixels, which may have moved by so many; the moves
# that a picture of a quarter and of half the size tells come first.
WINDOW = 9
REACH = (1, 2, 2)
# Moves are smoothed over so many pixels.
SMOOTH = 5
# Variance that says nothing, in pictures of variance 1.
NOISE = 0.1
# Share of the pictures that all must cover, and that must differ on average.
COVERED, DIFFERENT = 0.02, 0.005


def likenesses(
    query: NDArray[np.uint8], pictures: Sequence[NDArray[np.uint8]], covered: Mask
) -> list[float] | None:
    """How much of what tells each picture from the others is seen in the query: 0 to 1; None if
    nothing tells them apart.

    A window agrees with another by the contrast and structure terms of SSIM (Wang et al., IEEE TIP
    2004) over all colours, at the place nearby where it agrees best: light, a change of gain and
    small shifts do not matter. A picture's likeness is the mean of its agreement with the query,
    where a window counts as much as the pictures disagree there.

    Args:
        query, pictures: (h, w, 3) uint8, laid onto one another.
        covered: (h, w) where all of them show something.
    """
    inside = cv2.erode(covered.astype(np.uint8), np.ones((3, 3))) > 0
    if inside.mean() < COVERED:
        return None
    seen, *shown = (evened(picture, covered) for picture in (query, *pictures))
    differs = np.zeros(covered.shape, np.float32)
    for number, one in enumerate(shown):
        for other in shown[:number]:
            differs = np.maximum(differs, 1 - agreement(one, other))
    weight = np.minimum(differs, 1) * inside
    if weight.sum() < DIFFERENT * inside.sum():
        return None
    means = [float((agreement(one, seen) * weight).sum() / weight.sum()) for one in shown]
    return [min(max(mean, 0.0), 1.0) for mean in means]


def evened(picture: NDArray[np.uint8], covered: Mask) -> Values:
    """A picture without its noise, of variance 1 where it counts."""
    values = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0)
    spread = float(np.sqrt(values[covered].var(axis=0).mean()))
    return np.asarray(values / max(spread, 1.0), np.float32)


def agreement(one: Values, other: Values) -> Values:
    """How well the window around each pixel (h, w) of a picture agrees with that of another one:
    -1 to 1. Where to look for it is found from coarse to fine.
    """
    ones, others = pyramid(one), pyramid(other)
    moved = np.zeros((*ones[0].shape[:2], 2), np.float32)
    best = np.zeros(ones[0].shape[:2], np.float32)
    for level, reach in enumerate(REACH):
        if level:
            height, width = ones[level].shape[:2]
            moved = cv2.blur(moved, (SMOOTH, SMOOTH), borderType=cv2.BORDER_REFLECT)
            moved = 2 * np.asarray(cv2.resize(moved, (width, height)), np.float32)
        best, step = best_shift(ones[level], displaced(others[level], moved), reach)
        moved = moved + step
    return best


def pyramid(picture: Values) -> list[Values]:
    """A picture at a fraction of its size, and so on up to all of it."""
    levels = [picture]
    for _ in REACH[1:]:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    return levels[::-1]


def best_shift(one: Values, other: Values, reach: int) -> tuple[Values, Values]:
    """The best agreement of each window (h, w) over the shifts of the other picture, and the shift
    (h, w, 2); a shorter one wins a tie.
    """
    steps = range(-reach, reach + 1)
    shifts = sorted(((x, y) for y in steps for x in steps), key=lambda at: at[0] ** 2 + at[1] ** 2)
    mean, variance = moments(one)
    best = np.full(one.shape[:2], -2, np.float32)
    step = np.zeros((*one.shape[:2], 2), np.float32)
    for shift in shifts:
        there = shifted(other, shift)
        mean_there, variance_there = moments(there)
        shared = windowed((one * there).sum(axis=2)) - (mean * mean_there).sum(axis=2)
        agrees = (2 * shared + NOISE) / (variance + variance_there + NOISE)
        better = agrees > best
        best[better] = agrees[better]
        step[better] = shift
    return np.clip(best, -1, 1), step


def moments(picture: Values) -> tuple[Values, Values]:
    """The mean colour (h, w, 3) of each window, and its variance (h, w) over all colours."""
    mean = windowed(picture)
    variance = windowed((picture * picture).sum(axis=2)) - (mean * mean).sum(axis=2)
    return mean, np.maximum(variance, 0)


def windowed(values: Values) -> Values:
    """Means over the window around each pixel."""
    means = cv2.blur(values, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT)
    return np.asarray(means, np.float32)


def shifted(picture: Values, shift: tuple[int, int]) -> Values:
    """What lies at a distance (x, y) from each pixel; the edges go on beyond a picture."""
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) + shift[1], 0, height - 1)
    columns = np.clip(np.arange(width) + shift[0], 0, width - 1)
    return picture[rows[:, None], columns]


def displaced(picture: Values, moved: Values) -> Values:
    """What lies at a distance (h, w, 2) of its own from each pixel."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    laid = cv2.remap(
        picture,
        x + moved[..., 0],
        y + moved[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(laid, np.float32)
