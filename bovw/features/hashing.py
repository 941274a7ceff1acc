"""Perceptual hashes: 64 bits of a picture that survive resizing and recompression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["ORIENTATIONS", "orientations", "perceptual_hash"]

# The names of the symmetries of the square, in the order of `orientations`.
ORIENTATIONS = (
    "upright",
    "mirrored",
    "turned 90",
    "mirrored, turned 90",
    "turned 180",
    "mirrored, turned 180",
    "turned 270",
    "mirrored, turned 270",
)
# Side of the square that a picture is shrunk to, and of the block of coefficients that are kept.
SIDE, KEPT = 32, 8
ODD = np.arange(KEPT) % 2 == 1


def perceptual_hash(gray: NDArray[np.uint8]) -> np.uint64:
    """The signs of the 63 lowest coefficients of a picture's cosine transform (pHash: Zauner,
    2010), bit 8 v + u for the coefficient of v half periods down and u across; bit 0, of the mean,
    is always 0.

    Signs instead of a comparison with their median, so that the hashes of a turned or mirrored
    picture follow from its own (see `orientations`).

    Args:
        gray: (h, w) grey values.
    """
    square = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    signs = np.asarray(cv2.dct(square))[:KEPT, :KEPT] > 0
    signs[0, 0] = False
    return np.uint64(packed(signs[None])[0])


def orientations(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes (n, 8) of pictures with some hashes (n,) in the eight orientations that
    ORIENTATIONS names: mirrored left to right first, then turned clockwise by right angles.

    A mirrored cosine transform has other signs in its odd columns, and a transposed picture the
    transposed transform; a coefficient of 0 is no exception but in its own bit.
    """
    bits = np.unpackbits(
        hashes.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little"
    )
    upright = bits.reshape(-1, KEPT, KEPT).astype(bool)
    variants = []
    for start in (upright, upright ^ ODD):
        turned = start
        for _ in range(4):
            variants.append(turned)
            turned = turned.swapaxes(1, 2) ^ ODD  # clockwise: transposed, then mirrored
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    clear = np.stack([variants[each] for each in order], axis=1)
    clear[..., 0, 0] = False
    return packed(clear.reshape(-1, KEPT, KEPT)).reshape(-1, 8)


def packed(signs: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Hashes (n,) from bits (n, 8, 8)."""
    packed_bits = np.packbits(signs.reshape(len(signs), KEPT * KEPT), axis=1, bitorder="little")
    return packed_bits.view("<u8").ravel().astype(np.uint64)
