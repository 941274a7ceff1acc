"""Damaged files: what of them is read, and what is said of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from bovw import ImageError, Limits
from bovw.pictures.reading import read_picture
from tests.helpers.pictures import textured

PIXELS = textured(5, 480, 360)


def encoded(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[..., ::-1]).save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize(
    ("kind", "orientation"),
    [(kind, 1) for kind in ("JPEG", "PNG", "BMP", "TGA", "PPM", "TIFF")]
    + [(kind, turn) for kind in ("JPEG", "PNG") for turn in (2, 3, 5, 6, 8)],
)
@pytest.mark.parametrize("side", [1000, 100])
def test_the_rows_that_are_there_are_the_picture(kind: str, orientation: int, side: int) -> None:
    content = encoded(kind, **({"exif": exif(orientation)} if orientation != 1 else {}))
    whole = read_picture(content, 1000)
    part = read_picture(content[: len(content) * 55 // 100], side)
    assert part.size == whole.size
    x, y, width, height = part.box
    assert 0.4 < width * height / (part.size[0] * part.size[1]) < 0.7
    assert part.note == f"cut off: {width * height * 100 // (part.size[0] * part.size[1])} % read"
    if side == 1000:
        difference = part.gray.astype(int) - whole.gray[y : y + height, x : x + width]
        assert np.abs(difference).max() <= 1
    else:
        assert side <= max(part.gray.shape) < 1.5 * side


def test_a_progressive_picture_gets_coarser_before_it_gets_shorter() -> None:
    content = encoded("JPEG", progressive=True)
    coarse = read_picture(content[: len(content) // 2], 1000)
    assert coarse.box == (0, 0, 480, 360) and coarse.note == "cut off: 100 % read, coarsely"
    assert np.abs(coarse.gray.astype(int) - read_picture(content, 1000).gray).mean() < 20
    short = read_picture(content[: len(content) // 20], 1000)
    assert short.box[3] < 360 and (short.gray != 128).any(axis=1).all(), "grey is no content"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_strict_refuses_what_is_cut_off(kind: str) -> None:
    content = encoded(kind)
    with pytest.raises(ImageError, match="is cut off"):
        read_picture(content[: len(content) // 2], 1000, limits=Limits(strict=True))


def test_a_box_of_what_is_there_is_searched_and_one_of_what_is_not_refused() -> None:
    content = encoded("PNG")
    half = content[: len(content) // 2]
    assert read_picture(half, 1000, (10, 20, 50, 40)).box == (10, 20, 50, 40)
    over = read_picture(half, 1000, (10, 20, 50, 340))
    assert over.box[:3] == (10, 20, 50) and over.box[3] < 200
    with pytest.raises(ImageError, match="the box lies in what is missing"):
        read_picture(half, 1000, (10, 300, 50, 40))


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def segment(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(data) + 2) + data


def with_odd_metadata() -> Iterator[tuple[str, bytes]]:
    """Whole pictures in files of which something beside the pixels is damaged, or far too long."""
    png, large = encoded("PNG"), zlib.compress(bytes(2_000_000))
    chunks = {
        "a long profile": chunk(b"iCCP", b"printer\0\0" + large),
        "a long XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + large),
        "a long text": chunk(b"zTXt", b"workflow\0\0" + large),
        "many texts": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000))) * 80,
        "a comment with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", 1),
        "a broken profile": chunk(b"iCCP", b"printer\0\0 nothing compressed"),
        "a broken text": chunk(b"zTXt", b"workflow\0\0 nothing compressed"),
        "a short size": chunk(b"pHYs", b"1"),
        "a short chromaticity": chunk(b"cHRM", b"1"),
        "a broken animation": chunk(b"acTL", b"1"),
        "an empty gamma": chunk(b"gAMA", b""),
        "an unknown chunk with a wrong checksum": chunk(b"abCd", b"1", 2),
    }
    for name, odd in chunks.items():
        yield f"PNG, {name}", png[:33] + odd + png[33:]
        yield f"PNG, {name} at the end", png[:-12] + odd + png[-12:]
    yield "PNG without an end", png[:-12]
    yield "PNG with a wrong checksum of its pixels", png[:-16] + b"1234" + png[-12:]
    jpeg = encoded("JPEG")
    for number in range(0xE0, 0xF0):
        for data in (b"", b"Exif\0\0", b"Exif\0\0MM broken", b"MPF\0broken", b"\xff" * 50):
            if number != 0xEE:
                yield f"JPEG, {data!r} in {number:x}", jpeg[:2] + segment(number, data) + jpeg[2:]
    for data in (b"ICC_PROFILE\0\1\2broken", b"Photoshop 3.0\x008BIM\4\4", b"JFIF\0\1"):
        for number in (0xE0, 0xE2, 0xED):
            yield f"JPEG, {data!r} in {number:x}", jpeg[:2] + segment(number, data) + jpeg[2:]
    yield "JPEG without an end", jpeg[:-2]
    yield "JPEG with another after its end", jpeg + jpeg[:500]
    webp = encoded("WEBP", lossless=True, exif=exif(1), icc_profile=b"x" * 200, xmp=b"y" * 100)
    for kind in (b"ICCP", b"EXIF", b"XMP "):
        at = webp.index(kind)
        yield f"WebP, broken {kind!r}", webp[: at + 8] + b"\xff" * 20 + webp[at + 28 :]


@pytest.mark.parametrize(("name", "content"), list(with_odd_metadata()))
def test_what_is_beside_the_pixels_costs_no_picture(name: str, content: bytes) -> None:
    picture = read_picture(content, 1000, limits=Limits(strict=True))
    assert picture.box == (0, 0, 480, 360) and picture.note == ""
    gray = read_picture(encoded("PNG"), 1000).gray.astype(int)
    assert np.abs(picture.gray - gray).mean() < (4 if name.startswith("JPEG") else 1)


def test_the_orientation_survives_broken_metadata() -> None:
    png = encoded("PNG", exif=exif(6))
    odd = png[:33] + chunk(b"tEXt", b"Comment\0hello", 1) + png[33:]
    assert read_picture(odd, 1000).size == (360, 480)
