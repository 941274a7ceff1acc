"""A map of pictures as one HTML file that needs nothing else: to pan, zoom, hover and click."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import printable
from .rendering import FOLDER, render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["SHEET", "Caption", "map_page", "mean_colour", "sheets_of"]

# Pixels of a sheet of thumbnails, across and down: more is too much for some browsers.
SHEET = 4096
QUALITY = 75
# What the page does with the module that draws it.
START = """
begin(
  JSON.parse(document.getElementById("data").textContent),
  [...document.querySelectorAll("img.sheet")],
);
"""


@dataclass(frozen=True)
class Caption:
    """What the page tells of a picture.

    Attributes:
        name: of the picture.
        facts: in one line.
        link: to the picture, as seen from the page; empty if there is none.
    """

    name: str
    facts: str = ""
    link: str = ""


def map_page(
    title: str,
    facts: str,
    positions: NDArray[np.float64],
    cells: NDArray[np.int64],
    captions: Sequence[Caption],
    thumbnails: Sequence[NDArray[np.uint8]],
    side: int,
) -> Markup:
    """A page of pictures at positions (n, 2: x right, y down) or, as its reader likes, at the
    cells (n, 2: row, column) of a grid.

    Args:
        facts: of the map, in one line.
        thumbnails: (h, w, 3) uint8 BGR, of at most `side` pixels.
    """
    from markupsafe import Markup

    data: dict[str, Any] = {
        "side": side,
        "across": SHEET // side,
        "x": positions[:, 0].round(4).tolist(),
        "y": positions[:, 1].round(4).tolist(),
        "row": cells[:, 0].tolist(),
        "column": cells[:, 1].tolist(),
        "width": [each.shape[1] for each in thumbnails],
        "height": [each.shape[0] for each in thumbnails],
        "colour": [mean_colour(each) for each in thumbnails],
        "names": [printable(each.name) for each in captions],
        "facts": [printable(each.facts) for each in captions],
        "links": [each.link for each in captions],
    }
    # nothing in it may end the element that it stands in
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    script = (FOLDER / "map.js").read_text(encoding="utf-8") + START
    sheets = [Markup(base64.b64encode(each).decode()) for each in sheets_of(thumbnails, side)]
    return render(
        "map.html",
        title=title,
        facts=facts,
        digest=Markup(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
        sheets=sheets,
        data=Markup(text),
        script=Markup(script),
    )


def sheets_of(thumbnails: Sequence[NDArray[np.uint8]], side: int) -> Iterator[bytes]:
    """Thumbnails of at most `side` pixels on sheets of SHEET pixels, as JPEG files: row by row in
    squares, SHEET // side across.
    """
    across = SHEET // side
    for first in range(0, len(thumbnails), across * across):
        yield sheet_of(thumbnails[first : first + across * across], side, across)


def sheet_of(thumbnails: Sequence[NDArray[np.uint8]], side: int, across: int) -> bytes:
    """Thumbnails, row by row in squares, as a JPEG file."""
    rows, columns = -(-len(thumbnails) // across), min(across, len(thumbnails))
    pixels = np.full((rows * side, columns * side, 3), 128, np.uint8)
    for number, each in enumerate(thumbnails):
        row, column = divmod(number, across)
        height, width = each.shape[:2]
        pixels[row * side : row * side + height, column * side : column * side + width] = each
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return content.tobytes()


def mean_colour(pixels: NDArray[np.uint8]) -> str:
    """The mean of some BGR pixels, as CSS has it."""
    blue, green, red = pixels.mean(axis=(0, 1)).round().astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"
