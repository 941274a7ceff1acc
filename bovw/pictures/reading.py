"""Pictures: the one door through which they enter. Read one safely and upright, within limits, as
grey values or colours.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ParameterError, require_types
from ..opencv import cv2
from .decoding import Box, Decoded, decoded
from .files import opened_file, require_length, unreadable
from .formats import page_numbers
from .fragments import time_fragment
from .limits import LIMITS, Limits
from .pixels import NEUTRAL, colours_of_array, gray_of_array
from .raw import is_raw
from .video import VIDEO_SUFFIXES, is_video, key_frame_times
from .working import working_unit

__all__ = [
    "ARRAY",
    "LIMITS",
    "NAMELESS",
    "Box",
    "ColourPicture",
    "Limits",
    "Picture",
    "Source",
    "fitted",
    "fragments_in",
    "load_colour_picture",
    "load_colours",
    "load_picture",
    "name_of",
    "picture_from_array",
    "read_colours",
    "read_picture",
    "source_content",
]

# What a picture may be given as: a path, the bytes of a file, a file opened for reading bytes, or
# pixels as OpenCV gives them.
Source = str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any]
# What stands for the path of a picture that has none.
ARRAY, BYTES, FILE = "<array>", "<bytes>", "<file>"
NAMELESS = (ARRAY, BYTES, FILE)


@dataclass(frozen=True)
class Picture:
    """A picture as the feature extractors want it.

    Attributes:
        gray: (h, w) uint8, shrunk to the working size.
        size: (width, height) in pixels of the original upright picture.
        box: x, y, width, height of the part that `gray` shows, in pixels of the original; all of it
            by default, and what there is of one that is cut off.
        note: what is to be said of it: that it is cut off, and how much there is; else empty.
        unseen: how many pages its file has beside, if no page was named.
    """

    gray: NDArray[np.uint8]
    size: tuple[int, int]
    box: Box
    note: str = ""
    unseen: int = 0


@dataclass(frozen=True)
class ColourPicture:
    """The colours of a picture, or of what there is of one that is cut off.

    Attributes:
        pixels: (h, w, 3) uint8 BGR, shrunk to the working size.
        box: x, y, width, height of the part that they show, in pixels of the original upright
            picture.
    """

    pixels: NDArray[np.uint8]
    box: Box


def load_picture(
    source: Source, max_side: int, box: Box | None = None, limits: Limits = LIMITS
) -> Picture:
    """A picture from wherever it comes, as grey values, shrunk to its working size: `max_side`
    pixels on its long side, more if it is elongated (see `working.working_unit`).

    Raises:
        ImageError: it cannot be used.
        ParameterError: it is nothing that a picture can be given as, or the box does not lie in it.
    """
    content = source_content(source, limits)
    if isinstance(content, np.ndarray):
        return picture_from_array(content, max_side, box)
    try:
        return read_picture(content, max_side, box, limits)
    except ImageError as error:
        raise ImageError(name_of(source), error.reason) from error


def load_colours(
    source: Source, max_side: int, box: Box | None = None, limits: Limits = LIMITS
) -> NDArray[np.uint8]:
    """The colours of a picture from wherever it comes, upright: (h, w, 3) uint8 BGR, shrunk to
    `max_side` on its long side by area means. Of a file that is cut off, it is the part that can be
    read.

    Raises:
        ImageError, ParameterError: as `load_picture`.
    """
    content = source_content(source, limits)
    if isinstance(content, np.ndarray):
        require_pixels(content)
        size = (content.shape[1], content.shape[0])
        found = Decoded(colours_of_array(content), size, (0, 0, *size))
    else:
        with opened_source(content, limits) as file:
            draft = None if box is not None else max_side
            found = decoded(name_of(source), file, draft, "RGB", limits)
    pixels, part = found.pixels, found.part
    if box is not None:
        pixels, part = cut(found, box, name_of(source))
    return as_colours(fitted(pixels, part[2:], max_side))


def load_colour_picture(source: Source, max_side: int, limits: Limits = LIMITS) -> ColourPicture:
    """The colours of a picture from wherever it comes, shrunk as by `load_picture`.

    Raises: as `load_picture`.
    """
    content = source_content(source, limits)
    if isinstance(content, np.ndarray):
        require_pixels(content)
        return ColourPicture(
            shrunk(colours_of_array(content), max_side), (0, 0, content.shape[1], content.shape[0])
        )
    try:
        with opened_source(content, limits) as file:
            found = decoded(name_of(content), file, max_side, "RGB", limits)
    except ImageError as error:
        raise ImageError(name_of(source), error.reason) from error
    pixels = shrunk(found.pixels, max_side)
    return ColourPicture(as_colours(pixels), found.part)


def source_content(source: Source, limits: Limits = LIMITS) -> str | bytes | NDArray[Any]:
    """A picture as it can be sent to another process: a path, the bytes of its file, or pixels.

    Raises:
        ImageError: a file object cannot be read, or holds more than `limits.file_bytes`.
        ParameterError: it is nothing that a picture can be given as.
    """
    if isinstance(source, (bytes, np.ndarray)):
        return source
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if not callable(getattr(source, "read", None)):
        kind = type(source).__name__
        raise ParameterError(f"picture: {kind} is no path, bytes, file object or array")
    try:
        content = source.read(limits.file_bytes + 1)
    except (OSError, ValueError) as error:
        raise unreadable(name_of(source), error) from error
    if not isinstance(content, bytes):
        raise ParameterError("picture: the file object gives no bytes; open it in binary mode")
    return content


def name_of(source: Source) -> str:
    """What to call a picture: its path, or what stands for one."""
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    if isinstance(source, np.ndarray):
        return ARRAY
    name = BYTES if isinstance(source, bytes) else getattr(source, "name", FILE)
    return name if isinstance(name, str) else FILE


def read_picture(
    source: str | os.PathLike[str] | bytes,
    max_side: int,
    box: Box | None = None,
    limits: Limits = LIMITS,
) -> Picture:
    """Read a picture file, given by its path or as its bytes, upright (EXIF), as grey values,
    shrunk to its working size.

    The first frame or page counts, unless the path names another: `scan.tif#page=2`,
    `clip.mp4#t=12.4`. Alpha is composed on mid grey; deep pixels (16-bit, float) are
    stretched to 8 bits (see `pixels.stretched`). What the file is called does not matter. Of a file
    that is cut off, the picture is the part that can be read, unless `limits.strict`.

    Raises:
        ImageError: the file is absent, no regular file, not an image, damaged, or beyond a limit;
            or the box lies in what is missing of it.
        ParameterError: the box does not lie in the picture.
    """
    path, draft = name_of(source), None if box is not None else max_side
    with opened_source(source, limits) as file:
        found = decoded(path, file, draft, "L", limits)
    gray, part = found.pixels, found.part
    if box is not None:
        gray, part = cut(found, box, path)
    picture = shrink(gray, found.size, part, max_side, found.note)
    return replace(picture, unseen=found.unseen)


def read_colours(
    source: str | os.PathLike[str] | bytes, max_side: int, limits: Limits = LIMITS
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read a picture file, given by its path or as its bytes, upright for showing it: (h, w, 3)
    uint8 BGR shrunk to `max_side`, and its full (width, height). What is missing of a file that is
    cut off is grey.

    Raises:
        ImageError: as `read_picture`.
    """
    require_types(str | os.PathLike | bytes, picture=source)
    with opened_source(source, limits) as file:
        found = decoded(name_of(source), file, max_side, "RGB", limits)
    return as_colours(fitted(padded(found), found.size, max_side)), found.size


def as_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels as (h, w, 3): grey ones have three equal planes."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def fragments_in(path: str, limits: Limits = LIMITS) -> list[str]:
    """What of a file are pictures of their own: its pages ("" for the first, then "page=2"), or the
    key frames of a video, thinned ("t=4.2", ..., "t=0"): the first comes last, so that an index has
    it only after all others were looked at.

    Raises:
        ImageError: the file cannot be opened, or is a damaged video.
    """
    is_long = Path(path).suffix.lower() in VIDEO_SUFFIXES
    with opened_file(path, sys.maxsize if is_long else limits.file_bytes) as file:
        if is_video(file):
            first, *others = key_frame_times(path, file)
            return [time_fragment(time) for time in (*others, first)]
        pages = [] if is_raw(path, file) else page_numbers(file)
        return ["", *(f"page={page}" for page in pages[1:])]


def fitted(pixels: NDArray[np.uint8], size: tuple[int, int], max_side: int) -> NDArray[np.uint8]:
    """Pixels of a picture of some (width, height), shrunk to a long side by area means."""
    factor = max_side / max(size)
    if factor < 1:
        target = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        pixels = np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def picture_from_array(array: NDArray[Any], max_side: int, box: Box | None = None) -> Picture:
    """A picture from pixels in memory: (h, w) grey, (h, w, 3) BGR or (h, w, 4) BGRA as OpenCV gives
    them.

    uint8 is taken as it is; other integers and floats are stretched as in `read_picture`.

    Raises:
        ImageError: the array is empty or has another shape.
    """
    require_pixels(array)
    gray, size = gray_of_array(array), (array.shape[1], array.shape[0])
    part = (0, 0, *size) if box is None else whole_box(box, size)
    x, y, width, height = part
    return shrink(gray[y : y + height, x : x + width], size, part, max_side)


def require_pixels(array: NDArray[Any]) -> None:
    """Raise ImageError unless an array can be a picture: see `picture_from_array`."""
    if (
        array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
        or not array.size
    ):
        raise ImageError(
            ARRAY, f"has another shape than (h, w), (h, w, 3) or (h, w, 4): {array.shape}"
        )
    if array.dtype.kind not in "uif":
        raise ImageError(ARRAY, f"has another dtype than integers or floats: {array.dtype}")


def opened_source(source: str | os.PathLike[str] | bytes, limits: Limits) -> BinaryIO:
    """The file of a picture, opened; of bytes, one in memory. Raises ImageError."""
    if not isinstance(source, bytes):
        return opened_file(source, limits.file_bytes)
    require_length(BYTES, len(source), limits.file_bytes)
    return io.BytesIO(source)


def shrink(
    gray: NDArray[np.uint8], size: tuple[int, int], part: Box, max_side: int, note: str = ""
) -> Picture:
    """A part of a picture, shrunk to the working size by area means; a smaller one keeps its
    size.
    """
    return Picture(np.ascontiguousarray(shrunk(gray, max_side)), size, part, note)


def shrunk(pixels: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Pixels (h, w) or (h, w, 3), shrunk to the working size."""
    height, width = pixels.shape[:2]
    unit = float(working_unit(width, height, max_side))
    if unit > 1:
        target = (max(1, round(width / unit)), max(1, round(height / unit)))
        pixels = np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def cut(found: Decoded, box: Box, path: str) -> tuple[NDArray[np.uint8], Box]:
    """What there is of a box of a picture that was decoded in full size, and where that lies."""
    part = common(whole_box(box, found.size), found.part)
    if min(part[2:]) < 1:
        raise ImageError(path, f"is {found.note}: the box lies in what is missing")
    left, top = part[0] - found.part[0], part[1] - found.part[1]
    return found.pixels[top : top + part[3], left : left + part[2]], part


def padded(found: Decoded) -> NDArray[np.uint8]:
    """The pixels of a picture with mid grey for what is missing."""
    height, width = found.pixels.shape[:2]
    x, y, part_width, part_height = found.part
    across, down = width / part_width, height / part_height
    left, top = round(x * across), round(y * down)
    whole = (round(found.size[1] * down), round(found.size[0] * across))
    shape = (max(whole[0], top + height), max(whole[1], left + width), *found.pixels.shape[2:])
    result = np.full(shape, NEUTRAL, np.uint8)
    result[top : top + height, left : left + width] = found.pixels
    return result


def whole_box(box: Any, size: tuple[int, int]) -> Box:
    """A box as four whole numbers, from any sequence of such. Raises ParameterError if it is none,
    or does not lie in a picture of this size.
    """
    values = list(box) if isinstance(box, (tuple, list, np.ndarray)) else []
    if len(values) != 4 or not all(isinstance(value, (int, np.integer)) for value in values):
        raise ParameterError(f"box: {box!r} is not four whole numbers x, y, width, height")
    x, y, width, height = map(int, values)
    if min(x, y, width - 1, height - 1) < 0 or x + width > size[0] or y + height > size[1]:
        raise ParameterError(
            f"box: {(x, y, width, height)} does not lie in a picture of {size[0]} x {size[1]} "
            "pixels"
        )
    return x, y, width, height


def common(one: Box, other: Box) -> Box:
    """What two boxes have in common; its width or height is below 1 if that is nothing."""
    x, y = max(one[0], other[0]), max(one[1], other[1])
    right = min(one[0] + one[2], other[0] + other[2])
    bottom = min(one[1] + one[3], other[1] + other[3])
    return x, y, right - x, bottom - y
