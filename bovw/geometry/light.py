"""A picture in the light of another one of the same thing, onto which it is laid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["STEP", "relit"]

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Light is looked at in pictures of so many pixels on the long side, in cells of so many.
SIDE, CELL = 256, 4
# Blur in pixels against noise, and over which a pixel is compared with what is around it.
FINE, AROUND = 1.0, 5.0
# A gain is told by pixels that differ from what is around them by so many grey levels, if there are
# so many of them.
TEXTURE, ENOUGH = 6.0, 100
# Rounds of the two estimates that are made in rounds.
FITTING, SPREADING = 12, 64
# Grey levels by which light may change from one cell to the next: what changes more is no light.
STEP = 12.0
# How far light reaches into what is unknown, in cells: next to what is known, and elsewhere, where
# it counts so much.
NEAR, FAR, LITTLE = 1.0, 8.0, 1e-3
# Values beyond which a channel shows nothing any more.
BLACK, WHITE = 2, 253


def relit(first: Pixels, second: Pixels, covered: Mask, step: float = STEP) -> Pixels:
    """The second picture with the gain, the white balance and the light of the first.

    Each channel gets the gain that the contrasts of small things tell: it may depend on how bright
    they are (gamma) and change across the picture (a lamp, a lens). What is then missing is light
    if it changes slowly: it is followed from where the pictures agree to wherever it goes on
    without a step. So gloss and soft shadows are light, and what has sharp edges is none, whatever
    its size. Values that are burnt out, or lost in the dark, become those of the first if these
    may be what was lost.

    Args:
        first, second: (h, w, channels).
        covered: (h, w) where the second covers the first.
        step: grey levels by which light may change from one cell to the next.
    """
    height, width = covered.shape
    shrunk = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * shrunk)), max(1, round(height * shrunk)))
    seen = cv2.resize(covered.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
    if not seen.any():
        return second
    one, other = (coarse(picture, size) for picture in (first, second))
    gains = [fitted(one[..., each], other[..., each], seen) for each in range(one.shape[2])]
    missing = one - gained(other, gains)
    level = np.median(missing[seen], axis=0)
    light = spread(*cell_medians(missing - level, seen), step) + level
    light = cv2.resize(light, None, fx=CELL, fy=CELL)[: size[1], : size[0]]
    light = cv2.resize(light, (width, height)).reshape(first.shape)
    result: Pixels = np.rint(np.clip(gained(second, gains) + light, 0, 255)).astype(np.uint8)
    burnt, dark = second > WHITE, second < BLACK
    result[burnt] = np.maximum(result, first)[burnt]
    result[dark] = np.minimum(result, first)[dark]
    return result


def coarse(picture: Pixels, size: tuple[int, int]) -> Values:
    """A picture, shrunk to a (width, height): (h, w, channels)."""
    small = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(size[1], size[0], -1)


def terms(values: Values) -> list[Values]:
    """What a gained channel is made of: its values (h, w), their squares, and the values weighted
    by how far to the right, down, and from the middle they lie.
    """
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in values.shape)
    y = y[:, None]
    factors = (1, values / 255, x, y, x * x + y * y)
    return [np.asarray(values * factor, np.float32) for factor in factors]


def fitted(one: Values, other: Values, seen: Mask) -> NDArray[np.float64]:
    """How much of each of the `terms` of a channel has the contrasts of another one: the least
    absolute deviations, by iteratively reweighted least squares.
    """
    one, other = (
        np.asarray(cv2.GaussianBlur(each, (0, 0), FINE), np.float32) for each in (one, other)
    )
    share = np.maximum(cv2.GaussianBlur(seen.astype(np.float32), (0, 0), AROUND), 1e-3)
    wanted, *given = (
        values - cv2.GaussianBlur(values * seen, (0, 0), AROUND) / share
        for values in (one, *terms(other))
    )
    weights: NDArray[np.float64] = np.eye(len(given))[0]
    told = seen & (np.maximum(np.abs(wanted), np.abs(given[0])) > TEXTURE)
    if told.sum() < ENOUGH:
        return weights
    target = wanted[told].astype(np.float64)
    facts = np.column_stack([each[told] for each in given]).astype(np.float64)
    for _ in range(FITTING):
        counts = 1 / np.maximum(np.abs(target - facts @ weights), 1.0)
        normal = facts.T @ (facts * counts[:, None])
        weights = np.asarray(
            np.linalg.lstsq(normal, facts.T @ (target * counts), rcond=1e-6)[0], np.float64
        )
    return weights


def gained(picture: NDArray[np.generic], gains: list[NDArray[np.float64]]) -> Values:
    """A picture (h, w, channels) with the gains that were `fitted`."""
    result = np.empty(picture.shape, np.float32)
    for channel, weights in enumerate(gains):
        values = picture[..., channel].astype(np.float32)
        result[..., channel] = sum(
            np.float32(weight) * term for weight, term in zip(weights, terms(values), strict=True)
        )
    return result


def cell_medians(values: Values, seen: Mask) -> tuple[Values, Mask]:
    """The medians (rows, columns, channels) of the cells of a picture over what is seen of them,
    and of which (rows, columns) enough is seen.
    """
    height, width, channels = values.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    cells = np.full((rows * CELL, columns * CELL, channels), np.inf, np.float32)
    cells[:height, :width] = np.where(seen[..., None], values, np.inf)
    cells = cells.reshape(rows, CELL, columns, CELL, channels).swapaxes(1, 2)
    cells = np.sort(cells.reshape(rows, columns, CELL * CELL, channels), axis=2)
    count = np.isfinite(cells[..., 0]).sum(axis=2)
    middle = np.maximum(count - 1, 0)[..., None, None] // 2
    medians = np.take_along_axis(cells, middle, axis=2)[:, :, 0]
    enough = count >= CELL * CELL // 4
    return np.where(enough[..., None], medians, 0).astype(np.float32), enough


def spread(cells: Values, enough: Mask, step: float) -> Values:
    """Light (rows, columns, channels) that goes through all cells that it reaches without a step,
    from those where there is none.
    """
    light, known = np.zeros_like(cells), np.zeros_like(enough)
    for _ in range(SPREADING):
        reached = enough & (np.abs(cells - light).max(axis=2) < step)
        if np.array_equal(reached, known):
            break
        known = reached
        weight = known.astype(np.float32)
        weighted = np.dstack([cells * weight[..., None], weight])
        near, far = (
            cv2.GaussianBlur(weighted, (0, 0), reach, borderType=cv2.BORDER_CONSTANT)
            for reach in (NEAR, FAR)
        )
        total = near + LITTLE * far
        light = np.asarray(total[..., :-1] / np.maximum(total[..., -1:], 1e-12), np.float32)
    return light
