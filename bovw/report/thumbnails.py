"""Thumbnails of many pictures, read through the guarded door in several processes."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..pictures.reading import LIMITS, Limits, read_colours
from ..reporting import Failure, OnFailure
from ..workers.pool import run_in_processes
from ..workers.process import Work

__all__ = ["read_thumbnails", "thumbnail_side"]

# Pictures that a process reads together.
CHUNK = 8
# Pixels of all thumbnails together, and the sides of one in steps of what JPEG compresses together.
PIXELS, LEAST, MOST, STEP = 50_000_000, 16, 128, 16
MISSING = 160


def thumbnail_side(count: int) -> int:
    """The long side of thumbnails, in pixels, of which so many are to be seen at once."""
    side = int((PIXELS / max(count, 1)) ** 0.5) // STEP * STEP
    return min(MOST, max(LEAST, side))


def read_thumbnails(
    paths: Iterable[str],
    side: int,
    *,
    jobs: int = 0,
    limits: Limits = LIMITS,
    failure: OnFailure | None = None,
) -> Generator[NDArray[np.uint8], None, None]:
    """Picture files (h, w, 3) uint8 BGR, shrunk to a long side, in their order; a grey square for
    one that cannot be read, and for an empty path.

    Args:
        jobs: processes that read; 0 reads in this one.
        failure: called with each picture that cannot be read.
    """
    work = Work(partial(read_thumbnail, side=side, limits=limits))
    with closing(run_in_processes(work, paths, CHUNK, jobs, limits.seconds)) as results:
        for result in results:
            if isinstance(result, Failure):
                if failure and result.name:
                    failure(result)
                yield np.full((side, side, 3), MISSING, np.uint8)
            else:
                yield result


def read_thumbnail(path: str, side: int, limits: Limits) -> NDArray[np.uint8] | Failure:
    """One picture, or why it cannot be read; without a name if there is no file to name."""
    if not path:
        return Failure("", "has no file")
    try:
        return read_colours(path, side, limits)[0]
    except ImageError as error:
        return Failure.of(error)
