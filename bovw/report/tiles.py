"""A grid of thumbnails as tiles to zoom into: the Deep Zoom format, which many viewers show."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import ceil, log2

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from .mosaic import DARK, SLIT, place

__all__ = ["THUMBNAIL", "Tiles"]

# Pixels of a tile, of a cell of the grid, and of a thumbnail in it.
TILE, CELL = 512, 128
THUMBNAIL = CELL - SLIT
QUALITY = 85
DESCRIPTION = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008"
       Format="jpg" Overlap="0" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


class Tiles:
    """A grid of thumbnails as a pyramid of tiles. Level 0 is one pixel, each level is twice as
    large as the one before, and the finest shows thumbnails of THUMBNAIL pixels. However many there
    are, a few tiles are held at a time.

    Attributes:
        width, height: pixels of the finest level.
        finest: its number.
    """

    def __init__(self, cells: NDArray[np.int64], shape: tuple[int, int]) -> None:
        """Args: the cell (n, 2: row, column) of each thumbnail; rows and columns of the grid."""
        self.height, self.width = shape[0] * CELL, shape[1] * CELL
        self.finest = ceil(log2(max(self.width, self.height)))
        self.members: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for number, (row, column) in enumerate((cells * CELL).tolist()):
            tile = column // TILE, row // TILE
            self.members.setdefault(tile, []).append((number, column % TILE, row % TILE))

    def order(self) -> list[int]:
        """The numbers of the thumbnails, in the order in which `write` takes them."""
        tiles = self.walk(0, 0, 0)
        return [number for tile in tiles for number, _, _ in self.members.get(tile, [])]

    def walk(self, level: int, column: int, row: int) -> Iterator[tuple[int, int]]:
        """The finest tiles below a tile, column and row."""
        if level == self.finest:
            yield column, row
        else:
            for below in self.below(level, column, row):
                yield from self.walk(level + 1, *below)

    def below(self, level: int, column: int, row: int) -> Iterator[tuple[int, int]]:
        """The tiles of the next level that a tile shows, column and row."""
        width, height = self.size(level + 1)
        for down in range(2 * row, 2 * row + 2):
            for across in range(2 * column, 2 * column + 2):
                if across * TILE < width and down * TILE < height:
                    yield across, down

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level in pixels."""
        unit = 2 ** (self.finest - level)
        return ceil(self.width / unit), ceil(self.height / unit)

    def write(self, path: str, thumbnails: Iterable[NDArray[np.uint8]]) -> None:
        """Write the description to `path`, which ends in .dzi, and the tiles to the folder
        beside it that Deep Zoom wants: its name without the ending and with _files.

        Args:
            thumbnails: of at most THUMBNAIL pixels, in the order of `order`.

        Raises:
            OutputError: a file cannot be written.
        """
        folder = f"{os.path.splitext(path)[0]}_files"
        for level in range(self.finest + 1):
            make_folder(os.path.join(folder, str(level)))
        self.drawn(folder, iter(thumbnails), 0, 0, 0)
        text = DESCRIPTION.format(tile=TILE, width=self.width, height=self.height)
        write_file(path, text.encode())

    def drawn(
        self,
        folder: str,
        thumbnails: Iterator[NDArray[np.uint8]],
        level: int,
        column: int,
        row: int,
    ) -> NDArray[np.uint8]:
        """The pixels of a tile, written with all that are below it."""
        width, height = self.size(level)
        shape = min(TILE, height - row * TILE), min(TILE, width - column * TILE)
        pixels = np.full((*shape, 3), DARK, np.uint8)
        if level == self.finest:
            for _, left, top in self.members.get((column, row), []):
                place(pixels, next(thumbnails), left, top, CELL)
        else:
            for across, down in self.below(level, column, row):
                finer = self.drawn(folder, thumbnails, level + 1, across, down)
                size = ceil(finer.shape[1] / 2), ceil(finer.shape[0] / 2)
                left, top = across % 2 * TILE // 2, down % 2 * TILE // 2
                half = cv2.resize(finer, size, interpolation=cv2.INTER_AREA)
                pixels[top : top + size[1], left : left + size[0]] = half
        _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        write_file(os.path.join(folder, str(level), f"{column}_{row}.jpg"), content.tobytes())
        return pixels


def make_folder(path: str) -> None:
    """Make a folder, if there is none. Raises OutputError."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(path, f"cannot be made: {error.strerror}") from error


def write_file(path: str, content: bytes) -> None:
    """Write a file. Raises OutputError."""
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror}") from error
