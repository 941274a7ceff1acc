"""Two pictures: the verdict of a search, and the differences that are there and no others."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bovw import (
    ImageError,
    ImageIndex,
    SearchOptions,
    Vocabulary,
    compare_pictures,
    draw_comparison,
)
from bovw.errors import ParameterError
from bovw.geometry.transform import project
from bovw.search import comparison
from tests.helpers.pictures import crop_query, textured

PATCHES = [(60, 80, 30, 20), (300, 200, 16, 16), (400, 60, 10, 40)]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.shipped()


def patched(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with some places painted over: dark where it is light, light where it is dark."""
    changed = picture.copy()
    for x, y, w, h in PATCHES:
        changed[y : y + h, x : x + w] = 255 if picture[y : y + h, x : x + w].mean() < 128 else 0
    return changed


def relit(picture: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The picture in other light: flatter, darker, with a slope across it, and with noise."""
    height, width = picture.shape[:2]
    slope = np.linspace(-25, 25, width)[None] + np.linspace(10, -10, height)[:, None]
    noise = np.random.default_rng(seed).normal(0, 3, picture.shape)
    light = slope[..., None] if picture.ndim == 3 else slope
    return np.asarray(np.clip(picture * 0.75 + 25 + light + noise, 0, 255), np.uint8)


def overlaps(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return all(
        one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (3.0, 1.0), (90.0, 1.0), (-20.0, 1.2)])
def test_what_was_changed_is_found_and_nothing_else(
    vocabulary: Vocabulary, angle: float, scale: float
) -> None:
    first = textured(3, 480, 360)
    second, to_first = crop_query(relit(patched(first), 1), 0, 0, 480, 360, angle, scale)
    comparison = compare_pictures(first, second, vocabulary)
    match = comparison.match
    assert match.verified and match.homography is not None and comparison.differences is not None
    height, width = second.shape[:2]
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    assert np.hypot(*(project(match.homography, corners) - project(to_first, corners)).T).mean() < 2
    for patch in PATCHES:
        assert any(overlaps(patch, difference.box) for difference in comparison.differences), patch
    for difference in comparison.differences:
        assert any(overlaps(patch, difference.box) for patch in PATCHES), difference
        assert difference.contrast > 0.3 and difference.pixels > 4
    pixels = [difference.pixels for difference in comparison.differences]
    assert pixels == sorted(pixels, reverse=True)


@pytest.mark.slow
def test_the_same_picture_in_other_light_does_not_differ(vocabulary: Vocabulary) -> None:
    for seed in range(4):
        first = textured(seed, 400, 300)
        comparison = compare_pictures(first, relit(first, seed), vocabulary)
        assert comparison.match.verified and comparison.differences == []


@pytest.mark.slow
def test_the_verdict_is_that_of_a_search(
    vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    path = str(folder / "first.png")
    cv2.imwrite(path, textured(5, 480, 360))
    with ImageIndex.create(folder / "one.bovw", vocabulary) as index:
        index.add([path])
        picture = textured(5, 480, 360)
        for query in (
            crop_query(picture, 100, 80, 200, 150, 40, 0.8)[0],
            textured(6, 300, 200),
            picture[:, ::-1].copy(),
        ):
            found = index.search(query, SearchOptions(crop=True)).matches
            match = compare_pictures(path, query, vocabulary).match
            assert match.verified == bool(found and found[0].verified)
            if match.verified:
                assert match.outline is not None and found[0].outline is not None
                assert (match.inliers, match.mirrored, match.model) == (
                    found[0].inliers,
                    found[0].mirrored,
                    found[0].model,
                )
                # the index keeps places and angles less exactly
                np.testing.assert_allclose(match.outline, found[0].outline, atol=1)
                assert match.log_false_alarms == pytest.approx(found[0].log_false_alarms, rel=0.2)


@pytest.mark.slow
def test_other_pictures_and_blank_pictures_do_not_match(vocabulary: Vocabulary) -> None:
    blank = np.full((200, 300), 128, np.uint8)
    for second in (textured(8, 300, 200), blank):
        comparison = compare_pictures(textured(7, 300, 200), second, vocabulary)
        assert not comparison.match.verified and comparison.differences is None
        assert draw_comparison(textured(7, 300, 200), second, comparison).ndim == 3


@pytest.mark.slow
def test_a_mirrored_copy_is_laid_on_as_well(vocabulary: Vocabulary) -> None:
    first = textured(3, 480, 360)
    second = np.ascontiguousarray(patched(first)[:, ::-1])
    comparison = compare_pictures(first, second, vocabulary)
    assert comparison.match.mirrored and comparison.differences is not None
    assert all(
        any(overlaps(patch, difference.box) for patch in PATCHES)
        for difference in comparison.differences
    )
    assert len(comparison.differences) == len(PATCHES)
    assert compare_pictures(first, second, vocabulary, mirror_too=False).differences is None


@pytest.mark.slow
def test_differences_of_large_pictures_are_in_their_own_pixels(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "DETAIL", 240)
    first = textured(3, 480, 360)
    found = compare_pictures(first, patched(first), vocabulary).differences
    assert found is not None and len(found) >= 2
    for difference in found:
        assert any(
            overlaps(patch, difference.box) and difference.box[2] < patch[2] + 16
            for patch in PATCHES
        ), difference


@pytest.mark.slow
def test_the_drawing_frames_the_differences(vocabulary: Vocabulary) -> None:
    first = textured(3, 480, 360)
    drawing = draw_comparison(
        first, patched(first), compare_pictures(first, patched(first), vocabulary)
    )
    red = (drawing[..., 2] > 180) & (drawing[..., 0] < 90) & (drawing[..., 1] < 90)
    assert drawing.shape[1] > 1.9 * drawing.shape[0] * 360 / 480 and red.sum() > 100


@pytest.mark.slow
def test_what_is_missing_of_a_picture_that_is_cut_off_is_no_difference(
    vocabulary: Vocabulary,
) -> None:
    picture = textured(3, 480, 360)
    whole, changed = (
        np.asarray(cv2.imencode(".png", each)[1]).tobytes() for each in (picture, patched(picture))
    )
    half = changed[: len(changed) // 2]
    upper = [patch for patch in PATCHES if patch[1] < 150]
    for first, second in ((whole, half), (half, whole)):
        comparison = compare_pictures(first, second, vocabulary)
        assert comparison.match.verified and comparison.differences is not None
        assert len(comparison.differences) == len(upper)
        assert [note[:8] for note in comparison.notes] == [
            "cut off:" if picture is half else "" for picture in (first, second)
        ]
        for patch in upper:
            assert any(overlaps(patch, each.box) for each in comparison.differences), patch


@pytest.mark.slow
def test_differences_of_a_turned_picture_that_is_cut_off_are_in_pixels_of_all_of_it(
    vocabulary: Vocabulary,
) -> None:
    picture = textured(3, 480, 360)
    stored = picture[::-1, ::-1]  # EXIF orientation 3: so the upper part is missing
    exif = Image.Exif()
    exif[0x0112] = 3
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored[..., ::-1])).save(
        stream, "PNG", exif=exif.tobytes()
    )
    half = stream.getvalue()[: len(stream.getvalue()) // 2]
    found = compare_pictures(half, patched(picture), vocabulary).differences
    (lower,) = (patch for patch in PATCHES if patch[1] > 150)
    assert found is not None and len(found) == 1 and overlaps(found[0].box, lower)


@pytest.mark.slow
def test_colours_with_alpha_and_grey_copies_are_compared(vocabulary: Vocabulary) -> None:
    first = textured(3, 300, 240)
    second = first.copy()
    second[100:140, 120:170] = 255 - second[100:140, 120:170]
    layers = np.dstack([second, np.full(second.shape[:2], 255, np.uint8)])
    content = np.asarray(cv2.imencode(".png", layers)[1]).tobytes()
    for query in (layers, content, cv2.cvtColor(second, cv2.COLOR_BGR2GRAY)):
        found = compare_pictures(first, query, vocabulary).differences
        assert found is not None and len(found) == 1
        assert overlaps(found[0].box, (120, 100, 50, 40))


@pytest.mark.slow
def test_comparisons_that_say_the_same_are_equal(vocabulary: Vocabulary) -> None:
    first = textured(3, 480, 360)
    one, again = (compare_pictures(first, patched(first), vocabulary) for _ in range(2))
    assert one == again and one.match.to_dict() == again.match.to_dict()
    assert one != compare_pictures(first, first, vocabulary)


def test_what_cannot_be_compared_is_an_error(vocabulary: Vocabulary) -> None:
    with pytest.raises(ImageError, match="there is no such file"):
        compare_pictures("absent.png", textured(1, 200, 200), vocabulary)
    with pytest.raises(ParameterError, match="tolerance"):
        compare_pictures(textured(1, 200, 200), textured(1, 200, 200), vocabulary, tolerance=-1)
    for sensitivity in (0, 11, float("nan"), "2"):
        with pytest.raises(ParameterError, match="sensitivity"):
            compare_pictures(
                textured(1, 200, 200),
                textured(1, 200, 200),
                vocabulary,
                sensitivity=sensitivity,  # type: ignore[arg-type]
            )


def test_a_box_says_which_part_of_the_second_is_compared(vocabulary: Vocabulary) -> None:
    first = textured(3, 500, 300)
    page = np.zeros((700, 600, 3), np.uint8)
    page[50:350, 60:560], page[380:680, 60:560] = patched(first), textured(9, 500, 300)
    found = compare_pictures(first, page, vocabulary, box=(210, 100, 300, 190))
    assert found.differences is not None and found.match.outline is not None
    assert sorted(one.box[:2] for one in found.differences) == [(300, 200), (400, 60)]
    assert found.match.outline[0] == pytest.approx((149.5, 49.5), abs=1)
    with pytest.raises(ParameterError, match="box"):
        compare_pictures(first, page, vocabulary, box=(500, 600, 300, 190))
