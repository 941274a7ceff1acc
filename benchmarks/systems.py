"""What compare.py asks of a system, and what the systems share.

Each is given the database as files and a query as a file, and may use all cores. Where a package
documents how to search, it is done in that way. Settings that were compared (ratios, RANSAC or
MAGSAC, distances, bins, hashes, the features of pimmi, verification in COLMAP) are those that found
the most on 30 to 200 of the development pictures; the rest is as documented. A rival whose package
is absent raises ImportError when it is made.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import joblib
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")

# The longest side that local features are extracted at, as in bovw.
SIDE = 1024
# So many pictures are asked for, where that can be said: up to 58 answers are left out when a query
# is scored.
DEPTH = 60


@dataclass(frozen=True)
class Question:
    """A query as a system gets it: the file, and whether it is a part of what is sought. Only bovw
    has a use for the latter.
    """

    path: str
    crop: bool


class System(ABC):
    """A system under comparison.

    Attributes:
        name: of the system, as --only takes it.
        settings: in words.
        sampled: too slow for all queries.
        trained: has a vocabulary to train, in `train`.
        extraction: seconds that the last query spent on reading and features; NaN where that cannot
            be told.
        uncounted: seconds of the last query that the system's interface wastes and its search would
            not need.
    """

    name: str
    settings: str
    sampled = False
    trained = False

    def __init__(self, work: Path) -> None:
        """`work` is an empty folder for what the system writes."""
        self.work = work
        self.extraction = math.nan
        self.uncounted = 0.0

    @abstractmethod
    def version(self) -> str:
        """Version of the package."""

    def train(self, pictures: list[str]) -> None:
        """Train a vocabulary on pictures that are in no database."""
        raise NotImplementedError

    @abstractmethod
    def build(self, paths: list[str]) -> None:
        """Make the index of the database."""

    @abstractmethod
    def rank(self, question: Question) -> list[str]:
        """The pictures of the database, best first: all or as many as the system finds."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of the index, on disk where the system keeps it there, else in memory."""


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The function of each item, on all cores; for functions that leave the interpreter."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def in_processes(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The function of each item, on all cores; for functions that are written in Python."""
    results: list[Result] = joblib.Parallel(n_jobs=os.cpu_count())(
        joblib.delayed(function)(item) for item in items
    )
    return results


def best_first(paths: list[str], distances: Iterable[Any]) -> list[str]:
    """The paths by distance; ties go by path."""
    return [path for _, path in sorted(zip(distances, paths, strict=True))]


def read(path: str, flags: int) -> NDArray[Any]:
    """The pixels of a file, upright, at most SIDE long."""
    pixels = cv2.imread(path, flags)
    if pixels is None:
        raise OSError(f"{path}: not readable")
    shrink = SIDE / max(pixels.shape[:2])
    return (
        cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        if shrink < 1
        else pixels
    )


def select_by_grid(items: list[Item], count: int) -> list[Item]:
    """So many of the items, evenly spread."""
    return (
        [items[place * len(items) // count] for place in range(count)]
        if count < len(items)
        else items
    )
