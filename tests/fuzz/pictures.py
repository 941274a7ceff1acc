"""Damage pictures of every format in many ways: reading one ends in a picture or an ImageError, in
time and in 1 GB.

    python -m tests.fuzz.pictures --count 20000 --seed 0

Mutant n of a seed is always the same: `--seed 0 --first 1234 --count 1` makes number 1234 again. A
decoder that crashes or hangs is a violation too, though it would cost a run of `bovw index` one
picture only. Tests call `fuzz`.
"""

from __future__ import annotations

import io
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from bovw import FeatureSpec, ImageError
from bovw.features.local import extract
from bovw.pictures.fragments import with_fragment
from bovw.pictures.reading import fragments_in, read_colours, read_picture
from bovw.workers.pool import run_in_processes
from bovw.workers.process import Work
from tests.fuzz.options import fuzz_options
from tests.helpers.raw import dng
from tests.helpers.video import make_video

__all__ = ["fuzz", "sound_pictures"]

PHOTO = Path(__file__).parents[2] / "data" / "photos" / "crab-on-rock.jpg"
# Seconds that a mutant may take, and bytes that the process which reads it may hold. Most take a
# hundredth of each.
LIMIT = 20.0
MEMORY = 1 << 30
SPEC = FeatureSpec(max_features=100, max_side=128)
HOSTILE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@cache
def sound_pictures() -> dict[str, bytes]:
    """A small photograph in every format and kind that we read, by a name."""
    colour = Image.open(PHOTO).convert("RGB").resize((150, 112))
    gray = colour.convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 16)
    clear = colour.copy()
    clear.putalpha(gray)
    exif = Image.Exif()
    exif[0x0112] = 6
    more: dict[str, Any] = {"exif": exif, "icc_profile": bytes(range(256)) * 2}
    several = {"save_all": True, "append_images": [gray.convert("RGB"), colour.rotate(90)]}
    kinds: list[tuple[str, str, Image.Image, dict[str, Any]]] = [
        ("jpeg", "JPEG", colour, more),
        ("jpeg progressive", "JPEG", colour, {"progressive": True}),
        ("jpeg cmyk", "JPEG", colour.convert("CMYK"), {}),
        ("jpeg pages", "MPO", colour, several),
        ("png", "PNG", colour, more),
        ("png 16", "PNG", deep, {}),
        ("png palette", "PNG", colour.quantize(32), {"transparency": 3}),
        ("png alpha", "PNG", clear, {}),
        ("png pages", "PNG", colour, several),
        ("tiff", "TIFF", colour, {"exif": exif}),
        ("tiff 16", "TIFF", deep, {}),
        ("tiff float", "TIFF", gray.convert("F"), {}),
        ("tiff lzw", "TIFF", colour, {"compression": "tiff_lzw"}),
        ("tiff pages", "TIFF", colour, several),
        ("tiff deflate", "TIFF", clear, {"compression": "tiff_adobe_deflate"}),
        ("tiff jpeg", "TIFF", colour, {"compression": "jpeg"}),
        ("tiff fax", "TIFF", gray.convert("1"), {"compression": "group4"}),
        ("webp", "WEBP", colour, more),
        ("webp pages", "WEBP", clear, {"lossless": True, **several}),
        ("bmp", "BMP", colour, {}),
        ("bmp palette", "BMP", colour.quantize(16), {}),
        ("gif", "GIF", colour.quantize(32), {"transparency": 3}),
        ("gif pages", "GIF", colour, several),
        ("jpeg 2000", "JPEG2000", colour, {}),
        ("jpeg 2000 16", "JPEG2000", deep, {}),
        ("avif", "AVIF", colour, more),
        ("avif alpha", "AVIF", clear, {}),
        ("pgm", "PPM", gray, {}),
        ("ppm", "PPM", colour, {}),
        ("tga", "TGA", colour, {"compression": "tga_rle"}),
    ]
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
        kinds.append(("heic", "HEIF", colour, {"exif": exif.tobytes()}))
    except ImportError:
        pass
    moving = [np.asarray(page)[..., ::-1].copy() for page in (colour, colour.rotate(180))]
    absent = {
        format
        for format, name in (("AVIF", "avif"), ("WEBP", "webp"), ("JPEG2000", "jpg_2000"))
        if not features.check(name)
    }
    found = {
        "png 16 colours": deep_png(np.asarray(colour).astype(np.uint16) * 16),
        "png interlaced": interlaced_png(np.asarray(gray)),
    }
    if find_spec("rawpy"):
        found["raw"] = dng(moving[0])
        found["raw with preview"] = dng(moving[0], moving[0])
    if find_spec("av"):
        found["mp4"], found["mkv"] = video(moving, "mp4"), video(moving, "matroska")
    for name, format, image, options in kinds:
        if format not in absent:
            stream = io.BytesIO()
            # saving leaves traces in an image
            pages = [page.copy() for page in options.get("append_images", [])]
            image.copy().save(
                stream, format, **{**options, **({"append_images": pages} if pages else {})}
            )
            found[name] = stream.getvalue()
    return found


def video(pictures: list[np.ndarray[Any, np.dtype[np.uint8]]], container: str) -> bytes:
    """A video file that shows pictures, each for half a second."""
    with tempfile.TemporaryDirectory() as folder:
        return make_video(Path(folder, "video"), pictures, 0.5, container=container).read_bytes()


def png(width: int, height: int, depth: int, colour: int, interlace: int, rows: bytes) -> bytes:
    """A PNG file of filtered rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def deep_png(pixels: np.ndarray[Any, np.dtype[np.uint16]]) -> bytes:
    """A PNG file of RGB pixels (h, w, 3) with 16 bits each, which Pillow cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(pixels.shape[1], pixels.shape[0], 16, 2, 0, rows)


def interlaced_png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """An interlaced PNG file of grey pixels (h, w), which Pillow cannot write."""
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = b"".join(
        b"\0" + row.tobytes() for y, x, down, across in passes for row in pixels[y::down, x::across]
    )
    return png(pixels.shape[1], pixels.shape[0], 8, 0, 1, rows)


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    """What was damaged and how, and what it is now."""
    rng = np.random.default_rng((seed, number))
    sound = sound_pictures()
    name = sorted(sound)[int(rng.integers(len(sound)))]
    content, done = sound[name], []
    for _ in range(int(rng.integers(1, 4))):
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        content = change(content, rng)
        done.append(change.__name__)
    if content.startswith(b"\x89PNG") and rng.random() < 0.7:
        content = with_sums(content)
    return f"{name}: {', '.join(done)}", content


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip some bits."""
    changed = bytearray(content)
    for place in (
        rng.integers(0, 8 * len(content), int(rng.integers(1, 9))).tolist() if content else []
    ):
        changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)


def hostile_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Write a number that is likely to be wrong, mostly near the beginning, where sizes and lengths
    are.
    """
    reach = len(content) if rng.random() < 0.3 else min(len(content), 400)
    width, order = (("B", "H", "I")[int(rng.integers(3))], "<>"[int(rng.integers(2))])
    number = struct.pack(
        f"{order}{width}",
        HOSTILE[int(rng.integers(len(HOSTILE)))] & ((1 << 8 * struct.calcsize(width)) - 1),
    )
    place = int(rng.integers(reach + 1))
    return content[:place] + number + content[place + len(number) :]


def noise(content: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite a range with noise, zeros or ones."""
    place, length = int(rng.integers(len(content) + 1)), int(2 ** rng.uniform(0, 10))
    return (
        content[:place]
        + (rng.bytes(length), bytes(length), b"\xff" * length)[int(rng.integers(3))]
        + content[place + length :]
    )


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off the end."""
    return content[: int(rng.integers(len(content) + 1))]


def extend(content: bytes, rng: np.random.Generator) -> bytes:
    """Add something at the end: what follows in the file, or noise."""
    return (
        content
        + (content[int(rng.integers(len(content) + 1)) :], rng.bytes(300))[int(rng.integers(2))]
    )


def remove(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave a range out."""
    place = int(rng.integers(len(content) + 1))
    return content[:place] + content[place + int(2 ** rng.uniform(0, 10)) :]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """Insert a range of the file somewhere else in it."""
    place, source = rng.integers(len(content) + 1, size=2).tolist()
    return (
        content[:place] + content[source : source + int(2 ** rng.uniform(0, 11))] + content[place:]
    )


def splice(content: bytes, rng: np.random.Generator) -> bytes:
    """Go on as another picture does."""
    other = list(sound_pictures().values())[int(rng.integers(len(sound_pictures())))]
    return content[: int(rng.integers(len(content) + 1))] + other[int(rng.integers(len(other))) :]


CHANGES = (
    flip,
    flip,
    hostile_number,
    hostile_number,
    hostile_number,
    noise,
    cut,
    extend,
    remove,
    repeat,
    splice,
)


def with_sums(content: bytes) -> bytes:
    """A PNG file with the checksums that its chunks should have, so that they are read."""
    changed, place = bytearray(content), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        changed[end : end + 4] = (
            struct.pack(">I", zlib.crc32(content[place + 4 : end]))
            if end + 4 <= len(content)
            else b""
        )
        place = end + 4
    return bytes(changed[: len(content)])


def trial(number: int, seed: int, folder: str) -> str:
    """Read a mutant in all ways. Returns what came of it; what begins with ! is a violation."""
    name, content = mutant(seed, number)
    path = Path(folder, "mutant")
    path.write_bytes(content)
    try:
        picture = read_picture(path, SPEC.max_side)
        extract(picture, SPEC)
        with suppress(ImageError):
            read_picture(with_fragment(str(path), fragments_in(str(path))[-1]), SPEC.max_side)
        colours, size = read_colours(path, 64)
        x, y, width, height = picture.box  # not all of a picture that is cut off
        assert size == picture.size and min(x, y, width - 1, height - 1) >= 0
        assert x + width <= size[0] and y + height <= size[1]
        assert picture.gray.size <= SPEC.max_side**2 and max(colours.shape[:2]) <= 64
        outcome = "read"
    except ImageError as error:
        outcome = error.reason.partition(":")[0]
        if error.path != str(path) or not error.reason or "\n" in error.reason:
            outcome = f"! {name}: reported as {error!r}"
    except BaseException:
        return f"! {name}: {traceback.format_exc()}"
    return f"! {name}: {peak():,} bytes" if peak() > MEMORY else outcome


def peak() -> int:
    """Bytes that this process has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def fuzz(count: int, seed: int, first: int = 0) -> Iterator[tuple[int, str]]:
    """Make mutants first..first + count and read each, in another process.

    Yields:
        The number and the outcome of each mutant; what begins with ! is a violation.
    """
    with tempfile.TemporaryDirectory() as folder:
        numbers = range(first, first + count)
        for number, outcome in zip(
            numbers,
            run_in_processes(Work(partial(trial, seed=seed, folder=folder)), numbers, 50, 1, LIMIT),
            strict=True,
        ):
            if isinstance(outcome, ImageError):
                outcome = f"! {mutant(seed, number)[0]}: {outcome.reason}"
            yield number, outcome


def main() -> None:
    """Run the command: print a summary, exit with 1 if there are violations."""
    from tests.fuzz.pictures import fuzz  # by its name, under which the other process finds it

    arguments = fuzz_options(__doc__)
    started = time.perf_counter()
    outcomes: Counter[str] = Counter()
    for number, outcome in fuzz(arguments.count, arguments.seed, arguments.first):
        outcomes["violation" if outcome.startswith("!") else outcome] += 1
        if outcome.startswith("!"):
            sys.stdout.write(f"--seed {arguments.seed} --first {number} --count 1 {outcome}\n")
        if (number + 1) % 1000 == 0:
            sys.stdout.write(
                f"{number + 1 - arguments.first} mutants, {time.perf_counter() - started:.0f} s\n"
            )
        sys.stdout.flush()
    for outcome, times in outcomes.most_common():
        sys.stdout.write(f"{times:6d} x {outcome}\n")
    sys.exit(1 if outcomes["violation"] else 0)


if __name__ == "__main__":
    main()
