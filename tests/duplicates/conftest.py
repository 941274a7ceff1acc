"""Pictures and copies of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import Vocabulary
from tests.helpers.pictures import textured

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def words() -> Vocabulary:
    """The words that ship."""
    return Vocabulary.shipped()


def jpeg(pixels: Pixels, quality: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def covered(pixels: Pixels) -> Pixels:
    """With a bar on top, as large as a caption."""
    found = pixels.copy()
    found[100:140, 20:220] = 255
    return found


@pytest.fixture(scope="session")
def copies() -> dict[str, bytes | Pixels]:
    """A picture, copies of it by what they are, and others: 240 x 180 pixels."""
    picture = textured(1, 240, 180)
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return {
        "original": cv2.imencode(".png", picture)[1].tobytes(),
        "identical": cv2.imencode(".png", picture)[1].tobytes(),
        "recompressed": jpeg(picture, 60),
        "0.5 x": np.asarray(half, np.uint8),
        "turned 90": np.ascontiguousarray(np.rot90(picture, -1)),
        "turned 180": np.ascontiguousarray(picture[::-1, ::-1]),
        "mirrored": np.ascontiguousarray(picture[:, ::-1]),
        "turned 270, mirrored": np.ascontiguousarray(np.rot90(picture[:, ::-1], 1)),
        "edited": (picture * 0.5).astype(np.uint8),
        "edited: covered": covered(picture),
        "crop of (56 %)": np.ascontiguousarray(picture[20:155, 30:210]),
        "other": textured(2, 240, 180),
        "another": textured(3, 240, 180),
    }
