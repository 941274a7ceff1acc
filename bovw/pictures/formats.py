"""Picture formats: which ones we read, what opens each, how it is decoded small, and what memory
that takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import IO, BinaryIO

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..errors import ImageError
from .files import damaged
from .pixels import has_deep_colours
from .working import working_unit

__all__ = [
    "ORIENTATION",
    "decode_small",
    "decoding_bytes",
    "directories",
    "has_several_scans",
    "length_of",
    "opened_image",
    "orientation_of",
    "page_numbers",
    "stored_orientation",
]

# The formats that we read, by Pillow's names and modules. No others: some would start other
# programs (EPS: Ghostscript). TGA comes last, as it has no mark to be known by.
FORMATS = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "JPEG2000": "PIL.Jpeg2KImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
    "TGA": "PIL.TgaImagePlugin",
}
HEIF_BRANDS = (
    b"heic",
    b"heix",
    b"hevc",
    b"hevx",
    b"heim",
    b"heis",
    b"hevm",
    b"hevs",
    b"mif1",
    b"msf1",
)
ORIENTATION = 0x0112
# What a page of a TIFF file is, and flags in it: a smaller copy of another page, a mask of one.
KIND, NO_PAGE = 0x00FE, 0b101
# Pages of a file that are looked for at most.
MOST_PAGES = 10_000
ROWS_PER_STRIP = 0x0116
TILE_WIDTH, TILE_HEIGHT = 0x0142, 0x0143
# Bytes a pixel of an image in Pillow, by mode; 4 in all others.
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Bytes a pixel that the decoders of some formats need beside it.
DECODER = {"WEBP": 12, "AVIF": 12, "HEIF": 12}

Open = Callable[[IO[bytes], "str | bytes"], ImageFile.ImageFile]
# Whether a file that begins so can be opened; a text says why it cannot here.
Accepts = Callable[[bytes], "bool | str"]


def opened_image(path: str, file: BinaryIO, page: int = 1) -> ImageFile.ImageFile:
    """Read the header of a picture. Not by `Image.open`, whose limit of size is a setting of the
    whole program.

    Args:
        page: of a TIFF file, from 1 on.

    Raises:
        ImageError: it has no format that we read, or no such page.
    """
    file.seek(0)
    prefix = file.read(16)
    problem = ImageError(path, "is not an image of a known format")
    for opens, accepts in openers(prefix):
        accepted = accepts(prefix) if accepts else True
        if isinstance(accepted, str):
            problem = ImageError(path, f"is not an image of a known format: {accepted}")
        elif accepted:
            file.seek(0)
            try:
                return at_page(path, opens(file, ""), page)
            except SyntaxError as error:
                if accepts:
                    problem = damaged(path, error)
    raise problem


def at_page(path: str, image: ImageFile.ImageFile, page: int) -> ImageFile.ImageFile:
    """An opened image at one of its pages. Raises ImageError if there is none."""
    if page > 1:
        try:
            if image.format != "TIFF":
                raise EOFError
            image.seek(page - 1)
        except EOFError:
            raise ImageError(path, f"has no page {page}") from None
    return image


def directories(file: BinaryIO, first: int = 0) -> Iterator[ImageFileDirectory_v2]:
    """The directories of a TIFF file, one after the other, up to one that is damaged; of any other
    file none.

    Args:
        first: where the first of them is; 0: where the file says.
    """
    file.seek(0)
    header, seen = file.read(16), set[int]()
    with suppress(Exception):  # what a decoder raises of damaged files has no end
        tags = ImageFileDirectory_v2(header if b"+" in header[2:4] else header[:8])
        place = first or tags.next
        while place and place not in seen and len(seen) < MOST_PAGES:
            seen.add(place)
            file.seek(place)
            tags.load(file)
            yield tags
            place = tags.next


def page_numbers(file: BinaryIO) -> list[int]:
    """The pages of a picture file, from 1 on: in a TIFF file those of its directories that are no
    smaller copies and no masks; in any other the first.
    """
    pages = (
        number
        for number, tags in enumerate(directories(file), 1)
        if number == 1 or not int(tags.get(KIND, 0)) & NO_PAGE
    )
    return list(pages) or [1]


def openers(prefix: bytes) -> list[tuple[Open, Accepts | None]]:
    """What may open a file that begins so, in the order of trying. Pillow's register is filled,
    never changed.
    """
    found: list[tuple[Open, Accepts | None]] = []
    if prefix[4:8] == b"ftyp" and prefix[8:12] in HEIF_BRANDS:
        found.append(heif())
    for name, module in FORMATS.items():
        import_module(module)
        found.append(Image.OPEN[name])
    return found


def heif() -> tuple[Open, Accepts]:
    """What opens HEIC pictures."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        return (
            ImageFile.ImageFile,
            lambda _: "HEIC needs the package pillow-heif (pip install 'bovw[heic]')",
        )
    return HeifImageFile, lambda _: True


def decode_small(image: ImageFile.ImageFile, mode: str, side: int) -> None:
    """Let a JPEG or JPEG 2000 image be decoded at a fraction of its size, but not below this long
    side.

    Args:
        mode: "L" or "RGB": in which mode a JPEG may be decoded.
    """
    if image.format == "JPEG2000":
        # twice the side, since what wavelets leave of fine detail is less smooth than a mean
        unit = float(working_unit(*image.size, side))
        halvings = max(0, int(unit / 2).bit_length() - 1)
        image.reduce = min(halvings, resolutions(image))  # type: ignore[method-assign, assignment]
    elif isinstance(image, JpegImageFile):
        image.draft(mode if image.mode in ("L", "RGB", "YCbCr") else None, (side, side))


def resolutions(image: ImageFile.ImageFile) -> int:
    """How many times a JPEG 2000 image can be halved while it is decoded: from the COD marker of
    its main header.
    """
    assert image.fp is not None
    image.fp.seek(0)
    header = image.fp.read(1 << 16)
    place = header.find(b"\xff\x4f\xff\x51") + 2
    while place >= 2 and header[place : place + 1] == b"\xff" and len(header) > place + 9:
        if header[place + 1] == 0x52:
            return header[place + 9]
        place += 2 + int.from_bytes(header[place + 2 : place + 4])
    return 0


def decoding_bytes(image: ImageFile.ImageFile, size: tuple[int, int]) -> int:
    """About the memory that decoding an opened image into 8-bit grey values or colours takes at
    most, from its header.

    Args:
        size: width and height in the file; those of the image are smaller if it is to be decoded
            small.
    """
    assert image.fp is not None
    # a JPEG 2000 image has its full size until it is decoded
    shrunk: int = 4 ** getattr(image, "_reduce", 0)
    pixels = image.width * image.height // shrunk
    stored = STORED.get(image.mode, 4) * (2 if has_deep_colours(image) else 1)
    needed = pixels * (stored + (3 if image.mode == "P" else 1))
    if image.format in DECODER:
        needed += pixels * DECODER[image.format] + length_of(image.fp)
    elif image.format == "JPEG2000":
        needed += pixels * 8 * len(image.getbands())
    elif image.format == "TIFF":
        needed += strip_bytes(image, stored)
    elif isinstance(image, JpegImageFile) and has_several_scans(image):
        needed += coefficient_bytes(image, size)
    return needed


def length_of(file: IO[bytes]) -> int:
    """The length of an opened file, of which some was read."""
    place = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(place)
    return length


def strip_bytes(image: ImageFile.ImageFile, stored: int) -> int:
    """Memory of a compressed strip or tile of a TIFF image, and of a second copy if the image has
    to be turned.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    pixels = image.width * image.height if tags.get(ORIENTATION, 1) != 1 else 0
    if image.tile and image.tile[0].codec_name == "libtiff":
        height = tags.get(TILE_HEIGHT, tags.get(ROWS_PER_STRIP, image.height))
        pixels += tags.get(TILE_WIDTH, image.width) * min(height, image.height)
    return stored * int(pixels)


def has_several_scans(image: JpegImageFile) -> bool:
    """Whether a JPEG image can be decoded only when all of it has been read: it is progressive, or
    its channels follow each other.
    """
    if image.info.get("progressive") or image.format != "JPEG" or image.fp is None:
        return bool(image.info.get("progressive"))
    # opening ends just behind the marker of the first scan: length (2 bytes), number of channels
    scan = image.fp.read(3)
    image.fp.seek(-len(scan), os.SEEK_CUR)
    return len(scan) == 3 and scan[2] < len(image.layer)


def coefficient_bytes(image: JpegImageFile, size: tuple[int, int]) -> int:
    """Memory of the coefficients of all channels of a JPEG image, two bytes each, whatever the size
    at which it is decoded.
    """
    areas = [across * down for _, across, down, _ in image.layer]
    largest = max([1, *(across for _, across, _, _ in image.layer)]) * max(
        [1, *(down for _, _, down, _ in image.layer)]
    )
    return 2 * size[0] * size[1] * sum(areas) // largest


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation 1..8 of a decoded image; 1 if it has none, if that is broken, or if it
    was turned while decoding.
    """
    return 1 if image.format == "TIFF" else stored_orientation(image)


def stored_orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation 1..8 of an image as it is stored; 1 if it has none or a broken one."""
    try:
        tags = getattr(image, "tag_v2", None) if image.format == "TIFF" else image.getexif()
        found = (tags or {}).get(ORIENTATION, 1)
    except Exception:  # broken EXIF, of which viewers take no notice either
        return 1
    return found if found in range(1, 9) else 1
