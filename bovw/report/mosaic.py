"""Pictures made of thumbnails: contact sheets, and one big picture of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

__all__ = ["DARK", "SHEET_SIDE", "SLIT", "contact_sheet", "mosaic", "place"]

SHEET_SIDE, SHEET_COLUMNS, GAP, TITLE = 160, 10, 6, 40
# Pixels between the thumbnails of one big picture, and its ground.
SLIT = 4
LIGHT, DARK = (245, 245, 245), (24, 24, 24)


def contact_sheet(title: str, thumbnails: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Thumbnails of at most SHEET_SIDE pixels in rows below a title: (h, w, 3) uint8 BGR."""
    columns = max(4, min(SHEET_COLUMNS, ceil(len(thumbnails) ** 0.5)))
    rows = ceil(len(thumbnails) / columns)
    step = SHEET_SIDE + GAP
    sheet = np.full((TITLE + rows * step + GAP, columns * step + GAP, 3), LIGHT, np.uint8)
    for number, thumbnail in enumerate(thumbnails):
        row, column = divmod(number, columns)
        place(sheet, thumbnail, GAP + column * step, TITLE + row * step, SHEET_SIDE)
    write_title(sheet[:TITLE], title)
    return sheet


def write_title(strip: NDArray[np.uint8], title: str) -> None:
    """Write a line of text onto a strip of pixels."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(strip)
    font = ImageFont.load_default(20)
    ImageDraw.Draw(picture).text((GAP + 2, len(strip) // 2), title, (40, 40, 40), font, "lm")
    strip[:] = np.asarray(picture)


def place(
    canvas: NDArray[np.uint8], thumbnail: NDArray[np.uint8], left: int, top: int, side: int
) -> None:
    """Lay a thumbnail into the middle of a square of a canvas."""
    height, width = thumbnail.shape[:2]
    y, x = top + (side - height) // 2, left + (side - width) // 2
    canvas[y : y + height, x : x + width] = thumbnail


def mosaic(
    cells: NDArray[np.int64],
    shape: tuple[int, int],
    thumbnails: Iterable[NDArray[np.uint8]],
    side: int,
) -> NDArray[np.uint8]:
    """Thumbnails of at most `side` pixels, each in its cell (n, 2: row, column) of a grid of a
    shape (rows, columns), with a gap between them: (h, w, 3) uint8 BGR.
    """
    step = side + SLIT
    canvas = np.full((shape[0] * step, shape[1] * step, 3), DARK, np.uint8)
    for (row, column), thumbnail in zip(cells.tolist(), thumbnails, strict=True):
        place(canvas, thumbnail, column * step, row * step, step)
    return canvas
