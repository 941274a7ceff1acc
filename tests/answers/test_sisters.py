"""Which of nearly equal images a query shows: images that verify each other, told apart by their
pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import ImageIndex, SearchOptions, SearchResult, Vocabulary
from tests.helpers.pictures import textured

Pixels = NDArray[np.uint8]
OPTIONS = SearchOptions(crop=True, sisters=True)


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def changed(picture: Pixels) -> Pixels:
    other = picture.copy()
    other[90:190, 150:290] = textured(9)[90:190, 150:290]
    return other


def photographed(picture: Pixels) -> Pixels:
    """Part of a picture, turned, smaller, darker and blurred."""
    matrix = cv2.getRotationMatrix2D((240, 180), 12, 0.8)
    matrix[:, 2] -= (30, 20)
    turned = cv2.warpAffine(cv2.GaussianBlur(picture, (0, 0), 0.8), matrix, (420, 320))
    return np.asarray(turned * 0.7 + 10, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sisters and a stranger."""
    for name, picture in (("a", textured(1)), ("b", changed(textured(1))), ("c", textured(5))):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    return tmp_path


@pytest.fixture
def index(folder: Path) -> Iterator[ImageIndex]:
    with ImageIndex.in_memory(Vocabulary.shipped()) as made:
        made.add([folder])
        yield made


@pytest.mark.parametrize("right", ["a", "b"])
def test_the_sister_that_is_shown_comes_first(index: ImageIndex, folder: Path, right: str) -> None:
    query = photographed(read(folder / f"{right}.png"))
    matches = index.search(query, OPTIONS).matches
    first, second = matches[:2]
    assert Path(first.path).stem == right and (first.sisters, second.sisters) == (1, 1)
    assert first.likeness is not None and second.likeness is not None
    assert first.likeness > second.likeness + 0.1
    assert [(match.sisters, match.likeness) for match in matches[2:]] == [(None, None)]
    (alone,) = index.search(query, OPTIONS, k=1).matches
    assert (alone.id, alone.likeness) == (first.id, first.likeness)
    as_file = folder / "query.png"
    assert cv2.imwrite(str(as_file), query)
    found = [index.search(query, OPTIONS) for query in (as_file, as_file.read_bytes())]
    one, other = (result.matches[0].likeness for result in found)
    assert one == other == pytest.approx(first.likeness, abs=0.01)


def test_plain_search_does_not_look(index: ImageIndex) -> None:
    matches = index.search(photographed(textured(1)), crop=True).matches
    assert all(match.sisters is None and match.likeness is None for match in matches)


def test_pixels_decide_where_the_score_is_wrong(index: ImageIndex, folder: Path) -> None:
    """The query has what tells the second sister in colours alone, which no feature sees."""
    picture = read(folder / "a.png")
    coloured = picture.copy()
    coloured[60:220, 100:300] = coloured[60:220, 100:300, ::-1]
    assert cv2.imwrite(str(folder / "d.png"), coloured)
    (folder / "b.png").unlink()
    index.add([folder / "d.png"])
    for right, shown in (("a", picture), ("d", coloured)):
        first, *others = index.search(photographed(shown), OPTIONS).matches
        assert Path(first.path).stem == right
        assert next(match for match in others if Path(match.path).stem == "b").sisters is None


def test_files_that_are_gone_or_other_pictures_by_now_are_left_as_they_are(
    index: ImageIndex, folder: Path
) -> None:
    query = photographed(textured(1))
    plain = [match.id for match in index.search(query, crop=True).matches]
    assert cv2.imwrite(str(folder / "b.png"), textured(3, 200, 100))
    matches = index.search(query, OPTIONS).matches
    assert [match.id for match in matches] == plain
    assert all(match.sisters is None for match in matches)
    (folder / "a.png").unlink()
    assert [match.id for match in index.search(query, OPTIONS).matches] == plain


def test_processes_say_the_same(folder: Path) -> None:
    query = photographed(changed(textured(1)))
    with ImageIndex.create(folder / "i.bovw", Vocabulary.shipped()) as index:
        index.add([folder])
        (one,) = index.search_many([query], OPTIONS)
        (other,) = index.search_many([query], OPTIONS, jobs=1)
    assert isinstance(one, SearchResult) and isinstance(other, SearchResult)
    told, expected = (
        [(match.id, match.sisters, match.likeness) for match in answer.matches]
        for answer in (other, one)
    )
    assert told == expected and told[0][1] == 1
