"""Pictures: which files are found, and that each is read upright, whole, with its detail, or
refused with a reason.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from bovw.errors import ImageError, ParameterError
from bovw.pictures.folders import find_images
from bovw.pictures.reading import LIMITS, Limits, picture_from_array, read_colours, read_picture
from bovw.reporting import Failure
from tests.fuzz.pictures import PHOTO, png, sound_pictures
from tests.helpers.pictures import textured

ORIENTATION = 0x0112
T = Image.Transpose
# What a camera held in each way has stored of an upright scene.
STORED = (
    None,
    T.FLIP_LEFT_RIGHT,
    T.ROTATE_180,
    T.FLIP_TOP_BOTTOM,
    T.TRANSPOSE,
    T.ROTATE_90,
    T.TRANSVERSE,
    T.ROTATE_270,
)


def image(width: int = 90, height: int = 64) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(textured(5, width, height)[..., ::-1]))


def gray_of(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L"))


def difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(float) - second).mean())


# --- finding


def finding(paths: list[str | Path]) -> tuple[list[str], list[Failure]]:
    found = find_images(paths)
    return list(found.files), found.problems


def test_folders_are_searched_to_the_bottom_for_known_endings(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "deep/c.webp", "deep/er.png/d.tiff"):
        (tmp_path / name).touch()
    for name in ("notes.txt", "jpg", ".jpg", "deep/._c.jpg", "film.pdf", "a.png.bak"):
        (tmp_path / name).touch()
    found, problems = finding([tmp_path])
    assert found == sorted(
        str(tmp_path / name) for name in ("a.png", "b.JPG", "deep/c.webp", "deep/er.png/d.tiff")
    )
    assert problems == []


def test_named_files_are_taken_whatever_their_ending_and_once(tmp_path: Path) -> None:
    odd, plain = tmp_path / "z.data", tmp_path / "a.png"
    odd.touch()
    plain.touch()
    found, problems = finding([odd, str(odd), tmp_path, plain, str(tmp_path) + os.sep])
    assert found == [str(plain), str(odd)]
    assert problems == []


def test_absent_path_is_reported_and_the_rest_found(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    found, problems = finding([tmp_path / "absent", tmp_path])
    assert found == [str(tmp_path / "a.png")]
    assert [problem.name for problem in problems] == [str(tmp_path / "absent")]
    assert "no such file" in problems[0].reason


def test_link_to_a_parent_folder_does_not_loop(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "again").symlink_to(tmp_path)
    assert finding([tmp_path])[0] == [str(tmp_path / "a.png")]


# --- upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("ending", "options", "tolerance"),
    [
        ("png", {}, 0.0),
        ("jpg", {"quality": 95}, 3.0),
        ("webp", {"lossless": True}, 0.0),
        ("tif", {"compression": "tiff_lzw"}, 0.0),
        ("tiff", {}, 0.0),
        ("avif", {"quality": 95}, 4.0),
        ("heic", {"quality": 95}, 4.0),
    ],
)
def test_every_orientation_is_read_upright(
    tmp_path: Path, orientation: int, ending: str, options: dict[str, Any], tolerance: float
) -> None:
    upright = image().convert("L")
    turn = STORED[orientation - 1]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{ending}"
    if ending == "heic":
        pytest.importorskip("pillow_heif").from_pillow(stored.convert("RGB")).save(
            path, exif=exif.tobytes(), **options
        )
    else:
        stored.save(path, exif=exif, **options)
    picture = read_picture(path, 1000)
    assert difference(picture.gray, gray_of(upright)) <= tolerance
    assert picture.size == (90, 64)
    assert picture.box == (0, 0, 90, 64)
    colours, size = read_colours(path, 1000)
    assert difference(colours[..., 1], gray_of(upright)) <= tolerance
    assert size == (90, 64)


def test_orientation_and_box_together(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "a.png"
    image().transpose(T.ROTATE_90).save(path, exif=exif)
    picture = read_picture(path, 1000, (60, 10, 30, 50))
    assert np.array_equal(picture.gray, gray_of(image())[10:60, 60:90])
    assert picture.size == (90, 64)


@pytest.mark.slow
def test_turned_jpeg_is_shrunk_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    path = tmp_path / "a.jpg"
    image(1200, 800).transpose(T.ROTATE_270).save(path, exif=exif, quality=95)
    picture = read_picture(path, 150)
    assert picture.size == (1200, 800)
    assert (
        difference(picture.gray, gray_of(image(1200, 800).resize((150, 100), Image.Resampling.BOX)))
        < 3
    )


# --- modes


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_opaque_modes_keep_their_grey_values(tmp_path: Path, mode: str) -> None:
    stored = image().convert(mode)
    stored.save(tmp_path / "a.png")
    assert np.array_equal(
        read_picture(tmp_path / "a.png", 1000).gray, gray_of(stored.convert("RGB"))
    )


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    image().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert difference(read_picture(tmp_path / "a.jpg", 1000).gray, gray_of(image())) < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composed_on_mid_grey(tmp_path: Path, mode: str) -> None:
    gray = gray_of(image())
    alpha = np.zeros_like(gray)
    alpha[:, :30], alpha[:, 30:60] = 255, 128
    stored = image().convert("RGB" if mode == "RGBA" else "L")
    stored.putalpha(Image.fromarray(alpha))
    assert stored.mode == mode
    stored.save(tmp_path / "a.png")
    seen = read_picture(tmp_path / "a.png", 1000).gray
    assert np.array_equal(seen[:, :30], gray[:, :30])
    assert np.abs(seen[:, 30:60] - (gray[:, 30:60].astype(float) + 128) / 2).max() <= 1.5
    assert (seen[:, 60:] == 128).all()


def test_transparent_colour_of_a_palette_is_mid_grey(tmp_path: Path) -> None:
    stored = image().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    clear = np.asarray(stored) == 3
    stored.save(tmp_path / "a.png", transparency=3)
    stored.save(tmp_path / "a.gif", transparency=3)
    for name in ("a.png", "a.gif"):
        seen = read_picture(tmp_path / name, 1000).gray
        assert (seen[clear] == 128).all()
        assert np.array_equal(seen[~clear], gray_of(stored.convert("RGB"))[~clear])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_twelve_bits_in_sixteen_keep_their_detail(tmp_path: Path, ending: str) -> None:
    gray = gray_of(image())
    Image.fromarray(gray.astype(np.uint16) * 16).save(tmp_path / f"a.{ending}")
    seen = read_picture(tmp_path / f"a.{ending}", 1000).gray
    assert seen.std() > gray.std()
    assert np.corrcoef(seen.ravel(), gray.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("low", "span"), [(0.0, 1.0), (-5.0, 0.01), (1e6, 1e5)])
def test_float_tiff_keeps_its_detail(tmp_path: Path, low: float, span: float) -> None:
    gray = gray_of(image())
    values = (low + gray / 255 * span).astype(np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    seen = read_picture(tmp_path / "a.tif", 1000).gray
    assert seen[1:].std() > 30
    assert np.corrcoef(seen[1:].ravel(), gray[1:].ravel())[0, 1] > 0.98


def sixteen(gray: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """What a camera of 12 bits writes into 16."""
    return gray.astype(np.uint16) * 16


def save_colours_of_sixteen_bits(path: Path, pixels: NDArray[np.uint16]) -> None:
    """Write RGB pixels: by the ending a PNG, a compressed TIFF, or an uncompressed one (.tiff)."""
    assert cv2.imwrite(
        str(path),
        pixels[..., ::-1],
        [cv2.IMWRITE_TIFF_COMPRESSION, 1 if path.suffix == ".tiff" else 5],
    )


@pytest.mark.parametrize("ending", ["png", "tif", "tiff"])
def test_twelve_bits_in_sixteen_keep_their_detail_in_colour(tmp_path: Path, ending: str) -> None:
    """Pillow gives the upper eight of these sixteen bits only: sixteen levels of grey."""
    save_colours_of_sixteen_bits(tmp_path / f"a.{ending}", sixteen(np.asarray(image())))
    seen = read_picture(tmp_path / f"a.{ending}", 1000).gray
    assert np.corrcoef(seen.ravel(), gray_of(image()).ravel())[0, 1] > 0.999
    assert len(np.unique(seen)) > 100
    colours, _ = read_colours(tmp_path / f"a.{ending}", 1000)
    assert np.array_equal(colours, np.repeat(seen[..., None], 3, axis=2))


@pytest.mark.parametrize("channels", [2, 4])
def test_twelve_bits_in_sixteen_keep_their_detail_beside_alpha(
    tmp_path: Path, channels: int
) -> None:
    deep = sixteen(np.asarray(image()))
    alpha = np.full(deep.shape[:2], 65_535, np.uint16)
    alpha[:, 60:] = 0
    if channels == 4:
        assert cv2.imwrite(str(tmp_path / "a.png"), np.dstack([deep[..., ::-1], alpha]))
    else:
        rows = np.stack([sixteen(gray_of(image())), alpha], axis=2).astype(">u2")
        (tmp_path / "a.png").write_bytes(
            png(90, 64, 16, 4, 0, b"".join(b"\0" + row.tobytes() for row in rows))
        )
    seen = read_picture(tmp_path / "a.png", 1000).gray
    assert np.corrcoef(seen[:, :60].ravel(), gray_of(image())[:, :60].ravel())[0, 1] > 0.999
    assert (seen[:, 60:] == 128).all()


def test_padding_and_saturation_leave_deep_pictures_their_detail(tmp_path: Path) -> None:
    deep = 30_000 + gray_of(image()).astype(np.uint16)
    deep[:20], deep[50:] = 0, 65_535
    Image.fromarray(deep).save(tmp_path / "a.png")
    seen = read_picture(tmp_path / "a.png", 1000).gray
    assert (
        np.corrcoef(seen[20:50].ravel(), gray_of(image())[20:50].ravel())[0, 1] > 0.99
        and seen[20:50].std() > 30
    )
    assert (seen[:20] == 0).all() and (seen[50:] == 255).all()
    assert np.array_equal(picture_from_array(deep, 1000).gray, seen)


def test_what_is_no_number_or_transparent_is_mid_grey(tmp_path: Path) -> None:
    values = gray_of(image()).astype(np.float32)
    values[:, :30] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    seen = read_picture(tmp_path / "a.tif", 1000).gray
    assert (seen[:, :30] == 128).all() and np.corrcoef(
        seen[:, 30:].ravel(), values[:, 30:].ravel()
    )[0, 1] > 0.99
    deep = sixteen(gray_of(image()))
    deep[:, :30] = 77
    Image.fromarray(deep).save(tmp_path / "a.png", transparency=77)
    assert (read_picture(tmp_path / "a.png", 1000).gray[:, :30] == 128).all()
    Image.fromarray(np.full((40, 50), np.nan, np.float32)).save(tmp_path / "none.tif")
    assert (read_picture(tmp_path / "none.tif", 1000).gray == 128).all()


def test_deep_detail_between_the_sampled_rows_is_seen() -> None:
    values = np.zeros((5000, 30), np.uint16)
    values[1:3, 4:9] = 700
    seen = picture_from_array(values, 5000).gray
    assert (seen[1:3, 4:9] == 255).all() and seen.sum() == 2 * 5 * 255


def test_flat_deep_picture_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50), 3000, np.uint16)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 1000).gray.std() == 0


@pytest.mark.parametrize("kind", sorted(sound_pictures()))
def test_every_format_gives_the_same_picture(tmp_path: Path, kind: str) -> None:
    """The first page or frame, whatever follows; with broken profiles; turned if EXIF says so."""
    (tmp_path / "a").write_bytes(sound_pictures()[kind])
    picture = read_picture(tmp_path / "a", 1000)
    seen = picture.gray.astype(float)
    expected = gray_of(Image.open(PHOTO).convert("RGB").resize((150, 112))).astype(float)
    if seen.shape[0] > seen.shape[1]:
        expected = np.rot90(expected, -1)
    assert picture.size == seen.shape[::-1] == expected.shape[::-1]
    # where the picture is its own alpha
    clear = kind in ("png alpha", "webp pages", "tiff deflate", "avif alpha")
    if clear:
        expected = expected * expected / 255 + 128 * (1 - expected / 255)
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > (
        0.3 if kind == "tiff fax" else 0.9 if clear else 0.95
    )


def test_a_tiled_tiff(tmp_path: Path) -> None:
    """Two tiles of 32 x 48, the second of which reaches beyond the picture of 50 x 40."""
    gray = np.zeros((48, 64), np.uint8)
    gray[:40, :50] = textured(5, 50, 40)[..., 1]
    entries = [
        (256, 50),
        (257, 40),
        (258, 8),
        (259, 1),
        (262, 1),
        (277, 1),
        (322, 32),
        (323, 48),
        (324, 150),
        (325, 158),
    ]
    tags = b"".join(
        struct.pack("<HHII", tag, 4, 2 if tag > 323 else 1, value) for tag, value in entries
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)
    offsets = struct.pack("<IIII", 166, 166 + 32 * 48, 32 * 48, 32 * 48)
    tiles = gray[:, :32].tobytes() + gray[:, 32:].tobytes()
    (tmp_path / "a.tif").write_bytes(head.ljust(150, b"\0") + offsets + tiles)
    assert np.array_equal(read_picture(tmp_path / "a.tif", 1000).gray, gray[:40, :50])


def test_lab_pictures_show_their_lightness(tmp_path: Path) -> None:
    bands = [gray_of(image()), *[np.full((64, 90), 128, np.uint8)] * 2]
    lightness = Image.merge("LAB", [Image.fromarray(band) for band in bands])
    lightness.save(tmp_path / "a.tif")
    assert np.array_equal(read_picture(tmp_path / "a.tif", 1000).gray, gray_of(image()))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x2a\0\0\0",
    ],
)
def test_broken_exif_is_ignored(tmp_path: Path, ending: str, exif: bytes) -> None:
    if ending == "tif":
        tags = Image.Exif()
        tags[ORIENTATION] = 42
        image().save(tmp_path / "a.tif", exif=tags)
    else:
        image().save(tmp_path / f"a.{ending}", exif=exif, lossless=True)  # which only WebP heeds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of it
        picture = read_picture(tmp_path / f"a.{ending}", 1000)
    assert picture.size == (90, 64) and difference(picture.gray, gray_of(image())) < 4


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    image().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_picture(tmp_path / "a.jpg", 1000).gray, gray_of(image()))


# --- refused


def whole_jpeg() -> bytes:
    buffer = io.BytesIO()
    image(200, 150).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"This is no picture.\n" * 20, "not an image"),
        (whole_jpeg()[:650], "is damaged"),
        (whole_jpeg()[:3], "is damaged"),
    ],
)
def test_damaged_files_are_refused_with_their_path_and_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_picture, read_colours):
        with pytest.raises(ImageError) as caught:
            read(path, 1000)
        assert caught.value.path == str(path)
        assert reason in caught.value.reason
        assert str(caught.value) == f"{path}: {caught.value.reason}"
        assert str(path) not in caught.value.reason
        assert "\n" not in caught.value.reason


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    reasons = {
        "folder.jpg": "regular file",
        "pipe.jpg": "regular file",
        "link.jpg": "no such file",
        "absent.jpg": "no such file",
    }
    before = os.listdir("/proc/self/fd")
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read_picture(tmp_path / name, 1000)
        assert caught.value.path == str(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ImageError):
        read_picture("a\0b.jpg", 1000)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 9)
        + b"IDAT"
    )


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    height = LIMITS.pixels // 20_000 + 1
    (tmp_path / "a.png").write_bytes(png_header(20_000, height))
    with pytest.raises(
        ImageError, match=f"is too large: 20000 x {height} pixels, more than {LIMITS.pixels:,}"
    ):
        read_picture(tmp_path / "a.png", 1000)


@pytest.mark.slow
@pytest.mark.parametrize("side", [9_500, 13_400])
def test_large_pictures_below_the_limit_are_read_without_a_warning(
    tmp_path: Path, side: int
) -> None:
    """Pillow warns from 89 million pixels on and refuses from 179 million on: below our limit."""
    assert side * side < LIMITS.pixels
    Image.new("L", (side, side), 90).save(tmp_path / "a.jpg")
    picture = read_picture(tmp_path / "a.jpg", 100)
    assert picture.size == (side, side)
    assert picture.gray.shape == (100, 100)


@pytest.mark.parametrize("name", ["a.eps", "a.jpg", "a.fits", "a.wmf"])
def test_formats_that_start_other_programs_are_no_images(tmp_path: Path, name: str) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    image().save(tmp_path / name, "EPS")
    with pytest.raises(ImageError, match="is not an image of a known format"):
        read_picture(tmp_path / name, 1000)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(pixels=90 * 64 - 1), "90 x 64 pixels, more than 5,759 (limit: pixels)"),
        (Limits(file_bytes=100), "bytes, more than 100 (limit: file_bytes)"),
        (
            Limits(memory=10_000),
            "decoding takes 28,800 bytes of memory, more than 10,000 (limit: memory)",
        ),
    ],
)
def test_limits_are_named_where_they_are_exceeded(
    tmp_path: Path, limits: Limits, reason: str
) -> None:
    image().save(tmp_path / "a.png")
    for read in (read_picture, read_colours):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "a.png", 1000, limits=limits)
        assert caught.value.reason.startswith("is too large: ") and reason in caught.value.reason


@pytest.mark.parametrize(
    "wrong", [{"pixels": 0}, {"memory": -1}, {"seconds": 0.0}, {"seconds": float("nan")}]
)
def test_limits_are_above_zero(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Limits(**wrong)


def test_progressive_jpegs_count_the_memory_that_they_need_at_any_size(tmp_path: Path) -> None:
    image(800, 600).save(tmp_path / "plain.jpg")
    image(800, 600).save(tmp_path / "progressive.jpg", progressive=True)
    limits = Limits(memory=500_000)
    assert read_picture(tmp_path / "plain.jpg", 100, limits=limits).gray.shape == (75, 100)
    with pytest.raises(ImageError, match="limit: memory"):
        read_picture(tmp_path / "progressive.jpg", 100, limits=limits)


@pytest.mark.slow
def test_jpeg_2000_is_decoded_small_if_it_can_be(tmp_path: Path) -> None:
    for name, resolutions in (("many.jp2", 6), ("bare.j2k", 6), ("one.jp2", 1)):
        image(800, 600).save(
            tmp_path / name, quality_mode="dB", quality_layers=[50], num_resolutions=resolutions
        )
        picture = read_picture(tmp_path / name, 100)
        assert picture.size == (800, 600)
        assert (
            difference(
                picture.gray, gray_of(image(800, 600).resize((100, 75), Image.Resampling.BOX))
            )
            < 5
        )
    limits = Limits(memory=1_000_000)
    assert read_picture(tmp_path / "many.jp2", 100, limits=limits).gray.shape == (75, 100)
    assert read_picture(tmp_path / "bare.j2k", 100, limits=limits).gray.shape == (75, 100)
    with pytest.raises(ImageError, match="limit: memory"):
        read_picture(tmp_path / "one.jp2", 100, limits=limits)


def test_the_settings_of_pillow_are_neither_changed_nor_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit of size is one for the whole program, as are the warnings that it gives from half
    of it on.
    """
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (
        1024 * 1024 * 1024 // 4 // 3,
        False,
    )
    known = {name for name in Image.OPEN if name not in ("HEIF", "HEIC")}
    big = image(300, 200)
    for name in ("a.png", "b.tif", "c.jpg", "d.bmp"):
        big.save(tmp_path / name)
    Image.fromarray(sixteen(gray_of(big))).save(tmp_path / "f.tif", compression="tiff_lzw")
    paths = sorted(tmp_path.iterdir()) * 4
    alone = [read_picture(path, 500).gray for path in paths]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "bomb.png").write_bytes(png_header(20_000, 30_000))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: read_picture(path, 500).gray, paths))
        reasons = list(pool.map(lambda _: refused(tmp_path / "bomb.png"), range(20)))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    assert all("limit: pixels" in reason for reason in reasons)
    assert Image.MAX_IMAGE_PIXELS == 1000
    assert known <= set(Image.OPEN)


def refused(path: Path) -> str:
    """Why a picture is refused."""
    with pytest.raises(ImageError) as caught:
        read_picture(path, 500)
    return caught.value.reason


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((1, 1), (1, 1)),
        ((1, 60_000), (60_000, 1)),
        ((60_000, 1), (1, 60_000)),
        ((7, 9), (9, 7)),
        ((1800, 2400), (1000, 750)),
        # longer than twice the other side: half a million pixels
        ((4000, 1000), (354, 1414)),
    ],
)
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_odd_sizes(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, int], ending: str
) -> None:
    Image.new("RGB", size, (9, 90, 200)).save(tmp_path / f"a.{ending}")
    picture = read_picture(tmp_path / f"a.{ending}", 1000)
    assert picture.size == size and picture.gray.shape == shape
    colours, full = read_colours(tmp_path / f"a.{ending}", 1000)
    assert full == size and max(colours.shape[:2]) == min(max(size), 1000)


PANORAMA = """
import sys
from bovw.pictures.reading import read_colours, read_picture
for path in sys.argv[1:]:
    picture = read_picture(path, 1024)
    print(*picture.size, *picture.gray.shape, *read_colours(path, 720)[0].shape)
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_panoramas_are_read_in_bounded_memory(tmp_path: Path) -> None:
    """400 million pixels as JPEG, 108 million as PNG in colour: together below 800 MB, libraries
    included.
    """
    Image.new("L", (20_000, 20_000), 90).save(tmp_path / "a.jpg")
    Image.new("RGB", (12_000, 9_000), (9, 90, 200)).save(tmp_path / "b.png", compress_level=1)
    paths = [str(tmp_path / "a.jpg"), str(tmp_path / "b.png")]
    done = subprocess.run(
        [sys.executable, "-c", PANORAMA, *paths], capture_output=True, text=True, check=True
    )
    first, second, peak = done.stdout.splitlines()
    assert (first, second) == ("20000 20000 1024 1024 720 720 3", "12000 9000 768 1024 540 720 3")
    assert int(peak) < 800_000


# --- size and box


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((800, 500), (200, 125)),
        ((500, 800), (125, 200)),
        ((801, 433), (200, 108)),
    ],
)
def test_large_pictures_are_shrunk_with_their_shape(
    tmp_path: Path, ending: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    image(*size).save(tmp_path / f"a.{ending}")
    picture = read_picture(tmp_path / f"a.{ending}", 200)
    assert picture.gray.shape == expected[::-1]
    assert picture.size == size
    colours, full = read_colours(tmp_path / f"a.{ending}", 200)
    assert colours.shape == (*expected[::-1], 3)
    assert full == size
    if min(expected) > 1:
        assert (
            difference(picture.gray, gray_of(image(*size).resize(expected, Image.Resampling.BOX)))
            < 3
        )


def test_small_pictures_keep_their_size(tmp_path: Path) -> None:
    image().save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 90).gray.shape == (64, 90)
    assert read_colours(tmp_path / "a.png", 90)[0].shape == (64, 90, 3)


def test_colours_are_bgr(tmp_path: Path) -> None:
    image().save(tmp_path / "a.png")
    assert np.array_equal(read_colours(tmp_path / "a.png", 1000)[0], textured(5, 90, 64))


def test_box_is_cut_from_the_full_picture(tmp_path: Path) -> None:
    image(1000, 700).save(tmp_path / "a.jpg", quality=95)
    whole = read_picture(tmp_path / "a.jpg", 2000).gray
    picture = read_picture(tmp_path / "a.jpg", 100, (610, 420, 90, 80))
    assert np.array_equal(picture.gray, whole[420:500, 610:700])
    assert picture.size == (1000, 700)
    assert picture.box == (610, 420, 90, 80)
    assert read_picture(tmp_path / "a.jpg", 100, (0, 0, 1000, 700)).gray.shape == (70, 100)


@pytest.mark.parametrize(
    "box",
    [
        (-1, 0, 5, 5),
        (0, -1, 5, 5),
        (0, 0, 0, 5),
        (0, 0, 5, 0),
        (86, 0, 5, 5),
        (0, 60, 5, 5),
        (0, 0, 91, 64),
    ],
)
def test_box_outside_the_picture_is_a_parameter_error(
    tmp_path: Path, box: tuple[int, int, int, int]
) -> None:
    image().save(tmp_path / "a.png")
    with pytest.raises(ParameterError, match=r"box.*90 x 64"):
        read_picture(tmp_path / "a.png", 1000, box)
    with pytest.raises(ParameterError, match=r"box.*90 x 64"):
        picture_from_array(textured(5, 90, 64), 1000, box)


# --- arrays


def test_arrays_are_seen_like_the_file_with_the_same_pixels(tmp_path: Path) -> None:
    pixels = textured(5, 90, 64)
    image().save(tmp_path / "a.png")
    gray = read_picture(tmp_path / "a.png", 1000).gray
    opaque = np.dstack([pixels, np.full((64, 90), 255, np.uint8)])
    clear = np.dstack([pixels, np.zeros((64, 90), np.uint8)])
    for array in (pixels, opaque, pixels[::-1][::-1]):
        assert np.abs(picture_from_array(array, 1000).gray.astype(int) - gray).max() <= 1
    for array in (gray, gray[..., None]):
        assert np.array_equal(picture_from_array(array, 1000).gray, gray)
    assert (picture_from_array(clear, 1000).gray == 128).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_deep_arrays_are_stretched(dtype: type[np.generic]) -> None:
    pixels = textured(5, 90, 64)
    seen = picture_from_array((pixels.astype(np.float64) * 4).astype(dtype), 1000)
    assert seen.gray.dtype == np.uint8
    assert (
        np.corrcoef(seen.gray.ravel(), picture_from_array(pixels, 1000).gray.ravel())[0, 1] > 0.98
    )
    assert seen.size == (90, 64)


@pytest.mark.parametrize(
    "shape", [(), (5,), (0, 5), (5, 0), (0, 5, 3), (5, 5, 2), (5, 5, 5), (5, 5, 3, 1)]
)
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape") as caught:
        picture_from_array(np.zeros(shape, np.uint8), 1000)
    assert caught.value.path == "<array>"


@pytest.mark.parametrize("dtype", [np.complex64, np.str_, np.object_, np.bool_])
def test_arrays_of_other_types_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(ImageError, match="dtype"):
        picture_from_array(np.zeros((5, 5), dtype), 1000)


@given(st.integers(1, 600), st.integers(1, 600), st.integers(16, 300))
def test_shrunk_arrays_fit_the_longest_side_or_keep_their_area(
    width: int, height: int, max_side: int
) -> None:
    shape = picture_from_array(np.zeros((height, width), np.uint8), max_side).gray.shape
    if max(width, height) <= 2 * min(width, height):
        assert max(shape) == min(max_side, max(width, height))
        factor = max(shape) / max(width, height)
    else:
        factor = min(1.0, max_side / (2 * width * height) ** 0.5)
    assert abs(shape[0] - max(1, height * factor)) <= 0.5 + 1e-9
    assert abs(shape[1] - max(1, width * factor)) <= 0.5 + 1e-9
