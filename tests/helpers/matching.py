"""Matches between two pictures, made up of true and random ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bovw.geometry.transform import project
from bovw.geometry.verification import Matches
from tests.helpers.pictures import Matrix, corners

SIZE = 400.0
CORNERS = corners(SIZE, SIZE)


def similarity(scale: float, turn: float, shift: tuple[float, float] = (30.0, -20.0)) -> Matrix:
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]])


def corner_error(found: Matrix, true: Matrix) -> float:
    """How far apart two transforms put a corner at most."""
    return float(np.hypot(*(project(found, CORNERS) - project(true, CORNERS)).T).max())


def complex_of(points: Matrix) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1]


def matches_through(matrix: Matrix, seed: int, good: int, bad: int, noise: float = 0.0) -> Matches:
    """One candidate: `good` matches through a transform and `bad` random ones, in random order."""
    rng = np.random.default_rng(seed)
    total = good + bad
    query = rng.uniform(0, SIZE, (total, 2))
    image = project(matrix, query) + rng.normal(size=(total, 2)) * noise
    frame = project(matrix, CORNERS)
    low, high = frame.min(axis=0), frame.max(axis=0)
    determinant = np.linalg.det(matrix[:2, :2])
    rotation = np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])
    log_scale = np.log(abs(determinant)) / 2 + rng.uniform(-0.1, 0.1, total)
    turn = rotation + rng.uniform(-0.1, 0.1, total)
    image[good:] = rng.uniform(low, high, (bad, 2))
    log_scale[good:], turn[good:] = rng.uniform(-1.5, 1.5, bad), rng.uniform(-np.pi, np.pi, bad)
    order = rng.permutation(total)
    return Matches(
        candidate=np.zeros(total, np.int64),
        count=1,
        query=complex_of(query)[order],
        image=complex_of(image)[order],
        log_scale=log_scale[order],
        turn=turn[order],
        weight=rng.uniform(0.5, 1.5, total),
        query_feature=order.astype(np.int64),  # numbers below `good` are the true ones
        image_feature=order.astype(np.int64),
    )


def joined(parts: list[Matches]) -> Matches:
    """Several one-candidate sets as one."""

    def all_of(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("query", "image", "log_scale", "turn", "weight", "query_feature", "image_feature")
    number = np.repeat(np.arange(len(parts)), [len(part.query) for part in parts])
    return Matches(candidate=number, count=len(parts), **{name: all_of(name) for name in names})  # type: ignore[arg-type]
