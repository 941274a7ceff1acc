"""Pictures of thumbnails: each is where it belongs, in one picture and in tiles at all levels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bovw.report.html import link
from bovw.report.map_page import Caption, map_page
from bovw.report.mosaic import contact_sheet, mosaic
from bovw.report.thumbnails import read_thumbnails, thumbnail_side
from bovw.report.tiles import THUMBNAIL, TILE, Tiles
from bovw.reporting import Failure


def plain(colour: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def test_thumbnails_are_in_the_middle_of_their_cells() -> None:
    cells = np.array([[0, 1], [1, 0]])
    picture = mosaic(cells, (2, 2), [plain(100, 20, 10), plain(200, 8, 20)], 20)
    assert picture.shape == (48, 48, 3)
    assert (picture[2:22, 31:41] == 100).all()
    assert (picture[32:40, 2:22] == 200).all()
    assert (picture == 100).sum() == 600 and (picture == 200).sum() == 480


def test_a_sheet_shows_all() -> None:
    sheet = contact_sheet("a title", [plain(10 * number, 160, 160) for number in range(1, 12)])
    for number in range(1, 12):
        assert (sheet == 10 * number).all(axis=2).sum() >= 160 * 160


def test_tiles_show_at_every_level_what_the_whole_shows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = np.argwhere(np.ones((5, 9), bool))[rng.permutation(45)][:43]
    thumbnails = [plain(int(colour), 124, 124) for colour in rng.integers(40, 256, 43)]
    whole = mosaic(cells, (5, 9), thumbnails, THUMBNAIL)
    tiles = Tiles(cells, (5, 9))
    assert sorted(tiles.order()) == list(range(43))
    tiles.write(str(tmp_path / "map.dzi"), (thumbnails[number] for number in tiles.order()))
    text = (tmp_path / "map.dzi").read_text()
    assert re.search(r'<Size Width="1152" Height="640"/>', text)
    for level in range(tiles.finest + 1):
        width, height = tiles.size(level)
        seen = np.zeros((height, width, 3), np.uint8)
        for path in (tmp_path / "map_files" / str(level)).iterdir():
            column, row = map(int, path.stem.split("_"))
            pixels = cv2.imread(str(path))
            assert pixels is not None
            part = seen[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            assert part.shape == pixels.shape
            part[:] = pixels
        expected = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        # halving again and again is not quite the mean where a side is odd
        assert np.abs(seen.astype(int) - expected).mean() < (3 if level > 4 else 20), level
    assert len(list((tmp_path / "map_files" / str(tiles.finest)).iterdir())) == 6


def test_what_cannot_be_read_is_grey_and_named(photos: list[Path]) -> None:
    told: list[Failure] = []
    paths = [str(photos[0]), "absent.png", "", str(photos[1])]
    found = list(read_thumbnails(paths, 40, failure=told.append))
    assert [each.shape for each in found] == [(30, 40, 3), (40, 40, 3), (40, 40, 3), (30, 40, 3)]
    assert [failure.name for failure in told] == ["absent.png"]
    assert len(np.unique(found[1])) == 1


def test_the_page_holds_all_and_no_name_escapes() -> None:
    names = ["</script><script>alert(1)</script>", "{data}", "javascript:alert(1)#?.jpg"]
    captions = [Caption(name, "", link(name, ".")) for name in names]
    cells = np.array([[0, 0], [0, 1], [1, 0]])
    thumbnails = [plain(9, 64, 48)] * 3
    page = map_page("<b>", "&", np.zeros((3, 2)), cells, captions, thumbnails, 64)
    assert page.count("<script") == page.count("</script>") == 2
    assert "<title>&lt;b&gt;</title>" in page and "http" not in re.sub('http-equiv="', "", page)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data = json.loads(found[1])
    assert data["names"] == names and data["width"] == [48] * 3
    assert all(re.fullmatch(r"[./\w%~-]+", link) for link in data["links"])


def test_more_thumbnails_are_smaller() -> None:
    assert [thumbnail_side(count) for count in (0, 38, 5_000, 20_000, 10**9)] == [
        128, 128, 96, 48, 16,
    ]  # fmt: skip
