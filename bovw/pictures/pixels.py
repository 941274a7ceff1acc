"""From the pixels of an opened picture, of whatever kind, to 8-bit grey values or colours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

__all__ = [
    "NEUTRAL",
    "bands",
    "colour_values",
    "colours_of_array",
    "gray_of_array",
    "gray_values",
    "has_deep_colours",
    "in_other_order",
    "is_gray",
    "low_bytes",
    "low_channel",
    "rows_of",
]

# What is laid under transparent places, and takes the place of values that are no numbers.
NEUTRAL = 128
# Weights of red, green and blue in grey: ITU-R BT.601, as Pillow and OpenCV have them.
LUMA = np.array([0.299, 0.587, 0.114])
# Pixels that are converted at a time, so that a large picture is in memory once only.
BAND = 1 << 20
# Rows and columns of deep pixels that are looked at for their range.
SAMPLE = 1000
# Deep pixels outside of these percentiles become black and white.
RANGE = (0.1, 99.9)
# The high bytes of 16-bit colours are what Pillow gives; the other byte order has the low ones.
OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}

# Says of an opened image that what would be RGBA are grey and alpha, two bytes each.
GRAY = "bovw: two bytes of grey, two of alpha"

# The values (bottom - top, w) of rows top..bottom of a picture, as float64; NaN where there is
# none.
Rows = Callable[[int, int], NDArray[np.float64]]


def gray_values(image: Image.Image, low: Image.Image | None = None) -> NDArray[np.uint8]:
    """Decode an opened image into grey values (h, w) uint8, as it is stored: not turned.

    Alpha is composed on mid grey. Deep pixels (16-bit, 32-bit, float) are stretched: see
    `stretched`.

    Args:
        low: the `low_bytes` of an image with deep colours.
    """
    load(image)
    width, height = image.size
    if low is not None:
        return deep_colours(image, low)
    if is_deep(image):
        clear = image.info.get("transparency")
        return stretched(lambda top, bottom: deep_rows(image, top, bottom, clear), width, height)
    gray = np.empty((height, width), np.uint8)
    for top, bottom in bands(width, height):
        gray[top:bottom] = shallow_gray(rows_of(image, top, bottom))
    return gray


def colour_values(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Decode an opened image that is not `is_gray` into colours (h, w, 3) uint8 BGR, as it is
    stored: not turned. Alpha is composed on mid grey.

    Args:
        side: a large image may be reduced to twice this long side, which saves memory.
    """
    load(image)
    if image.mode == "RGB" and max(image.size) >= 4 * side:
        # not its own method, which JPEG 2000 images shadow
        image = Image.Image.reduce(image, max(image.size) // (2 * side))
    width, height = image.size
    colours = np.empty((height, width, 3), np.uint8)
    for top, bottom in bands(width, height):
        rows = rows_of(image, top, bottom)
        if has_alpha(image):
            layers = rows.convert("RGBA")
            shown = composed(
                np.asarray(layers.convert("RGB")), np.asarray(layers.getchannel("A"))[..., None]
            )
        else:
            shown = np.asarray(rows.convert("RGB"))
        colours[top:bottom] = shown[..., ::-1]
    return colours


def colours_of_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours (h, w, 3) uint8 BGR of pixels as `gray_of_array` takes them; grey if there are none,
    or if they are not uint8.
    """
    if array.dtype != np.uint8 or array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(gray_of_array(array)[..., None], 3, axis=2)
    return array if array.shape[2] == 3 else composed(array[..., :3], array[..., 3:])


def gray_of_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values (h, w) uint8 of pixels (h, w), (h, w, 1), (h, w, 3) BGR or (h, w, 4) BGRA of
    whole numbers or floats.

    Whole numbers that are not uint8 and floats are stretched: see `stretched`. Alpha counts from 0
    to the largest number of its type, or to 1 if it is a float.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    height, width = array.shape[:2]
    if array.dtype == np.uint8 and array.ndim == 2:
        return np.asarray(array)
    if array.dtype == np.uint8:
        gray = np.asarray(
            cv2.cvtColor(np.ascontiguousarray(array[..., :3]), cv2.COLOR_BGR2GRAY), np.uint8
        )
    elif array.ndim == 2:
        gray = stretched(lambda top, bottom: array[top:bottom].astype(np.float64), width, height)
    else:
        gray = stretched(
            lambda top, bottom: array[top:bottom, :, :3].astype(np.float64) @ LUMA[::-1],
            width,
            height,
        )
    if array.ndim == 2 or array.shape[2] == 3:
        return gray
    full = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
    alpha = np.nan_to_num(array[..., 3].astype(np.float32) * np.float32(255 / full), nan=0.0).clip(
        0, 255
    )
    return composed(gray, alpha)


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def is_gray(image: Image.Image) -> bool:
    """Whether an image is shown in grey: because it is, or because it has deep pixels."""
    colours = len(image.getbands()) > 2 or image.mode in ("P", "PA")
    return not colours or has_deep_colours(image)


def has_alpha(image: Image.Image) -> bool:
    """Whether something of an image may be transparent."""
    return "A" in image.getbands() or "transparency" in image.info


def has_deep_colours(image: Image.Image) -> bool:
    """Whether an opened image that is not decoded yet has several channels of 16 bits, of which
    Pillow gives the high bytes.
    """
    return image.mode in ("RGB", "RGBA", "RGBX") and rawmode(image).partition(";")[2] in OTHER_BYTE


def rawmode(image: Image.Image) -> str:
    """How the pixels of an opened image lie in its file, as Pillow calls it."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def low_bytes(image: ImageFile.ImageFile) -> Image.Image:
    """Decode the low bytes of an image that has deep colours."""
    image = in_other_order(image)
    load(image)
    return low_channel(image)


def low_channel(image: Image.Image) -> Image.Image:
    """The low bytes in a decoded image that was opened `in_other_order`: those of grey, if they are
    beside others.
    """
    return image.getchannel("G") if image.mode == "RGBA" and image.info.get(GRAY) else image


def in_other_order(image: ImageFile.ImageFile) -> ImageFile.ImageFile:
    """An opened image that has deep colours, so that its low bytes are decoded instead of the high
    ones.
    """
    name, _, depth = rawmode(image).partition(";")
    # grey and alpha, two bytes each: the four bytes of RGBA, of which the second is the low one of
    # grey
    wanted = "RGBA" if name == "LA" else f"{name};{OTHER_BYTE[depth]}"
    image.tile = [
        tile._replace(args=(wanted, *tile.args[1:]) if isinstance(tile.args, tuple) else wanted)
        for tile in image.tile
    ]
    image.info[GRAY] = name == "LA"
    return image


def load(image: Image.Image) -> None:
    """Decode an opened image. A TIFF image gets its memory here, as Pillow would ask its own limit
    of size when it makes it.
    """
    if isinstance(image, TiffImageFile) and image.tile:
        image.im = Image.new(
            image.mode, (image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]), None
        ).im
    image.load()


def bands(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that cover a picture, of about a million pixels each."""
    step = max(1, BAND // width)
    return ((top, min(height, top + step)) for top in range(0, height, step))


def rows_of(image: Image.Image, top: int, bottom: int) -> Image.Image:
    """Some rows of an image. Not by `crop`, which heeds a limit of Pillow that is not ours."""
    if (top, bottom) == (0, image.height):
        return image
    return image.resize(
        (image.width, bottom - top), Image.Resampling.NEAREST, box=(0, top, image.width, bottom)
    )


def shallow_gray(image: Image.Image) -> NDArray[np.uint8]:
    """Grey values (h, w) of an image with 8 bits a channel."""
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    if has_alpha(image):
        layers = image.convert("RGBA")
        return composed(
            np.asarray(layers.convert("RGB").convert("L")), np.asarray(layers.getchannel("A"))
        )
    if image.mode not in ("L", "RGB", "YCbCr"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def deep_rows(image: Image.Image, top: int, bottom: int, clear: object) -> NDArray[np.float64]:
    """Rows of an image with one deep channel; `clear` is the value that means nothing."""
    values = np.asarray(rows_of(image, top, bottom)).astype(np.float64)
    if isinstance(clear, (int, float)):
        values[values == clear] = np.nan
    return values


def deep_colours(image: Image.Image, low: Image.Image) -> NDArray[np.uint8]:
    """Grey values (h, w) uint8 of an image with 16 bits a channel, which came as high and low
    bytes.
    """

    def rows(top: int, bottom: int) -> NDArray[np.float64]:
        high, rest = (
            np.asarray(rows_of(half, top, bottom)).astype(np.float64) for half in (image, low)
        )
        return np.asarray(
            256 * (high[..., :3] @ LUMA) + (rest if rest.ndim == 2 else rest[..., :3] @ LUMA)
        )

    gray = stretched(rows, *image.size)
    if image.mode == "RGBA":
        for top, bottom in bands(*image.size):
            gray[top:bottom] = composed(
                gray[top:bottom], np.asarray(rows_of(image, top, bottom).getchannel("A"))
            )
    return gray


def composed(
    values: NDArray[np.uint8], alpha: NDArray[np.uint8] | NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Grey values (h, w), or colours (h, w, 3), laid over mid grey by their alpha (h, w), or
    (h, w, 1), 0 to 255.
    """
    weight = alpha.astype(np.float32) / 255
    return np.rint(values * weight + NEUTRAL * (1 - weight)).astype(np.uint8)


def stretched(rows: Rows, width: int, height: int) -> NDArray[np.uint8]:
    """Deep pixels to 0..255, linearly, so that detail survives when they fill a part of their range
    only.

    The 0.1st and 99.9th percentiles become black and white. Values equal to the very smallest or
    largest do not count in them, since padding and saturation would leave little for the rest. No
    number (NaN) becomes mid grey.
    """
    across = slice(None, None, max(1, width // SAMPLE))
    low, high = value_range(
        np.concatenate(
            [rows(row, row + 1)[:, across] for row in range(0, height, max(1, height // SAMPLE))]
        )
    )
    if high <= low:  # what there is may lie between the sampled places
        ends = [value_range(rows(top, bottom)) for top, bottom in bands(width, height)]
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    gray = np.empty((height, width), np.uint8)
    for top, bottom in bands(width, height):
        with np.errstate(over="ignore"):
            scaled = (rows(top, bottom).clip(-1e300, 1e300) - low) * (255 / max(high - low, 1e-300))
        gray[top:bottom] = np.rint(np.nan_to_num(scaled.clip(0, 255), nan=NEUTRAL))
    return gray


def value_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The values that become black and white: see `stretched`; equal if nothing can be said."""
    finite = values[np.isfinite(values)].clip(-1e300, 1e300)
    if not len(finite):
        return 0.0, 0.0
    least, most = float(finite.min()), float(finite.max())
    inner = finite[(finite > least) & (finite < most)]
    low, high = np.percentile(inner, RANGE) if len(inner) else (least, most)
    return (float(low), float(high)) if high > low else (least, most)
