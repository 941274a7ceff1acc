"""The innermost loops of a search, compiled: `_kernel.c`, called by ctypes.

It is built when bovw is installed where there is a C compiler, and nothing is missing without it:
whoever calls this has a way of its own, with the same results to the bit, that takes longer. But
for SIFT, which is compiled into the same file (`features.sift`): OpenCV's is nearly the same.
`BOVW_KERNEL=0` leaves it out. The calls release the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import starts_of

__all__ = [
    "NARROW_WORDS",
    "WORDS",
    "close_postings",
    "is_there",
    "likes_narrow_words",
    "nearest_words",
    "read_ahead",
    "signatures",
    "supports",
]

# It calls nothing of Python, so one file serves all versions.
FILE = "_kernel.abi3.so"
# What this module calls; another one may be left over from an older installation.
VERSION = 3
# Words that lie side by side in memory, and those of 8 bits.
WORDS, NARROW_WORDS = 8, 16
# Close postings that there is room for at first: this share of all, and so many more.
ROOM_SHARE, ROOM = 16, 256


@cache
def library() -> ctypes.CDLL | None:
    """The compiled library; None if there is none for this machine, or it is not wanted."""
    if os.environ.get("BOVW_KERNEL") == "0" or sys.byteorder != "little":
        return None
    try:
        found = ctypes.CDLL(str(Path(__file__).with_name(FILE)))
        version = found.bovw_kernel_version
    except (OSError, AttributeError):
        return None
    version.restype = ctypes.c_int64
    return found if version() == VERSION else None


def is_there() -> bool:
    """Whether the compiled loops can be called."""
    return library() is not None


def function(name: str) -> Any:
    """A function of the library, which returns int64."""
    found = getattr(library(), name)
    found.restype = ctypes.c_int64
    return found


def address(array: NDArray[Any], dtype: type[np.generic]) -> Any:
    """Where the numbers of an array are, which must be of this type and lie in a row. Holds the
    array.
    """
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"an array of {array.dtype} is no contiguous one of {dtype}")
    return array.ctypes.data_as(ctypes.c_void_p)


def likes_narrow_words() -> bool:
    """Whether `nearest_words` is faster here with words of 8 bits."""
    return is_there() and bool(function("bovw_likes_narrow_words")())


def nearest_words(
    points: NDArray[np.int16],
    words: NDArray[np.int16] | NDArray[np.uint8],
    norms: NDArray[np.int32],
    sums: NDArray[np.int32],
    factor: int,
    first_words: NDArray[np.int64],
    visited: NDArray[np.int64],
    count: int,
) -> NDArray[np.int32]:
    """The `count` words of the highest closeness, `factor * point @ word - norm`, among those of
    the cells that each point visits, best first; ties go to lower words: (n, count) int32.

    Args:
        points: (n, d), d even; for narrow words divisible by 4, and the numbers from 0 to 255.
        words: (blocks, d / 2, WORDS, 2) int16 or, narrow, (blocks, d / 4, NARROW_WORDS, 4) uint8,
            those of a cell from a block of its own on.
        norms, sums: (blocks * WORDS or NARROW_WORDS,), norms below 2^30; the sums are of the
            numbers of the words.
        first_words: (C + 1,) of each cell, and the number of words.
        visited: (n, v) different cells, which hold at least `count` words.
    """
    narrow = words.dtype == np.uint8
    dtype, side = (np.uint8, NARROW_WORDS) if narrow else (np.int16, WORDS)
    # the processor multiplies bytes without a sign by such with one
    laid_out = (points - np.int16(128)).astype(np.int8) if narrow else points
    cells = len(first_words) - 1
    blocks = starts_of(-(-np.diff(first_words) // side))
    cell = visited.ravel()
    order = np.argsort(cell.astype(np.uint16), kind="stable")
    visitors = (order // max(visited.shape[1], 1)).astype(np.int32)
    bounds = starts_of(np.bincount(cell, minlength=cells))
    best = np.full((len(points), count), -(1 << 31) + 1, np.int32)
    found = np.zeros((len(points), count), np.int32)
    function("bovw_nearest_words")(
        address(laid_out, np.int8 if narrow else np.int16),
        ctypes.c_int64(points.shape[1]),
        address(words, dtype),
        ctypes.c_int64(narrow),
        address(norms, np.int32),
        address(sums, np.int32),
        ctypes.c_int32(factor),
        address(blocks, np.int64),
        address(first_words, np.int64),
        ctypes.c_int64(cells),
        address(visitors, np.int32),
        address(bounds, np.int64),
        ctypes.c_int64(count),
        address(best, np.int32),
        address(found, np.int32),
    )
    return found


def signatures(
    points: NDArray[np.int16],
    words: NDArray[np.uint8],
    directions: NDArray[np.int16],
    near: NDArray[np.int32],
) -> NDArray[np.uint64]:
    """On which side of the words `near` (n, k) each of n points lies along 64 directions: (n, k)
    uint64, where bit j says whether (point - word) @ direction j > 0.

    Args:
        points: (n, d), d even.
        words: (W, d).
        directions: (d, 64), whole numbers up to 127.
    """
    dimension, bits = directions.shape
    pairs = directions.reshape(dimension // 2, 2, bits).transpose(0, 2, 1)
    laid_out = np.ascontiguousarray(pairs)
    result = np.empty(near.shape, np.uint64)
    function("bovw_sign")(
        address(points, np.int16),
        ctypes.c_int64(len(points)),
        ctypes.c_int64(dimension),
        address(words, np.uint8),
        address(laid_out, np.int16),
        address(near, np.int32),
        ctypes.c_int64(near.shape[1]),
        address(result, np.uint64),
    )
    return result


def close_postings(
    postings: NDArray[np.uint64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    signatures: NDArray[np.uint64],
    limit: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """The postings of some lists whose signatures differ from one signature a list in at most
    `limit` bits: the number of the list, the posting, in how many bits; list after list.

    Args:
        postings: (p,) the signatures of all postings.
        starts, lengths: (n,) the lists, which must lie within them.
        signatures: (n,).
    """
    scan = function("bovw_close_postings")
    room = int(lengths.sum()) // ROOM_SHARE + ROOM
    while True:
        number, posting = np.empty(room, np.int64), np.empty(room, np.int64)
        distance = np.empty(room, np.uint8)
        count = scan(
            address(postings, np.uint64),
            address(starts, np.int64),
            address(lengths, np.int64),
            address(signatures, np.uint64),
            ctypes.c_int64(len(lengths)),
            ctypes.c_int64(limit),
            ctypes.c_int64(room),
            address(number, np.int64),
            address(posting, np.int64),
            address(distance, np.uint8),
        )
        if count <= room:
            return number[:count], posting[:count], distance[:count]
        room = count


def supports(
    columns: Sequence[NDArray[np.float32]],
    weight: NDArray[np.float64],
    tolerances: NDArray[np.float32],
    seeds: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The sums of the weights of the matches first[h] .. last[h] - 1 that agree with the similarity
    that match seeds[h] implies: (h,). What it is to agree says `verification.Implied.inliers`.

    Args:
        columns: of the matches (n,): ln of the scale, cosine and sine of the turn, real and
            imaginary part of the similarity, x and y in the query, x and y in the image, and the
            square of the miss that it allows.
        weight: (n,).
        tolerances: of ln of the scale, the least cosine of the turn, and the square of the slope.
    """
    run = function("bovw_supports")
    sums = np.empty(len(seeds), np.float64)
    pointers = (ctypes.c_void_p * len(columns))(
        *(address(each, np.float32).value for each in columns)
    )
    run(
        pointers,
        address(weight, np.float64),
        address(tolerances, np.float32),
        address(seeds, np.int64),
        address(first, np.int64),
        address(last, np.int64),
        ctypes.c_int64(len(seeds)),
        address(sums, np.float64),
    )
    return sums


def read_ahead(
    array: NDArray[Any], starts: NDArray[np.integer], lengths: NDArray[np.int64] | None = None
) -> bool:
    """Ask the system for the pages of some runs of rows of a mapped array, all at once, unless they
    are in memory: read one by one, each would be waited for. Runs that lie near to each other are
    read as one. Does nothing without the kernel.

    Args:
        starts, lengths: (n,) the runs, ascending, which must lie within the array; without lengths
            they are single rows.

    Returns:
        Whether it asked.
    """
    if not is_there() or not array.flags.c_contiguous or not len(starts):
        return False
    first = np.ascontiguousarray(starts, np.int64)
    asked = function("bovw_read_ahead")(
        ctypes.c_void_p(array.ctypes.data),
        ctypes.c_int64(array.strides[0]),
        address(first, np.int64),
        None if lengths is None else address(lengths, np.int64),
        ctypes.c_int64(len(first)),
    )
    return bool(asked)
