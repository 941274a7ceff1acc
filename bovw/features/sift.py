"""SIFT keypoints and descriptors (Lowe, IJCV 2004), by the compiled loops of `_sift_*.c`.

The pyramid is of 16-bit whole numbers, half as large and several times as fast as OpenCV's of
floats, and it is built once: keypoints are found, some are chosen, and only those are described.
The features are OpenCV's but for unstable ones, and the same on every processor.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import kernel

__all__ = ["sift"]

# A thread keeps up to so many bytes for its next picture: to get them from the system takes as long
# as to fill them.
KEPT_BYTES = 1 << 27
# Keypoints that there is room for at first: one in so many pixels, and so many more.
ROOM_SHARE, ROOM = 16, 256
# Features that a keypoint may become, one an orientation.
MOST_PEAKS = 4
DIMENSION = 128


class Kept(threading.local):
    """What a thread keeps from one picture to the next."""

    pyramid: NDArray[np.int16] = np.empty(0, np.int16)

    def room(self, count: int) -> NDArray[np.int16]:
        """An array of so many numbers or more, which holds anything."""
        if count * 2 > KEPT_BYTES:
            return np.empty(count, np.int16)
        if len(self.pyramid) < count:
            self.pyramid = np.empty(count, np.int16)
        return self.pyramid


KEPT = Kept()


def sift(
    gray: NDArray[np.uint8],
    contrast: float,
    choose: Callable[[NDArray[np.float32]], NDArray[np.int64]],
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Some features of a picture: (n, 5) as x, y, size, angle in degrees clockwise from the x axis
    as y points down, response; and their descriptors (n, 128).

    Sizes are diameters in pixels, responses contrasts from 0 to 1. Needs the kernel.

    Args:
        gray: (h, w), 8 x 8 or more.
        contrast: the least of a keypoint, times the number of layers (3).
        choose: which of some keypoints (n, 5) are described, in which order; all have the angle 0.
            Those that have several orientations become several features.
    """
    height, width = (ctypes.c_int64(side) for side in gray.shape)
    gray = np.ascontiguousarray(gray)
    pyramid = KEPT.room(kernel.function("bovw_sift_room")(height, width))
    room = gray.size // ROOM_SHARE + ROOM
    while True:
        places, found = np.empty((room, 4), np.int32), np.empty((room, 4), np.float32)
        count = kernel.function("bovw_sift_detect")(
            kernel.address(gray, np.uint8),
            height,
            width,
            ctypes.c_double(contrast),
            ctypes.c_int64(room),
            kernel.address(pyramid, np.int16),
            kernel.address(places, np.int32),
            kernel.address(found, np.float32),
        )
        if count <= room:
            break
        room = count
    # several extrema may be refined to the same one
    octave, layer, y, x = places[:count].astype(np.int64).T
    key = ((octave * 4 + layer) << 40) + (y << 20) + x
    different = np.unique(key, return_index=True)[1]
    rows = np.insert(found[different], 3, 0, axis=1)
    chosen = choose(rows)
    rows, kept = rows[chosen], different[chosen]
    numbers = np.empty(MOST_PEAKS * len(rows), np.int32)
    turns = np.empty(len(numbers), np.float32)
    descriptors = np.empty((len(numbers), DIMENSION), np.uint8)
    count = kernel.function("bovw_sift_describe")(
        height,
        width,
        kernel.address(pyramid, np.int16),
        kernel.address(places[kept], np.int32),
        kernel.address(found[kept], np.float32),
        ctypes.c_int64(len(rows)),
        kernel.address(numbers, np.int32),
        kernel.address(turns, np.float32),
        kernel.address(descriptors, np.uint8),
    )
    rows = rows[numbers[:count]]
    rows[:, 3] = turns[:count] * np.float32(360)
    return rows, descriptors[:count]
