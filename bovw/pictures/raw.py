"""RAW files of cameras: the preview that is embedded, or the picture that is developed from the
sensor's values.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .files import damaged
from .formats import ORIENTATION, directories, length_of, opened_image
from .limits import Limits, require_memory, require_pixels

if TYPE_CHECKING:
    from rawpy import RawPy

__all__ = ["RAW_SUFFIXES", "developed", "is_raw", "opened_raw", "preview", "size_of"]

RAW_SUFFIXES = frozenset(
    [
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc"),
        *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"),
        *(".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    ]
)
# What RAW files that are no TIFF files begin with, and where.
MARKS = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"IIU\x00"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"FOVb"),
    (0, b"\x00MRM"),
    (6, b"HEAPCCDR"),
    (4, b"ftypcrx"),
    (8, b"CR\x02"),
)
TIFF = (b"II*\x00", b"MM\x00*")
DNG_VERSION, PHOTOMETRIC, SUBDIRECTORIES = 0xC612, 0x0106, 0x014A
# Values of a sensor: behind a mosaic of colours, and without one.
SENSOR = (32803, 34892)
# Bytes a pixel that developing takes, in full size and in half, with the file.
FULL, HALF = 16, 6
# By how much the shape of a preview may differ from that of the picture.
SHAPE = 0.02
# How LibRaw says that a picture has to be turned, as EXIF says it.
FLIPS = {3: 3, 5: 8, 6: 6}


def is_raw(path: str, file: BinaryIO) -> bool:
    """Whether an opened file is a RAW file, by its content; that of some can't be told from other
    TIFF files, and then by its ending.
    """
    file.seek(0)
    start = file.read(16)
    if any(start[at : at + len(mark)] == mark for at, mark in MARKS):
        return True
    if not start.startswith(TIFF):
        return False
    if Path(path).suffix.lower() in RAW_SUFFIXES:
        return True
    first: Mapping[int, Any] = next(directories(file), {})
    inner = first.get(SUBDIRECTORIES, ())
    inner = inner if isinstance(inner, tuple) else (inner,)
    return DNG_VERSION in first or any(
        tags.get(PHOTOMETRIC) in SENSOR
        for tags in (first, *(next(directories(file, at), {}) for at in inner[:8]))
    )


@contextmanager
def opened_raw(path: str, file: BinaryIO, limits: Limits) -> Iterator[RawPy]:
    """Open a RAW file. Raises ImageError: it cannot be, or rawpy is not installed; and whatever is
    wrong with it inside.
    """
    try:
        import rawpy
    except ImportError:
        raise ImageError(
            path,
            "is not an image of a known format: RAW needs the package rawpy "
            "(pip install 'bovw[raw]')",
        ) from None
    require_memory(path, length_of(file), limits)
    file.seek(0)
    raw = rawpy.RawPy()
    try:
        raw.open_buffer(file)
        require_pixels(path, size_of(raw), limits)
        yield raw
    except rawpy.LibRawFileUnsupportedError:
        reason = "is not an image of a known format: LibRaw does not know this kind of RAW"
        raise ImageError(path, reason) from None
    except rawpy.LibRawError as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise damaged(path, ValueError(text)) from error
    finally:
        raw.close()


def size_of(raw: RawPy) -> tuple[int, int]:
    """Width and height of the picture, upright."""
    sizes = raw.sizes
    size = (int(sizes.width), int(sizes.height))
    return size[::-1] if sizes.flip in (5, 6) else size


def preview(raw: RawPy, side: int) -> bytes | None:
    """The largest preview as a JPEG file that says how it has to be turned; None if there is none
    with this long side and the shape of the picture.
    """
    import rawpy

    try:
        found = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if found.format != rawpy.ThumbFormat.JPEG or not isinstance(found.data, bytes):
        return None
    width, height = sorted((raw.sizes.width, raw.sizes.height), reverse=True)
    size = opened_image("<preview>", io.BytesIO(found.data)).size
    long, short = sorted(size, reverse=True)
    if long < side or abs(long * height / (short * width) - 1) > SHAPE:
        return None
    return found.data if b"Exif\0\0" in found.data[:64] else turned(found.data, raw.sizes.flip)


def turned(content: bytes, flip: int) -> bytes:
    """A JPEG file that says that it has to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = FLIPS.get(flip, 1)
    segment = exif.tobytes()
    length = (len(segment) + 2).to_bytes(2)
    return content[:2] + b"\xff\xe1" + length + segment + content[2:]


def developed(path: str, raw: RawPy, side: int, limits: Limits) -> NDArray[np.uint8]:
    """The picture (h, w, 3) RGB, upright, developed with the camera's white balance; in half size
    if that has this long side. Raises ImageError: it takes too much memory.
    """
    width, height = size_of(raw)
    half = max(width, height) >= 2 * side
    require_memory(path, width * height * (HALF if half else FULL), limits)
    return np.asarray(raw.postprocess(use_camera_wb=True, half_size=half), np.uint8)
