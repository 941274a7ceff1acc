"""What a damaged file still shows: whole, if only what lies beside its pixels is damaged; else the
rows that could be decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.TiffImagePlugin import TiffImageFile

from .pixels import bands, rows_of

__all__ = ["complete_rows", "ended", "without_metadata"]

PNG = b"\x89PNG\r\n\x1a\n"
# Chunks that the pixels of a PNG picture depend on, and that which says how it was held.
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
PNG_ORIENTATION = b"eXIf"
# Markers of a JPEG file: the first scan, the end, segments of applications and comments. The last
# segment of applications says which colours they are.
SCAN, END = 0xDA, b"\xff\xd9"
APPLICATIONS, ADOBE, COMMENT = range(0xE0, 0xF0), 0xEE, 0xFE
# What a JPEG decoder makes of pixels that it has nothing for.
UNDECODED = 128
# Rows above these that may have been smoothed into them: those of the largest unit of a JPEG file.
UNIT = 16


def without_metadata(file: BinaryIO) -> BinaryIO | None:
    """A file in memory with the pixels of a picture and little else; None for a format of which
    there is nothing to leave out.
    """
    file.seek(0)
    content = file.read()
    if content.startswith(PNG):
        return io.BytesIO(b"".join([PNG, *png_pixels(content)]))
    if content.startswith(b"\xff\xd8"):
        return io.BytesIO(b"".join([content[:2], *jpeg_pixels(content)]))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        body = b"".join(webp_pixels(content))
        return io.BytesIO(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)
    return None


def png_pixels(content: bytes) -> Iterator[bytes]:
    """The chunks of a PNG file that its pixels need. The last may be cut off, and checksums of
    compressed pixels are made right: these have one of their own.
    """
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        data = content[place + 8 : place + 8 + length]
        checksum = content[place + 8 + length : place + 12 + length]
        right = struct.pack(">I", zlib.crc32(kind + data))
        if kind in PNG_PIXELS or (kind == PNG_ORIENTATION and checksum == right):
            given = right if kind == b"IDAT" else checksum
            yield struct.pack(">I4s", len(data), kind) + data + given
        place += 12 + length


def jpeg_pixels(content: bytes) -> Iterator[bytes]:
    """A JPEG file from its first segment on, without comments and what applications have left, but
    for EXIF and colours.
    """
    place = 2
    while content[place : place + 1] == b"\xff" and place + 4 <= len(content):
        kind, length = content[place + 1], struct.unpack(">H", content[place + 2 : place + 4])[0]
        if kind == SCAN:
            break
        segment = content[place : place + 2 + length]
        left = kind == COMMENT or (kind in APPLICATIONS and kind != ADOBE)
        if not left or segment[4:10] == b"Exif\0\0":
            yield segment
        place += 2 + length
    yield content[place:]


def webp_pixels(content: bytes) -> Iterator[bytes]:
    """The chunks of a WebP file but for colour profile and XMP."""
    place = 12
    while place + 8 <= len(content):
        kind, length = struct.unpack("<4sI", content[place : place + 8])
        chunk = content[place : place + 8 + length + length % 2]
        if kind not in (b"ICCP", b"XMP "):
            yield chunk
        place += len(chunk)


def ended(file: BinaryIO) -> BinaryIO | None:
    """A JPEG file in memory with an end: so a decoder that needs all of it gives what there is."""
    file.seek(0)
    content = file.read()
    return io.BytesIO(content + END) if content.startswith(b"\xff\xd8") else None


def complete_rows(
    opened: Callable[[], ImageFile.ImageFile], ended: bool = False
) -> tuple[Image.Image, int, int]:
    """Decode as much as there is of an image.

    It is decoded into black and into white: what is the same in both was decoded.

    Args:
        opened: opens the image anew.
        ended: whether its file was given an end (see `ended`), so that all seems to be decoded.

    Returns:
        The image, as it is stored, the first of its rows that are complete, and the end of these:
        the longest run of such. The two are equal if there are none.
    """
    image, other = (decoded_into(opened(), fill) for fill in (0, 255))
    known = np.zeros(image.height, bool)
    for top, bottom in bands(*image.size):
        same = np.asarray(rows_of(image, top, bottom)) == np.asarray(rows_of(other, top, bottom))
        known[top:bottom] = same.reshape(bottom - top, -1).all(axis=1)
    if ended:
        known &= content_rows(image)
    first, last = longest_run(known)
    return image, first, last


def decoded_into(image: ImageFile.ImageFile, fill: int) -> Image.Image:
    """An image, decoded over pixels of one value as far as that goes, as it is stored."""
    fills = (fill,) * len(image.getbands())
    size = image.size
    if isinstance(image, TiffImageFile):
        size = (image.tag_v2[256], image.tag_v2[257])
    image.im = Image.new(image.mode, size, fills if len(fills) > 1 else fill).im
    if isinstance(image, GifImageFile):
        image.load_prepare = lambda: None  # type: ignore[method-assign]  # it would take a new one
    with suppress(Exception):  # what decoders raise of damaged files has no end
        image.load()
    image.tile = []
    return Image.Image._new(image, image.im)


def content_rows(image: Image.Image) -> NDArray[np.bool_]:
    """(h,) flags of the rows of a JPEG image that was given an end before the pixels that its
    decoder had nothing for.
    """
    gray = np.asarray(image.convert("L"))
    rows = np.flatnonzero((gray != UNDECODED).any(axis=1))
    if (gray[-1, -UNIT // 2 :] != UNDECODED).any():  # pixels come row by row
        return np.ones(len(gray), bool)
    last = int(rows[-1]) + 1 if len(rows) else 0
    return np.arange(len(gray)) < last - UNIT


def longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end of the longest run of true flags, the first of several."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best])
