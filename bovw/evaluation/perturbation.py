"""Ways in which a picture comes back changed: cut, turned, scaled, compressed, blurred, covered,
pasted; with the true place.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.transform import corners_of, project

__all__ = ["PERTURBATIONS", "Perturbation", "outline_of", "perturbed"]

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]
# No query is made smaller than this, in pixels.
MIN_SIDE = 8
# What stands for another picture where there is none to paste into.
GREY = 128


@dataclass(frozen=True)
class Perturbation:
    """What is done to a picture, in this order.

    Attributes:
        area: a window of this share of the area is cut out at a random place; it has the shape of
            the picture.
        angle: degrees by which the content is turned, clockwise as pictures are seen.
        scale: pixels of the query a pixel of the picture becomes, as a ratio of lengths.
        perspective: each corner wanders by up to this share of the sides.
        mirrored: left and right are swapped.
        blur: standard deviation of a Gaussian, in pixels of the query.
        gain, offset: what light does to the values.
        noise: standard deviation of Gaussian noise, in grey levels.
        covered: a plain rectangle hides this share of the sides.
        pasted: put into the middle of another picture of twice its size.
        quality: of JPEG; None leaves the pixels as they are.
    """

    area: float = 0.5
    angle: float = 0.0
    scale: float = 1.0
    perspective: float = 0.0
    mirrored: bool = False
    blur: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 0.0
    covered: float = 0.0
    pasted: bool = False
    quality: int | None = 90


PERTURBATIONS = {
    "crop 50 %": Perturbation(),
    "crop 25 %": Perturbation(area=0.25),
    "crop 10 %": Perturbation(area=0.10),
    "crop 5 %": Perturbation(area=0.05),
    "crop 2 %": Perturbation(area=0.02),
    "turned 30": Perturbation(area=0.25, angle=30),
    "turned 90": Perturbation(area=0.25, angle=90),
    "turned 180": Perturbation(area=0.25, angle=180),
    "half size": Perturbation(area=1.0, scale=0.5),
    "quarter size": Perturbation(area=1.0, scale=0.25),
    "double size": Perturbation(area=0.10, scale=2.0),
    "perspective": Perturbation(area=0.4, perspective=0.12),
    "steep perspective": Perturbation(area=0.4, perspective=0.25),
    "JPEG 30": Perturbation(quality=30),
    "JPEG 10": Perturbation(quality=10),
    "blur 2": Perturbation(blur=2.0),
    "blur 4": Perturbation(blur=4.0),
    "noise 15": Perturbation(noise=15.0),
    "noise 30": Perturbation(noise=30.0),
    "dark": Perturbation(gain=0.35),
    "bright": Perturbation(gain=1.5, offset=50.0),
    "covered": Perturbation(covered=0.6),
    "mirrored": Perturbation(mirrored=True),
    "pasted": Perturbation(area=0.3, scale=0.8, pasted=True),
    "all of it": Perturbation(
        area=0.25, angle=15, scale=0.7, perspective=0.08, blur=1.0, gain=0.7, noise=8.0, quality=40
    ),
}


def perturbed(
    picture: Pixels,
    perturbation: Perturbation,
    rng: np.random.Generator,
    other: Pixels | None = None,
) -> tuple[Pixels, NDArray[np.float64]]:
    """Make a query out of a picture.

    Args:
        picture: (h, w, 3) uint8.
        rng: where the window lies, and what else is random.
        other: (h, w, 3) the picture to paste into; plain grey by default.

    Returns:
        The query (h, w, 3) uint8, and the true homography (3, 3) from its pixels to those of the
        picture (centre of the first pixel (0, 0)). Where a turned window leaves the picture, the
        picture is reflected.
    """
    to_query, size = placed(picture.shape[1], picture.shape[0], perturbation, rng)
    if perturbation.scale < 1:
        # what the query cannot show must go before it is sampled; pictures are taken to have a blur
        # of half a pixel
        picture = np.asarray(
            cv2.GaussianBlur(picture, (0, 0), 0.5 * (perturbation.scale**-2 - 1) ** 0.5), np.uint8
        )
    query = np.asarray(
        cv2.warpPerspective(
            picture, to_query, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        ),
        np.uint8,
    )
    query = relit(query, perturbation, rng)
    if perturbation.covered:
        cover(query, perturbation.covered, rng)
    if perturbation.pasted:
        query, shift = pasted(query, other)
        to_query = shift @ to_query
    if perturbation.quality is not None:
        _, content = cv2.imencode(".jpg", query, [cv2.IMWRITE_JPEG_QUALITY, perturbation.quality])
        query = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    homography = np.linalg.inv(to_query)
    return query, homography / homography[2, 2]


def placed(
    width: int, height: int, perturbation: Perturbation, rng: np.random.Generator
) -> tuple[Matrix, tuple[int, int]]:
    """The homography (3, 3) from a picture to a query cut out of it, and the query's (width,
    height).
    """
    side = perturbation.area**0.5
    w, h = (min(full, max(MIN_SIDE, round(full * side))) for full in (width, height))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    size = (
        max(MIN_SIDE, round(w * perturbation.scale)),
        max(MIN_SIDE, round(h * perturbation.scale)),
    )
    turn = np.deg2rad(perturbation.angle)
    linear = perturbation.scale * np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    )
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = (np.array(size) - 1) / 2 - linear @ [x + (w - 1) / 2, y + (h - 1) / 2]
    if perturbation.perspective:
        corners = corners_of((0, 0, *size)).astype(np.float32)
        wander = rng.uniform(-perturbation.perspective, perturbation.perspective, (4, 2)) * size
        matrix = (
            cv2.getPerspectiveTransform((corners + wander).astype(np.float32), corners) @ matrix
        )
    if perturbation.mirrored:
        matrix = np.array([[-1.0, 0.0, size[0] - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ matrix
    return matrix, size


def relit(query: Pixels, perturbation: Perturbation, rng: np.random.Generator) -> Pixels:
    """A query blurred, under another light, with noise."""
    if perturbation.blur:
        query = np.asarray(cv2.GaussianBlur(query, (0, 0), perturbation.blur), np.uint8)
    if (perturbation.gain, perturbation.offset, perturbation.noise) == (1.0, 0.0, 0.0):
        return query
    values = query * np.float32(perturbation.gain) + np.float32(perturbation.offset)
    if perturbation.noise:
        values += rng.normal(0, perturbation.noise, query.shape)
    return np.asarray(np.rint(np.clip(values, 0, 255)), np.uint8)


def cover(query: Pixels, share: float, rng: np.random.Generator) -> None:
    """Hide a part of a query under a plain rectangle."""
    height, width = query.shape[:2]
    w, h = round(width * share), round(height * share)
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    query[y : y + h, x : x + w] = rng.integers(0, 256, 3)


def pasted(query: Pixels, other: Pixels | None) -> tuple[Pixels, Matrix]:
    """A query in the middle of another picture of twice its size, and the shift (3, 3) of its
    pixels.
    """
    height, width = query.shape[:2]
    size = (2 * width, 2 * height)
    canvas = (
        np.full((size[1], size[0], 3), GREY, np.uint8)
        if other is None
        else cv2.resize(other, size, interpolation=cv2.INTER_AREA)
    )
    x, y = width // 2, height // 2
    canvas[y : y + height, x : x + width] = query
    return np.asarray(canvas, np.uint8), np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def outline_of(size: tuple[int, int], homography: Matrix) -> NDArray[np.float64]:
    """Where the corners of a query of this (width, height) lie in the picture that it was made of:
    (4, 2).
    """
    return project(homography, corners_of((0, 0, *size)))
