"""A sheet to draw on: pictures, lines, points and text."""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "AMBER",
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "PAPER",
    "RED",
    "VIOLET",
    "WIDTH",
    "Colour",
    "Pixels",
    "Sheet",
    "fitted",
    "upright",
]

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
# Pixels across: what a page of text shows without shrinking it.
WIDTH = 900
# BGR, as OpenCV has it.
PAPER, INK, GREY = (245, 245, 245), (50, 40, 30), (150, 145, 140)
GREEN, AMBER, RED = (40, 150, 0), (0, 120, 230), (40, 40, 220)
BLUE, VIOLET = (190, 110, 20), (170, 60, 150)
# A photograph in as many colours as a file can name in a byte each is a third of its size.
COLOURS = 256
# OpenCV draws between pixels if places are given in so many bits below one.
FRACTION = 4


class Sheet:
    """Paper of some pixels.

    Attributes:
        pixels: (h, w, 3) uint8 BGR.
    """

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.full((height, width, 3), PAPER, np.uint8)

    def picture(self, left: float, top: float, picture: Pixels) -> None:
        """Lay a picture (h, w, 3) onto the sheet."""
        x, y = round(left), round(top)
        self.pixels[y : y + picture.shape[0], x : x + picture.shape[1]] = picture

    def text(
        self, x: float, y: float, text: str, size: int = 14, colour: Colour = INK, at: str = "ls"
    ) -> None:
        """Write a line. `at` is Pillow's anchor: the left end of the base line is at x, y."""
        picture = Image.fromarray(self.pixels)
        font = ImageFont.load_default(size)
        ImageDraw.Draw(picture).text((round(x), round(y)), text, colour, font, at)
        self.pixels = np.asarray(picture).copy()

    def lines(
        self,
        starts: NDArray[np.floating],
        ends: NDArray[np.floating],
        colour: Colour,
        opacity: float = 1.0,
        width: int = 1,
    ) -> None:
        """Draw lines from places (n, 2) to places (n, 2)."""
        drawn = self.pixels.copy()
        for start, end in zip(fixed(starts), fixed(ends), strict=True):
            cv2.line(drawn, start, end, colour, width, cv2.LINE_AA, FRACTION)
        self._blend(drawn, opacity)

    def rings(
        self,
        places: NDArray[np.floating],
        radii: NDArray[np.floating] | float,
        colour: Colour,
        width: int = 1,
        opacity: float = 1.0,
    ) -> None:
        """Draw circles around places (n, 2)."""
        drawn = self.pixels.copy()
        sizes = np.broadcast_to(radii, len(places))
        for place, radius in zip(fixed(places), sizes.tolist(), strict=True):
            size = round(radius * (1 << FRACTION))
            cv2.circle(drawn, place, size, colour, width, cv2.LINE_AA, FRACTION)
        self._blend(drawn, opacity)

    def dots(
        self, places: NDArray[np.floating], radius: int, colour: Colour, opacity: float = 1.0
    ) -> None:
        """Draw points at places (n, 2)."""
        drawn = self.pixels.copy()
        for x, y in np.rint(places).astype(int).tolist():
            cv2.circle(drawn, (x, y), radius, colour, -1, cv2.LINE_AA)
        self._blend(drawn, opacity)

    def outline(self, corners: NDArray[np.floating], colour: Colour, width: int = 2) -> None:
        """Draw a polygon (n, 2) with a white rim."""
        for each, thickness in (((255, 255, 255), width + 3), (colour, width)):
            points = np.array(fixed(corners), np.int32)
            cv2.polylines(self.pixels, [points], True, each, thickness, cv2.LINE_AA, FRACTION)

    def box(self, left: float, top: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        first, last = (round(left), round(top)), (round(left + width) - 1, round(top + height) - 1)
        cv2.rectangle(self.pixels, first, last, colour, -1)

    def _blend(self, drawn: Pixels, opacity: float) -> None:
        self.pixels = np.asarray(
            cv2.addWeighted(drawn, opacity, self.pixels, 1 - opacity, 0), np.uint8
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sheet as PNG, in few colours."""
        picture = Image.fromarray(np.ascontiguousarray(self.pixels[..., ::-1]))
        picture.quantize(COLOURS, Image.Quantize.MEDIANCUT).save(path, "PNG", optimize=True)


def fixed(places: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Places (n, 2) as OpenCV wants them, in fractions of pixels."""
    return [(x, y) for x, y in np.rint(places * (1 << FRACTION)).astype(int).tolist()]


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """A picture as large as fits."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)


def upright(picture: Pixels, x: float, y: float, window: float, angle: float, side: int) -> Pixels:
    """The square around a place of a picture, `window` pixels wide and turned by an angle in
    radians, as (side, side, 3).
    """
    step, middle = window / side, (side - 1) / 2
    cosine, sine = step * np.cos(angle), step * np.sin(angle)
    matrix = np.array(
        [
            [cosine, -sine, x - middle * (cosine - sine)],
            [sine, cosine, y - middle * (sine + cosine)],
        ]
    )
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if step > 1:  # what is left out must be blurred first
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.5 * step), np.uint8)
    patch = cv2.warpAffine(picture, matrix, (side, side), flags=way, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(patch, np.uint8)
