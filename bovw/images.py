"""Pictures: find image files, read one safely and upright, as grey values."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from .errors import ImageError, ParameterError

__all__ = ["Box", "Picture", "content_hash", "find_images", "path_list", "picture_from_array", "read_colours", "read_picture"]

Box = tuple[int, int, int, int]

SUFFIXES = frozenset(
    [
        *(".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    ]
)
MAX_PIXELS = 400_000_000
NEUTRAL = 128
ORIENTATION = 0x0112
NOT_READABLE = (
    OSError,
    RuntimeError,
    MemoryError,
    cv2.error,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Picture:
    """A picture as the feature extractors want it.

    Attributes:
        gray: (h, w) uint8, shrunk to the working size.
        size: (width, height) in pixels of the original upright picture.
        box: x, y, width, height of the part that `gray` shows, in pixels of the original; all of it by default.
    """

    gray: NDArray[np.uint8]
    size: tuple[int, int]
    box: Box


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[list[str], list[ImageError]]:
    """List image files: folders are searched to the bottom for known endings, named files are taken as they are.

    Returns:
        The paths, sorted, each once; and an error for every named path that is absent and every folder that can't be listed.
    """
    found: set[str] = set()
    problems: list[ImageError] = []
    for path in map(plain, path_list(paths)):
        if os.path.isdir(path):
            walk = os.walk(path, onerror=lambda error: problems.append(ImageError(str(error.filename), str(error.strerror))))
            found.update(os.path.join(folder, name) for folder, _, names in walk for name in names if is_image_name(name))
        elif os.path.lexists(path):
            found.add(path)
        else:
            problems.append(ImageError(path, "there is no such file or folder"))
    return sorted(found), problems


def path_list(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """One path or several as a list of strings."""
    return [os.fspath(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]


def plain(path: str) -> str:
    """A path without ./ and doubled slashes, so that one file has one name; .. stays, since a link may come before it."""
    return path if ".." in path.split(os.sep) else os.path.normpath(path)


def is_image_name(name: str) -> bool:
    """Whether a file's ending is one of an image format that we read."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith("._")


def read_picture(path: str | os.PathLike[str], max_side: int, box: Box | None = None) -> Picture:
    """Read a picture file upright (EXIF), as grey values, shrunk to `max_side` pixels on its long side.

    Any format that Pillow reads. Alpha is composed on mid grey; deep pixels (16-bit, float) are stretched so that
    their 0.1st and 99.9th percentiles become 0 and 255.

    Raises:
        ImageError: the file is absent, no regular file, not an image, damaged, truncated, or too large.
        ParameterError: the box does not lie in the picture.
    """
    gray, size = decoded(path, None if box else max_side, gray_values, "L")
    return shrink(gray, size, box, max_side)


def read_colours(path: str | os.PathLike[str], max_side: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read a picture file upright for showing it: (h, w, 3) uint8 BGR shrunk to `max_side`, and its full (width, height).

    Raises:
        ImageError: as `read_picture`.
    """
    pixels, size = decoded(path, max_side, colour_values, "RGB")
    factor = max_side / max(size)
    if factor < 1:
        target = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        pixels = np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels, size


def decoded(
    path: str | os.PathLike[str], draft: int | None, values: Callable[[Image.Image], NDArray[np.uint8]], mode: str
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The pixels of a picture file, and its upright (width, height).

    Args:
        draft: a JPEG may be decoded at a fraction of its size, but not below this long side.
        values: makes the pixels from the opened image.
        mode: the mode in which a JPEG may be decoded.
    """
    path = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageError(path, "is not a regular file")
        with open(path, "rb") as file, Image.open(file) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(path, f"has {width} x {height} pixels, more than {MAX_PIXELS:,}")
            # Pillow gives the size of a TIFF upright already
            turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            if draft is not None:
                image.draft(mode if image.mode in ("L", "RGB", "YCbCr") else None, (draft, draft))
            return values(image), ((height, width) if turned else (width, height))
    except FileNotFoundError:
        raise ImageError(path, "there is no such file") from None
    except UnidentifiedImageError:
        reason = "is empty" if os.path.getsize(path) == 0 else "is not an image of a known format"
        raise ImageError(path, reason) from None
    except NOT_READABLE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(path, f"cannot be read: {reason}") from error


def content_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, hexadecimal. Raises ImageError."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError(path, "is not a regular file")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(
            path, "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        ) from None


def picture_from_array(array: NDArray[Any], max_side: int, box: Box | None = None) -> Picture:
    """A picture from pixels in memory: (h, w) grey, (h, w, 3) BGR or (h, w, 4) BGRA as OpenCV gives them.

    uint8 is taken as it is; other integers and floats are stretched as in `read_picture`.

    Raises:
        ImageError: the array is empty or has another shape.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise ImageError("<array>", f"has shape {array.shape}; (h, w), (h, w, 3) or (h, w, 4) is needed")
    if array.dtype.kind not in "uif":
        raise ImageError("<array>", f"has dtype {array.dtype}; integers or floats are needed")
    pixels = array if array.dtype == np.uint8 else stretched(array)
    if pixels.ndim == 3:
        if pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        elif pixels.shape[2] == 3:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
        else:
            gray = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)
            pixels = composed(np.asarray(gray, np.uint8), pixels[..., 3])
    height, width = pixels.shape
    return shrink(np.ascontiguousarray(pixels), (width, height), box, max_side)


def gray_values(image: Image.Image) -> NDArray[np.uint8]:
    """Decode an opened image: upright grey values (h, w) uint8."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    upright = image
    if upright.mode in ("I", "F") or upright.mode.startswith("I;"):
        return stretched(np.asarray(upright))
    if "A" in upright.getbands() or "transparency" in upright.info:
        layers = upright.convert("RGBA")
        return composed(np.asarray(layers.convert("RGB").convert("L")), np.asarray(layers.getchannel("A")))
    if upright.mode not in ("L", "RGB", "YCbCr"):
        upright = upright.convert("RGB")
    return np.asarray(upright.convert("L"))


def colour_values(image: Image.Image) -> NDArray[np.uint8]:
    """Decode an opened image: upright colours (h, w, 3) uint8 BGR."""
    if image.mode in ("I", "F") or image.mode.startswith("I;") or "A" in image.getbands() or "transparency" in image.info:
        return np.repeat(gray_values(image)[..., None], 3, axis=2)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def composed(gray: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey values (h, w) laid over mid grey by their alpha (h, w)."""
    weight = alpha.astype(np.float32) / 255
    return np.rint(gray * weight + NEUTRAL * (1 - weight)).astype(np.uint8)


def stretched(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Deep pixels to 0..255, linearly, so that detail survives when they fill a part of their range only."""
    values = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0).clip(-1e30, 1e30).astype(np.float32)
    low, high = np.percentile(values[:: max(1, values.shape[0] // 1000)], (0.1, 99.9))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) * np.float32(255 / max(high - low, 1e-12))
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), np.uint8)


def shrink(gray: NDArray[np.uint8], size: tuple[int, int], box: Box | None, max_side: int) -> Picture:
    """Cut out the box and shrink to `max_side` by area means; a smaller picture keeps its size."""
    if box is not None:
        gray = cut(gray, box)
    height, width = gray.shape
    factor = max_side / max(height, width)
    if factor < 1:
        target = (max(1, round(width * factor)), max(1, round(height * factor)))
        gray = np.asarray(cv2.resize(gray, target, interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(np.ascontiguousarray(gray), size, box or (0, 0, *size))


def cut(gray: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The part of a picture inside a box (x, y, width, height)."""
    if len(box) != 4 or not all(isinstance(value, (int, np.integer)) for value in box):
        raise ParameterError(f"box: {box} is not four whole numbers x, y, width, height")
    x, y, width, height = box
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > gray.shape[1] or y + height > gray.shape[0]:
        raise ParameterError(f"box: {box} does not lie in a picture of {gray.shape[1]} x {gray.shape[0]} pixels")
    part: NDArray[np.uint8] = gray[y : y + height, x : x + width]
    return part


# Pillow must say when a file is cut off, and leave the limit of size to `decoded`, which knows it before decoding.
# Both hold for the whole program.
ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None
