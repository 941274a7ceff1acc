"""Pictures: the one door through which they enter. Read one safely and upright, within limits, as
grey values or colours.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BovwError, ImageError, ParameterError
from .files import damaged, opened_file, require_length, unreadable
from .formats import decode_small, decoding_bytes, opened_image, orientation_of
from .pixels import colour_values, gray_of_array, gray_values, has_deep_colours, is_gray, low_bytes
from .working import working_unit

__all__ = [
    "ARRAY",
    "LIMITS",
    "NAMELESS",
    "Box",
    "Limits",
    "Picture",
    "Source",
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

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Limits:
    """What a picture may cost before it is refused.

    Attributes:
        pixels: of the picture, as its header says.
        memory: bytes that decoding may take, worked out from the header. A JPEG or JPEG 2000 file
            that is to be shrunk is decoded at a fraction of its size, and may be far larger than
            others. The work after decoding takes some 400 MB beside.
        file_bytes: length of the file, which some formats need in memory as a whole.
        seconds: for one picture, in runs with worker processes (`jobs` of 1 or more): nothing else
            can end a decoder that hangs.

    Example:
        >>> from bovw import ImageError, ImageIndex, Limits
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     try:
        ...         index.search("query.jpg", limits=Limits(pixels=1000))
        ...     except ImageError as error:
        ...         print(error.reason.partition(":")[0])
        is too large
    """

    pixels: int = 500_000_000
    memory: int = 600_000_000
    file_bytes: int = 600_000_000
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ParameterError(f"{name}: {value} is not above 0")


LIMITS = Limits()
# EXIF orientations that swap width and height.
TURNED = (5, 6, 7, 8)


@dataclass(frozen=True)
class Picture:
    """A picture as the feature extractors want it.

    Attributes:
        gray: (h, w) uint8, shrunk to the working size.
        size: (width, height) in pixels of the original upright picture.
        box: x, y, width, height of the part that `gray` shows, in pixels of the original; all of it
            by default.
    """

    gray: NDArray[np.uint8]
    size: tuple[int, int]
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

    The first frame or page counts. Alpha is composed on mid grey; deep pixels (16-bit, float) are
    stretched to 8 bits (see `pixels.stretched`). What the file is called does not matter.

    Raises:
        ImageError: the file is absent, no regular file, not an image, damaged, truncated, or beyond
            a limit.
        ParameterError: the box does not lie in the picture.
    """
    gray, size = decoded(source, None if box is not None else max_side, "L", limits)
    return shrink(gray, size, box, max_side)


def read_colours(
    source: str | os.PathLike[str] | bytes, max_side: int, limits: Limits = LIMITS
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read a picture file, given by its path or as its bytes, upright for showing it: (h, w, 3)
    uint8 BGR shrunk to `max_side`, and its full (width, height).

    Raises:
        ImageError: as `read_picture`.
    """
    pixels, size = decoded(source, max_side, "RGB", limits)
    factor = max_side / max(size)
    if factor < 1:
        target = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        pixels = np.asarray(cv2.resize(pixels, target, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2), size


def picture_from_array(array: NDArray[Any], max_side: int, box: Box | None = None) -> Picture:
    """A picture from pixels in memory: (h, w) grey, (h, w, 3) BGR or (h, w, 4) BGRA as OpenCV gives
    them.

    uint8 is taken as it is; other integers and floats are stretched as in `read_picture`.

    Raises:
        ImageError: the array is empty or has another shape.
    """
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
    return shrink(gray_of_array(array), (array.shape[1], array.shape[0]), box, max_side)


def decoded(
    source: str | os.PathLike[str] | bytes, draft: int | None, mode: str, limits: Limits
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The upright pixels of a picture file, and its upright (width, height).

    Args:
        draft: the picture may be decoded at a fraction of its size, but not below this long side.
        mode: "L" for grey values (h, w), "RGB" for BGR colours (h, w, 3) or, if the picture has
            none, grey values.
    """
    path = name_of(source)
    with opened_source(source, limits) as file:
        try:
            image = opened_image(path, file)
            size = image.size
            require_pixels(path, size, limits)
            if draft is not None:
                decode_small(image, mode, draft)
            require_memory(path, decoding_bytes(image, size), limits)
            gray = mode == "L" or is_gray(image)
            low = low_bytes(opened_image(path, file)) if gray and has_deep_colours(image) else None
            pixels = gray_values(image, low) if gray else colour_values(image, draft or max(size))
            orientation = orientation_of(image)
            size = image.size if image.format == "TIFF" else size  # Pillow has turned it by now
            del image, low  # and their memory
            return upright(pixels, orientation), (size[::-1] if orientation in TURNED else size)
        except BovwError:
            raise
        except MemoryError:
            raise ImageError(path, "is too large: the memory does not suffice") from None
        except OSError as error:
            raise (unreadable if error.errno else damaged)(path, error) from error
        except Exception as error:  # what decoders raise of damaged files has no end
            raise damaged(path, error) from error


def opened_source(source: str | os.PathLike[str] | bytes, limits: Limits) -> BinaryIO:
    """The file of a picture, opened; of bytes, one in memory. Raises ImageError."""
    if not isinstance(source, bytes):
        return opened_file(source, limits.file_bytes)
    require_length(BYTES, len(source), limits.file_bytes)
    return io.BytesIO(source)


def require_pixels(path: str, size: tuple[int, int], limits: Limits) -> None:
    """Raise ImageError if a picture has too many pixels."""
    if size[0] * size[1] > limits.pixels:
        raise ImageError(
            path,
            f"is too large: {size[0]} x {size[1]} pixels, "
            f"more than {limits.pixels:,} (limit: pixels)",
        )


def require_memory(path: str, needed: int, limits: Limits) -> None:
    """Raise ImageError if decoding takes too much memory."""
    if needed > limits.memory:
        raise ImageError(
            path,
            f"is too large: decoding takes {needed:,} bytes of memory, "
            f"more than {limits.memory:,} (limit: memory)",
        )


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels as they are stored -> as they are to be seen, by the EXIF orientation 1..8."""
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    down, across = (
        -1 if orientation in mirrored else 1 for mirrored in ((3, 4, 7, 8), (2, 3, 6, 7))
    )
    return np.ascontiguousarray(pixels[::down, ::across])


def shrink(
    gray: NDArray[np.uint8], size: tuple[int, int], box: Box | None, max_side: int
) -> Picture:
    """Cut out the box and shrink to the working size by area means; a smaller picture keeps its
    size.
    """
    if box is not None:
        box = whole_box(box)
        gray = cut(gray, box)
    height, width = gray.shape
    unit = float(working_unit(width, height, max_side))
    if unit > 1:
        target = (max(1, round(width / unit)), max(1, round(height / unit)))
        gray = np.asarray(cv2.resize(gray, target, interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(np.ascontiguousarray(gray), size, box or (0, 0, *size))


def whole_box(box: Any) -> Box:
    """A box as four whole numbers, from any sequence of such. Raises ParameterError."""
    values = list(box) if isinstance(box, (tuple, list, np.ndarray)) else []
    if len(values) != 4 or not all(isinstance(value, (int, np.integer)) for value in values):
        raise ParameterError(f"box: {box!r} is not four whole numbers x, y, width, height")
    x, y, width, height = map(int, values)
    return x, y, width, height


def cut(gray: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The part of a picture inside a box (x, y, width, height)."""
    x, y, width, height = box
    if (
        x < 0
        or y < 0
        or width < 1
        or height < 1
        or x + width > gray.shape[1]
        or y + height > gray.shape[0]
    ):
        raise ParameterError(
            f"box: {box} does not lie in a picture of {gray.shape[1]} x {gray.shape[0]} pixels"
        )
    part: NDArray[np.uint8] = gray[y : y + height, x : x + width]
    return part
