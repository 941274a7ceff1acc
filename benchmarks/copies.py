"""Copies of pictures as people make them: 24 edits of a picture, the same ones every time."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["EDITS", "Copy", "make_copies"]

Pixels = NDArray[np.uint8]
# Quality of the JPEG files, unless the edit is about it.
QUALITY = 90
# How dark the corners are that a turn leaves, and how light a border is.
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class Copy:
    """An edited copy of a picture.

    Attributes:
        path: its file.
        kind: the name of the edit.
        original: the file of the picture that it is made of.
        other: the file of the picture that it is pasted into; else empty.
    """

    path: str
    kind: str
    original: str
    other: str = ""


def resized(factor: float) -> Callable[[Pixels], Pixels]:
    """Makes a picture smaller."""

    def edit(pixels: Pixels) -> Pixels:
        found = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return np.asarray(found, np.uint8)

    return edit


def toned(gain: float, offset: float, gamma: float = 1.0) -> Callable[[Pixels], Pixels]:
    """Changes the tone of a picture."""
    values = gain * 255 * (np.arange(256) / 255) ** gamma + offset
    table = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return lambda pixels: table[pixels]


def gray(pixels: Pixels) -> Pixels:
    """Without colours."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def blurred(pixels: Pixels) -> Pixels:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 2.0), np.uint8)


def noisy(pixels: Pixels) -> Pixels:
    """With the noise of a dark room."""
    rng = np.random.default_rng(zlib.crc32(pixels.tobytes()))
    return np.clip(np.round(pixels + rng.normal(0, 15, pixels.shape)), 0, 255).astype(np.uint8)


def captioned(pixels: Pixels) -> Pixels:
    """With large letters on top, above and below the middle."""
    height, width = pixels.shape[:2]
    edited = pixels.copy()
    for text, place in (("SPECIAL OFFER", 0.3), ("ONLY TODAY", 0.8)):
        (long, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
        size = 0.85 * width / long
        thick = max(2, round(3 * size))
        at = (round(0.07 * width), round(place * height))
        cv2.putText(edited, text, at, cv2.FONT_HERSHEY_DUPLEX, size, BLACK, 2 * thick, cv2.LINE_AA)
        cv2.putText(edited, text, at, cv2.FONT_HERSHEY_DUPLEX, size, WHITE, thick, cv2.LINE_AA)
    return edited


def cropped(share: float) -> Callable[[Pixels], Pixels]:
    """Keeps a share of the area, a little off the middle."""
    side = float(np.sqrt(share))

    def edit(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        new_height, new_width = round(height * side), round(width * side)
        y, x = round(0.6 * (height - new_height)), round(0.3 * (width - new_width))
        return np.ascontiguousarray(pixels[y : y + new_height, x : x + new_width])

    return edit


def turned(degrees: float) -> Callable[[Pixels], Pixels]:
    """Turns a picture, all of which stays to be seen."""

    def edit(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
        cosine, sine = np.abs(matrix[0, :2])
        new_width = round(width * cosine + height * sine)
        new_height = round(width * sine + height * cosine)
        matrix[:, 2] += (new_width - width) / 2, (new_height - height) / 2
        laid = cv2.warpAffine(pixels, matrix, (new_width, new_height), flags=cv2.INTER_CUBIC)
        return np.asarray(laid, np.uint8)

    return edit


def quarter_turns(count: int) -> Callable[[Pixels], Pixels]:
    """Turns a picture by right angles, clockwise."""
    return lambda pixels: np.ascontiguousarray(np.rot90(pixels, -count))


def bordered(pixels: Pixels) -> Pixels:
    """In a white frame."""
    side = round(0.1 * max(pixels.shape))
    framed = cv2.copyMakeBorder(
        pixels, side, side, side, side, cv2.BORDER_CONSTANT, value=[float(each) for each in WHITE]
    )
    return np.asarray(framed, np.uint8)


def pasted(pixels: Pixels, background: Pixels) -> Pixels:
    """At half of the size in another picture."""
    small = resized(0.5)(pixels)
    height, width = small.shape[:2]
    factor = max(1.6 * height / background.shape[0], 1.6 * width / background.shape[1])
    canvas = np.asarray(cv2.resize(background, None, fx=factor, fy=factor), np.uint8).copy()
    y, x = ((np.array(canvas.shape[:2]) - (height, width)) * (0.3, 0.6)).astype(int)
    canvas[y : y + height, x : x + width] = small
    return canvas


# What is done to the pixels, and the quality of the JPEG file; pasting needs a second picture.
EDITS: dict[str, tuple[Callable[[Pixels], Pixels], int]] = {
    "jpeg50": (lambda pixels: pixels, 50),
    "jpeg15": (lambda pixels: pixels, 15),
    "half": (resized(0.5), QUALITY),
    "quarter": (resized(0.25), QUALITY),
    "bright": (toned(1.2, 25), QUALITY),
    "dark": (toned(0.6, 0, 1.3), QUALITY),
    "gray": (gray, QUALITY),
    "blur": (blurred, QUALITY),
    "noise": (noisy, QUALITY),
    "text": (captioned, QUALITY),
    "crop95": (cropped(0.95), QUALITY),
    "crop90": (cropped(0.90), QUALITY),
    "crop75": (cropped(0.75), QUALITY),
    "crop50": (cropped(0.50), QUALITY),
    "crop25": (cropped(0.25), QUALITY),
    "flip": (lambda pixels: np.ascontiguousarray(pixels[:, ::-1]), QUALITY),
    "rot90": (quarter_turns(1), QUALITY),
    "rot180": (quarter_turns(2), QUALITY),
    "rot270": (quarter_turns(3), QUALITY),
    "rot5": (turned(5), QUALITY),
    "rot45": (turned(45), QUALITY),
    "contrast": (toned(1.5, -60), QUALITY),
    "border": (bordered, QUALITY),
    "pasted": (lambda pixels: pixels, QUALITY),
}


def make_copies(pictures: list[str], step: int, folder: Path) -> list[Copy]:
    """All edits of every `step`-th picture, as JPEG files in a folder; files that are there are
    taken as they are. A picture is pasted into the one that follows it in the list.
    """
    copies = list[Copy]()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(0, len(pictures), step):
        original, other = pictures[number], pictures[(number + 1) % len(pictures)]
        for kind, (edit, quality) in EDITS.items():
            path = folder / f"{Path(original).stem}-{kind}.jpg"
            background = other if kind == "pasted" else ""
            copies.append(Copy(str(path), kind, original, background))
            if path.exists():
                continue
            pixels = pixels_of(original)
            edited = pasted(pixels, pixels_of(other)) if background else edit(pixels)
            temporary = path.with_suffix(".new.jpg")
            cv2.imwrite(str(temporary), edited, [cv2.IMWRITE_JPEG_QUALITY, quality])
            temporary.rename(path)
    return copies


def pixels_of(path: str) -> Pixels:
    """A picture in colours."""
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise OSError(f"{path}: cannot be read")
    return np.asarray(pixels, np.uint8)
