"""A RAW file made by hand: a DNG of a mosaic of red, green and blue, with a preview if wanted."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

# Tags and their types: BYTE, SHORT, LONG, ASCII, SRATIONAL.
BYTE, ASCII, SHORT, LONG, SRATIONAL = 1, 2, 3, 4, 10
WIDTHS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", SRATIONAL: "i"}
Tags = dict[int, tuple[int, list[int]]]


def directory(tags: Tags, place: int) -> bytes:
    """A TIFF directory that stands at a place of its file, without a next one, and its values."""
    head, values = struct.pack("<H", len(tags)), b""
    after = place + 2 + 12 * len(tags) + 4
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"<{len(numbers)}{WIDTHS[kind]}", *numbers)
        count = len(numbers) // (2 if kind == SRATIONAL else 1)
        if len(data) > 4:
            data, at = b"", data
            field = struct.pack("<I", after + len(values))
            values += at + b"\0" * (len(at) % 2)
        else:
            field = data.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, kind, count) + field
    return head + struct.pack("<I", 0) + values


def dng(
    pixels: NDArray[np.uint8], preview: NDArray[np.uint8] | None = None, orientation: int = 1
) -> bytes:
    """A DNG file of a BGR picture of even width and height, as a sensor with a mosaic sees it.

    Args:
        preview: a picture to embed as JPEG.
    """
    height, width = pixels.shape[:2]
    linear = (pixels.astype(np.float64) / 255) ** 2.2 * 16383
    mosaic = linear[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = linear[::2, ::2, 2], linear[1::2, 1::2, 0]
    sensor = np.rint(mosaic).astype("<u2").tobytes()
    jpeg = b"" if preview is None else cv2.imencode(".jpg", preview)[1].tobytes()
    ends = 8, 8 + len(sensor)
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    camera: Tags = {
        0x010F: (ASCII, list(b"bovw\0")),
        0x0110: (ASCII, list(b"by hand\0")),
        0x0112: (SHORT, [orientation]),
        0xC612: (BYTE, [1, 4, 0, 0]),
        0xC614: (ASCII, list(b"bovw by hand\0")),
        0xC621: (SRATIONAL, identity),
        0xC65A: (SHORT, [21]),
        0xC628: (SRATIONAL, [1, 1] * 3),
    }
    raw: Tags = {
        0x00FE: (LONG, [0]),
        0x0100: (LONG, [width]),
        0x0101: (LONG, [height]),
        0x0102: (SHORT, [16]),
        0x0103: (SHORT, [1]),
        0x0106: (SHORT, [32803]),
        0x0111: (LONG, [ends[0]]),
        0x0115: (SHORT, [1]),
        0x0116: (LONG, [height]),
        0x0117: (LONG, [len(sensor)]),
        0x828D: (SHORT, [2, 2]),
        0x828E: (BYTE, [0, 1, 1, 2]),
        0xC61A: (SHORT, [0]),
        0xC61D: (LONG, [16383]),
    }
    at = ends[1] + len(jpeg) + len(jpeg) % 2
    body = sensor + jpeg + b"\0" * (len(jpeg) % 2)
    if preview is None:
        return struct.pack("<2sHI", b"II", 42, at) + body + directory(raw | camera, at)
    inner = directory(raw, at)
    at_first = at + len(inner) + len(inner) % 2
    shown: Tags = {
        0x00FE: (LONG, [1]),
        0x0100: (LONG, [preview.shape[1]]),
        0x0101: (LONG, [preview.shape[0]]),
        0x0102: (SHORT, [8, 8, 8]),
        0x0103: (SHORT, [7]),
        0x0106: (SHORT, [6]),
        0x0111: (LONG, [ends[1]]),
        0x0115: (SHORT, [3]),
        0x0116: (LONG, [preview.shape[0]]),
        0x0117: (LONG, [len(jpeg)]),
        0x014A: (LONG, [at]),
    }
    first = directory(shown | camera, at_first)
    inner += b"\0" * (len(inner) % 2)
    return struct.pack("<2sHI", b"II", 42, at_first) + body + inner + first
