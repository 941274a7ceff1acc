"""Pictures: which files are found, and that each is read upright, whole, with its detail, or refused with a reason."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import textured
from PIL import Image

from bovw.errors import ImageError, ParameterError
from bovw.files import find_images
from bovw.images import LIMITS, picture_from_array, read_colours, read_picture

ORIENTATION = 0x0112
T = Image.Transpose
# What a camera held in each way has stored of an upright scene.
STORED = (None, T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_90, T.TRANSVERSE, T.ROTATE_270)


def image(width: int = 90, height: int = 64) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(textured(5, width, height)[..., ::-1]))


def gray_of(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L"))


def difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(float) - second).mean())


# --- finding


def test_folders_are_searched_to_the_bottom_for_known_endings(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "deep/c.webp", "deep/er.png/d.tiff"):
        (tmp_path / name).touch()
    for name in ("notes.txt", "jpg", ".jpg", "deep/._c.jpg", "film.mp4", "a.png.bak"):
        (tmp_path / name).touch()
    found, problems = find_images([tmp_path])
    assert found == sorted(str(tmp_path / name) for name in ("a.png", "b.JPG", "deep/c.webp", "deep/er.png/d.tiff"))
    assert problems == []


def test_named_files_are_taken_whatever_their_ending_and_once(tmp_path: Path) -> None:
    odd, plain = tmp_path / "z.data", tmp_path / "a.png"
    odd.touch()
    plain.touch()
    found, problems = find_images([odd, str(odd), tmp_path, plain, str(tmp_path) + os.sep])
    assert found == [str(plain), str(odd)]
    assert problems == []


def test_absent_path_is_reported_and_the_rest_found(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    found, problems = find_images([tmp_path / "absent", tmp_path])
    assert found == [str(tmp_path / "a.png")]
    assert [problem.path for problem in problems] == [str(tmp_path / "absent")]
    assert "no such file" in problems[0].reason


def test_link_to_a_parent_folder_does_not_loop(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "again").symlink_to(tmp_path)
    assert find_images([tmp_path])[0] == [str(tmp_path / "a.png")]


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


def test_turned_jpeg_is_shrunk_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    path = tmp_path / "a.jpg"
    image(1200, 800).transpose(T.ROTATE_270).save(path, exif=exif, quality=95)
    picture = read_picture(path, 150)
    assert picture.size == (1200, 800)
    assert difference(picture.gray, gray_of(image(1200, 800).resize((150, 100), Image.Resampling.BOX))) < 3


# --- modes


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_opaque_modes_keep_their_grey_values(tmp_path: Path, mode: str) -> None:
    stored = image().convert(mode)
    stored.save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png", 1000).gray, gray_of(stored.convert("RGB")))


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


def test_flat_deep_picture_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50), 3000, np.uint16)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 1000).gray.std() == 0


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
        (whole_jpeg()[:-1000], "truncated"),
        (whole_jpeg()[:700], "is damaged"),
        (whole_jpeg()[:3], "is damaged"),
    ],
)
def test_damaged_files_are_refused_with_their_path_and_reason(tmp_path: Path, content: bytes, reason: str) -> None:
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
    reasons = {"folder.jpg": "regular file", "pipe.jpg": "regular file", "link.jpg": "no such file", "absent.jpg": "no such file"}
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read_picture(tmp_path / name, 1000)
        assert caught.value.path == str(tmp_path / name)


def test_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ImageError):
        read_picture("a\0b.jpg", 1000)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 9) + b"IDAT"


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    height = LIMITS.pixels // 20_000 + 1
    (tmp_path / "a.png").write_bytes(png_header(20_000, height))
    with pytest.raises(ImageError, match=f"is too large: 20000 x {height} pixels, more than {LIMITS.pixels:,}"):
        read_picture(tmp_path / "a.png", 1000)


@pytest.mark.parametrize("side", [9_500, 13_400])
def test_large_pictures_below_the_limit_are_read_without_a_warning(tmp_path: Path, side: int) -> None:
    """Pillow warns from 89 million pixels on and refuses from 179 million on, below our own limit."""
    assert side * side < LIMITS.pixels
    Image.new("L", (side, side), 90).save(tmp_path / "a.jpg")
    picture = read_picture(tmp_path / "a.jpg", 100)
    assert picture.size == (side, side)
    assert picture.gray.shape == (100, 100)


FORMATS = {
    "jpg": ("JPEG", "RGB"),
    "png": ("PNG", "P"),
    "gif": ("GIF", "P"),
    "tif": ("TIFF", "RGB"),
    "webp": ("WEBP", "RGB"),
    "bmp": ("BMP", "RGB"),
    "tga": ("TGA", "RGB"),
    "ppm": ("PPM", "RGB"),
    "jp2": ("JPEG2000", "RGB"),
    "avif": ("AVIF", "RGB"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", FORMATS)
def test_random_damage_gives_a_picture_or_an_image_error(tmp_path: Path, ending: str) -> None:
    name, mode = FORMATS[ending]
    whole = io.BytesIO()
    image(48, 40).convert(mode).save(whole, name)
    rng = np.random.default_rng(7)
    path = tmp_path / f"a.{ending}"
    outcomes = []
    for number in range(150):
        content = bytearray(whole.getvalue())
        if number % 3 == 0:
            content = content[: int(rng.integers(len(content)))]
        else:
            reach = min(300, len(content)) if number % 3 == 1 else len(content)
            for place in rng.integers(0, reach, int(rng.integers(1, 6))):
                content[place] = int(rng.integers(256))
        path.write_bytes(content)
        try:
            outcomes.append(read_picture(path, 32).gray.size > 0)
        except ImageError as error:
            assert error.reason
            outcomes.append(False)
    assert not all(outcomes)


# --- size and box


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize(
    ("size", "expected"), [((800, 500), (200, 125)), ((500, 800), (125, 200)), ((801, 333), (200, 83)), ((900, 3), (200, 1))]
)
def test_large_pictures_are_shrunk_with_their_shape(tmp_path: Path, ending: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    image(*size).save(tmp_path / f"a.{ending}")
    picture = read_picture(tmp_path / f"a.{ending}", 200)
    assert picture.gray.shape == expected[::-1]
    assert picture.size == size
    colours, full = read_colours(tmp_path / f"a.{ending}", 200)
    assert colours.shape == (*expected[::-1], 3)
    assert full == size
    if min(expected) > 1:
        assert difference(picture.gray, gray_of(image(*size).resize(expected, Image.Resampling.BOX))) < 3


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


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0), (86, 0, 5, 5), (0, 60, 5, 5), (0, 0, 91, 64)])
def test_box_outside_the_picture_is_a_parameter_error(tmp_path: Path, box: tuple[int, int, int, int]) -> None:
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
    assert np.corrcoef(seen.gray.ravel(), picture_from_array(pixels, 1000).gray.ravel())[0, 1] > 0.98
    assert seen.size == (90, 64)


@pytest.mark.parametrize("shape", [(), (5,), (0, 5), (5, 0), (0, 5, 3), (5, 5, 2), (5, 5, 5), (5, 5, 3, 1)])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape") as caught:
        picture_from_array(np.zeros(shape, np.uint8), 1000)
    assert caught.value.path == "<array>"


@pytest.mark.parametrize("dtype", [np.complex64, np.str_, np.object_, np.bool_])
def test_arrays_of_other_types_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(ImageError, match="dtype"):
        picture_from_array(np.zeros((5, 5), dtype), 1000)


@given(st.integers(1, 600), st.integers(1, 600), st.integers(16, 300))
def test_shrunk_arrays_fit_the_longest_side(width: int, height: int, max_side: int) -> None:
    picture = picture_from_array(np.zeros((height, width), np.uint8), max_side)
    assert max(picture.gray.shape) == min(max_side, max(width, height))
    factor = max(picture.gray.shape) / max(width, height)
    assert abs(picture.gray.shape[0] - max(1, height * factor)) <= 0.5
    assert abs(picture.gray.shape[1] - max(1, width * factor)) <= 0.5
