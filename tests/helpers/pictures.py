"""Procedural pictures for the tests: rich in texture, small, the same for the same seed.

Points are pixels, x right and y down, the centre of the first pixel being (0, 0).
"""

from __future__ import annotations

import io
from math import cos, radians, sin
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]


def textured(seed: int, width: int = 480, height: int = 360) -> Pixels:
    """A picture (height, width, 3) uint8 BGR of overlapping shapes and smooth noise: some hundreds
    of SIFT features.
    """
    rng = np.random.default_rng(seed)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = rng.integers(60, 200, 3)
    reach = max(12, min(width, height) // 6)
    for number in range(70):
        colour = rng.integers(0, 256, 3).tolist()
        centre = rng.integers(0, (width, height))
        if number % 3 == 0:
            points = (centre + rng.integers(-reach, reach, (int(rng.integers(3, 7)), 2))).astype(
                np.int32
            )
            cv2.fillPoly(picture, [points], colour, cv2.LINE_AA)
        elif number % 3 == 1:
            cv2.circle(
                picture, centre.tolist(), int(rng.integers(3, reach // 2)), colour, -1, cv2.LINE_AA
            )
        else:
            end = (centre + rng.integers(-reach, reach, 2)).tolist()
            cv2.line(picture, centre.tolist(), end, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    noise = sum(
        smooth_noise(rng, height, width, sigma) * strength
        for sigma, strength in ((2.5, 9.0), (9.0, 14.0))
    )
    return np.asarray(np.clip(picture + np.asarray(noise)[..., None], 0, 255), np.uint8)


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, sigma: float
) -> NDArray[np.float64]:
    """Gaussian noise (height, width) blurred by `sigma`, of unit variance."""
    noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma)
    return np.asarray(noise / noise.std(), np.float64)


def blobs(width: int, height: int, places: Matrix, sigma: float) -> Pixels:
    """Bright Gaussian blobs on grey, (height, width) 8-bit values, with their centres at places (n,
    2).
    """
    values = np.full((height, width), 40.0)
    for x, y in places:
        across, down = np.arange(width) - x, np.arange(height) - y
        values += 200 * np.exp(-(across[None] ** 2 + down[:, None] ** 2) / (2 * sigma**2))
    return np.asarray(np.rint(np.clip(values, 0, 255)), np.uint8)


def warped(picture: Pixels, homography: Matrix, size: tuple[int, int]) -> Pixels:
    """The picture through a homography from its pixels to those of the result, which has size
    (width, height).
    """
    return np.asarray(
        cv2.warpPerspective(
            picture, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ),
        np.uint8,
    )


def crop_query(
    picture: Pixels,
    x: float,
    y: float,
    w: float,
    h: float,
    angle_degrees: float = 0.0,
    scale: float = 1.0,
) -> tuple[Pixels, Matrix]:
    """Cut out the w x h pixels at x, y, turned about their centre, and resize by `scale`.

    Returns:
        The query, and the homography (3, 3) from its pixels to those of the picture.
    """
    width, height = max(1, round(w * scale)), max(1, round(h * scale))
    turn = radians(angle_degrees)
    linear = np.array([[cos(turn), -sin(turn)], [sin(turn), cos(turn)]]) / scale
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array([x + (w - 1) / 2, y + (h - 1) / 2]) - linear @ np.array(
        [(width - 1) / 2, (height - 1) / 2]
    )
    if scale < 1:
        picture = np.asarray(
            cv2.GaussianBlur(picture, (0, 0), 0.5 * (scale**-2 - 1) ** 0.5), np.uint8
        )
    return warped(picture, np.asarray(np.linalg.inv(matrix), np.float64), (width, height)), matrix


def corners(width: float, height: float) -> Matrix:
    """Centres of the corner pixels (4, 2): top left, top right, bottom right, bottom left."""
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)


def encoded(pixels: NDArray[Any], ending: str = ".png") -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


def endless_jpeg() -> bytes:
    """A small JPEG file that takes minutes to decode: its last scan, which changes nothing, is
    there 100,000 times.
    """
    stream = io.BytesIO()
    Image.new("L", (2000, 2000), 90).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + 100_000 * scan + whole[-2:]
