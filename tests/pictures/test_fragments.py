"""Pictures that are a part of a file: pages, frames of videos; and RAW files."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bovw.errors import ImageError
from bovw.pictures.files import content_hash
from bovw.pictures.fragments import file_of, seconds_of, split_fragment, time_fragment
from bovw.pictures.limits import Limits
from bovw.pictures.reading import fragments_in, read_colours, read_picture
from tests.helpers.pictures import Pixels, textured
from tests.helpers.raw import dng
from tests.helpers.video import make_video

PAGES = [textured(seed, 160, 120) for seed in range(4)]


def write_pages(path: Path, pages: list[Pixels], **options: object) -> Path:
    first, *others = [Image.fromarray(page[..., ::-1]) for page in pages]
    first.save(path, save_all=True, append_images=others, format="TIFF", **options)
    return path


def colours(path: Path | str, side: int = 1000) -> Pixels:
    return read_colours(path, side)[0]


def distance(one: Pixels, other: Pixels) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


@given(st.floats(0, 1e6))
def test_a_time_survives_its_name(seconds: float) -> None:
    fragment = time_fragment(seconds)
    assert split_fragment(f"clip.mp4#{fragment}") == ("clip.mp4", fragment)
    assert abs((seconds_of(fragment) or 0) - seconds) <= 0.0005


def test_names_without_a_fragment_are_files() -> None:
    for name in ("a#page=0", "a#page=-1", "a#page=1x", "a#t=", "a#t=.5", "#page=2", "a#x=1", "a#b"):
        assert split_fragment(name) == (name, "")
    assert split_fragment("a#page=2#page=3") == ("a#page=2", "page=3")


def test_a_file_that_has_such_a_name_is_itself(tmp_path: Path) -> None:
    write_pages(tmp_path / "a.tif", PAGES)
    named = tmp_path / "a.tif#page=2"
    assert file_of(named) == str(tmp_path / "a.tif")
    assert distance(colours(named), PAGES[1]) == 0
    named.write_bytes(cv2.imencode(".png", PAGES[3])[1].tobytes())
    assert file_of(named) == str(named) and distance(colours(named), PAGES[3]) == 0
    assert content_hash(named, 10**6) != content_hash(tmp_path / "a.tif", 10**6)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_every_page_is_a_picture(tmp_path: Path, compression: str) -> None:
    path = write_pages(tmp_path / "a.tif", PAGES, compression=compression)
    assert fragments_in(str(path)) == ["", "page=2", "page=3", "page=4"]
    for number, page in enumerate(PAGES, 1):
        assert distance(colours(f"{path}#page={number}"), page) == 0
        assert read_picture(f"{path}#page={number}", 100).unseen == 0
    assert read_picture(path, 100).unseen == 3
    assert read_picture(path.read_bytes(), 100).unseen == 3
    for missing in (f"{path}#page=5", f"{path}#page=99999999"):
        with pytest.raises(ImageError, match="has no page"):
            read_picture(missing, 100)
    with pytest.raises(ImageError, match="has no times"):
        read_picture(f"{path}#t=1", 100)


def test_pages_are_upright_deep_and_cut_off_as_pictures_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = write_pages(tmp_path / "turned.tif", PAGES[:2], exif=exif)
    assert read_colours(f"{turned}#page=2", 1000)[1] == (120, 160)
    deep = [Image.fromarray(page[..., 0].astype(np.uint16) * 16) for page in PAGES[:2]]
    deep[0].save(tmp_path / "deep.tif", save_all=True, append_images=deep[1:])
    gray = read_picture(f"{tmp_path / 'deep.tif'}#page=2", 1000).gray
    assert np.corrcoef(gray.ravel(), PAGES[1][..., 0].ravel())[0, 1] > 0.99
    whole = write_pages(tmp_path / "whole.tif", PAGES[:1] * 2).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:-20_000])
    assert fragments_in(str(tmp_path / "cut.tif"))[0] == ""


def test_smaller_copies_and_masks_are_no_pages(tmp_path: Path) -> None:
    kinds = [Image.fromarray(page) for page in PAGES]
    for image, kind in zip(kinds, (0, 1, 2, 4), strict=True):
        image.encoderinfo = {"tiffinfo": {0x00FE: kind}}
    with io.BytesIO() as file:
        kinds[0].save(file, "TIFF", save_all=True, append_images=kinds[1:], tiffinfo={0x00FE: 0})
        (tmp_path / "a.tif").write_bytes(file.getvalue())
    assert fragments_in(str(tmp_path / "a.tif")) == ["", "page=3"]


def test_a_file_whose_pages_run_in_a_circle_ends(tmp_path: Path) -> None:
    content = bytearray(write_pages(tmp_path / "a.tif", PAGES[:2]).read_bytes())
    first = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[first : first + 2], "little")
    content[first + 2 + 12 * count :][:4] = content[4:8]
    content[first + 2 + 12 * count : first + 6 + 12 * count] = content[4:8]
    (tmp_path / "circle.tif").write_bytes(content)
    assert fragments_in(str(tmp_path / "circle.tif")) == [""]
    assert read_picture(tmp_path / "circle.tif", 100).unseen == 0


def test_other_files_have_one_page(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", PAGES[0])[1].tobytes())
    assert fragments_in(str(path)) == [""]
    with pytest.raises(ImageError, match="has no page 2"):
        read_picture(f"{path}#page=2", 100)
    with pytest.raises(ImageError, match=r"absent.tif#page=2: there is no such file"):
        read_picture(tmp_path / "absent.tif#page=2", 100)


# --- videos


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_frame_is_that_of_its_time(tmp_path: Path, ending: str) -> None:
    path = make_video(tmp_path / f"a.{ending}", PAGES, 3.5)
    fragments = fragments_in(str(path))
    assert fragments == ["t=2", "t=4", "t=6", "t=8", "t=10", "t=12", "t=0"]
    for at, shown in ((0, 0), (2, 0), (3.3, 0), (3.65, 1), (6.8, 1), (7.1, 2), (13.9, 3)):
        frame = colours(f"{path}#t={at}")
        assert int(np.argmin([distance(frame, page) for page in PAGES])) == shown, at
    assert "#t=SECONDS" in read_picture(path, 1000).note
    assert read_picture(f"{path}#t=2", 1000).note == ""
    for bad, reason in (("t=30", "has no frame at 30"), ("page=2", "has no page 2")):
        with pytest.raises(ImageError, match=reason):
            read_picture(f"{path}#{bad}", 100)


def test_a_video_is_upright_and_within_limits(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", PAGES[:1], 1, rotation=90)
    frame = colours(path)
    turned = [np.rot90(PAGES[0], times) for times in (1, 3)]
    assert frame.shape == (160, 120, 3) and distance(frame, turned[0]) < distance(frame, turned[1])
    for limits in (Limits(pixels=1000), Limits(memory=10_000)):
        with pytest.raises(ImageError, match="is too large"):
            read_picture(path, 100, limits=limits)
    assert read_picture(f"{path}#t=0", 100, limits=Limits(file_bytes=10)).size == (120, 160)


def test_a_damaged_video_and_one_that_names_others_are_refused(tmp_path: Path) -> None:
    content = make_video(tmp_path / "a.mp4", PAGES[:1], 1).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "list.mp4").write_bytes(b"\0\0\0\x18ftypqt  " + b"#EXTM3U\n/etc/passwd\n" * 9)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.mp4\n")
    for name in ("cut.mp4", "list.mp4", "list.m3u8", "list.m3u8#t=0"):
        with pytest.raises(ImageError):
            read_picture(tmp_path / name, 100)
        if name.endswith(".mp4"):
            with pytest.raises(ImageError):
                fragments_in(str(tmp_path / name))


def test_a_video_without_its_library_names_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    monkeypatch.setitem(sys.modules, "av", None)
    for read in (lambda: read_picture(path, 100), lambda: fragments_in(str(path))):
        with pytest.raises(ImageError, match=r"pip install 'bovw\[video\]'"):
            read()


# --- RAW


def test_raw_files_without_their_library_name_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of taking the thumbnail in them for the picture."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    content = dng(PAGES[0], PAGES[0][::4, ::4])
    (tmp_path / "a.tif").write_bytes(content)
    (tmp_path / "a.cr3").write_bytes(b"\0\0\0\x18ftypcrx " + bytes(100))
    for source in (content, tmp_path / "a.tif", tmp_path / "a.cr3"):
        with pytest.raises(ImageError, match=r"pip install 'bovw\[raw\]'"):
            read_picture(source, 100)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_raw_files_are_developed_or_shown_by_their_preview(orientation: int) -> None:
    pytest.importorskip("rawpy", reason="rawpy is not installed: pip install 'bovw[raw]'")
    times = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    shown = np.rot90(PAGES[0], times)
    other = np.full((60, 80, 3), 200, np.uint8)  # so that it can be told which was used
    content = dng(PAGES[0], other, orientation)
    size = shown.shape[1::-1]
    developed = read_picture(content, 100)
    assert developed.size == size
    gray = cv2.cvtColor(np.ascontiguousarray(shown), cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, developed.gray.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(developed.gray.ravel(), small.ravel())[0, 1] > 0.8
    preview = read_picture(content, 80)
    assert preview.size == size and preview.gray.std() == 0
    full = read_picture(dng(PAGES[0], PAGES[0], orientation), 160)
    assert full.size == size and np.abs(full.gray.astype(int) - gray).mean() < 4
    assert read_colours(content, 100)[1] == size


def test_raw_files_are_within_limits_and_damaged_ones_refused(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="rawpy is not installed: pip install 'bovw[raw]'")
    content = dng(PAGES[0])
    for limits in (Limits(pixels=1000), Limits(memory=1000), Limits(memory=len(content) + 1000)):
        with pytest.raises(ImageError, match="is too large"):
            read_picture(content, 160, limits=limits)
    cut = moved_sensor(content)[:-1000]
    for bad in (content[:200], b"IIU\0" + bytes(500), b"FUJIFILMCCD-RAW" + bytes(500), cut):
        with pytest.raises(ImageError, match=r"is damaged|known format"):
            read_picture(bad, 160)
    (tmp_path / "a.dng").write_bytes(moved_sensor(content))
    assert read_picture(tmp_path / "a.dng", 160).size == (160, 120)
    with pytest.raises(ImageError, match="has no page 2"):
        read_picture(tmp_path / "a.dng#page=2", 160)


def moved_sensor(content: bytes) -> bytes:
    """A DNG file of PAGES[0] with the values of its sensor at its end."""
    field = content.find(struct.pack("<HHI", 0x0111, 4, 1)) + 8
    sensor = content[8 : 8 + 2 * 160 * 120]
    return content[:field] + struct.pack("<I", len(content)) + content[field + 4 :] + sensor
