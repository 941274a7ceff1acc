"""A test card with twelve kinds of change: which are differences, where, and how many."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bovw.geometry.difference import aligned, differences
from tests.helpers.pictures import Pixels, crop_query, textured

WIDTH, HEIGHT = 480, 360
Box = tuple[int, int, int, int]
EVERYWHERE = np.ones((HEIGHT, WIDTH), bool)


def card() -> Pixels:
    """A photograph, fields of colour, print, parts on a ground, and a smooth sky."""
    picture = np.full((HEIGHT, WIDTH, 3), (232, 238, 240), np.uint8)
    picture[10:150, 10:190] = textured(11, 180, 140)
    for number, colour in enumerate([(60, 60, 200), (60, 160, 70), (190, 110, 50), (50, 190, 220)]):
        picture[20:80, 210 + 66 * number : 260 + 66 * number] = colour
    for line, words in enumerate(("SERIAL 20817 B", "Made in one piece", "Net 250 ml")):
        place = (210, 120 + 30 * line)
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 40), 2)
    for number in range(6):
        cv2.circle(picture, (40 + 60 * number, 220), 14, (40, 50, 60 + 20 * number), -1)
        cv2.rectangle(picture, (385, 195), (455, 245), (90, 90, 90), 3)
    picture[270:350, 10:470] = np.linspace((235, 190, 140), (245, 225, 205), 80)[:, None]
    return picture


def hue(picture: Pixels) -> Box:
    picture[20:80, 210:260] = (40, 131, 40)
    return 210, 20, 50, 60


def small_line(picture: Pixels) -> Box:
    cv2.line(picture, (300, 290), (380, 320), (255, 255, 255), 3)
    return 299, 289, 83, 33


def missing(picture: Pixels) -> Box:
    cv2.circle(picture, (160, 220), 15, (232, 238, 240), -1)
    return 146, 206, 29, 29


def added(picture: Pixels) -> Box:
    cv2.circle(picture, (130, 310), 16, (60, 80, 150), -1)
    return 114, 294, 33, 33


def moved(picture: Pixels) -> Box:
    missing(picture)
    cv2.circle(picture, (170, 232), 14, (40, 50, 100), -1)
    return 146, 206, 39, 41


def blurred(picture: Pixels) -> Box:
    picture[80:130, 60:130] = cv2.GaussianBlur(picture, (0, 0), 4)[80:130, 60:130]
    return 60, 80, 70, 50


def scratched(picture: Pixels) -> Box:
    cv2.line(picture, (40, 30), (150, 70), (245, 245, 245), 2, cv2.LINE_AA)
    return 39, 29, 113, 43


def other_letter(picture: Pixels) -> Box:
    picture[100:130, 205:400] = (232, 238, 240)
    words, place = "SERIAL 20847 B", (210, 120)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 40), 2)
    return 324, 105, 14, 16


def gloss(picture: Pixels) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    light = 50 * np.exp(-((x - 130) ** 2 + (y - 100) ** 2) / (2 * 60**2))
    picture[:] = np.clip(picture + light[..., None], 0, 255)


def gain(picture: Pixels) -> None:
    """A darker, warmer picture."""
    picture[:] = picture * np.array([0.6, 0.75, 0.85]) + 15


def compressed(picture: Pixels) -> None:
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    picture[:] = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def noise(picture: Pixels) -> None:
    grain = np.random.default_rng(1).normal(0, 8, picture.shape)
    picture[:] = np.clip(picture + grain, 0, 255)


CHANGES = [hue, small_line, missing, added, moved, blurred, scratched, other_letter]
NO_CHANGES = [gloss, gain, compressed, noise]


def found_in(second: Pixels, again: bool, **options: float) -> list[Box]:
    """The boxes of what differs from the card; once more photographed if that is asked for: turned,
    in other light, with noise, as JPEG.
    """
    covered = EVERYWHERE
    if again:
        second, to_first = crop_query(second, 0, 0, WIDTH, HEIGHT, 3, 1.1)
        rng = np.random.default_rng(2)
        light = np.linspace(-15, 15, second.shape[1])[None, :, None]
        second = np.clip(
            second * 0.85 + 12 + light + rng.normal(0, 2, second.shape), 0, 255
        ).astype(np.uint8)
        coded = cv2.imencode(".jpg", second, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        second = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
        second, covered = aligned(second, to_first, (WIDTH, HEIGHT))
    return [each.box for each in differences(card(), second, covered, **options)]  # type: ignore[arg-type]


def shared(one: Box, other: Box) -> float:
    """Intersection over union."""
    width, height = (
        min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - max(one[axis], other[axis])
        for axis in (0, 1)
    )
    both = max(width, 0) * max(height, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_one_difference_and_in_its_place(
    change: Callable[[Pixels], Box], again: bool
) -> None:
    second = card()
    place = change(second)
    found = found_in(second, again)
    if change is blurred:  # seen where something sharp was
        assert found and all(shared(each, place) > 0.05 for each in found)
    elif change is other_letter:  # a stroke of it; how it is drawn depends on OpenCV
        assert len(found) == 1 and shared(found[0], place) > 0.05
    else:
        assert len(found) == 1 and shared(found[0], place) > 0.5


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_is_no_change_is_no_difference(change: Callable[[Pixels], None]) -> None:
    second = card()
    change(second)
    assert found_in(second, False) == []


def test_the_card_once_more_photographed_does_not_differ() -> None:
    assert found_in(card(), True) == []


def test_sensitivity_finds_fainter_differences_and_fewer() -> None:
    second = card()
    second[290:330, 100:160] -= 11
    assert found_in(second, False) == []
    assert len(found_in(second, False, sensitivity=3.0)) == 1
    second = card()
    second[290:330, 100:160] -= 25
    assert len(found_in(second, False)) == 1
    assert found_in(second, False, sensitivity=0.2) == []


def test_a_large_field_and_one_at_the_edge_are_differences_in_full() -> None:
    for box in ((0, 170, 300, 190), (300, 0, 180, 200)):  # light has no sharp edges
        x, y, width, height = box
        second = card()
        second[y : y + height, x : x + width] //= 2
        found = found_in(second, False)
        assert found and shared(found[0], box) > 0.8


def test_a_grey_copy_differs_by_what_was_changed_and_not_by_its_colours() -> None:
    first, second = textured(3, 240, 180), textured(3, 240, 180)
    second[40:70, 60:90] = 255 - second[40:70, 60:90]
    gray = np.repeat(cv2.cvtColor(second, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    (found,) = differences(first, gray.astype(np.uint8), np.ones((180, 240), bool))
    assert shared(found.box, (60, 40, 30, 30)) > 0.3


@given(st.integers(0, 10**6), st.floats(0.6, 1.3), st.floats(-20, 20))
@settings(max_examples=10, deadline=None)
def test_a_picture_does_not_differ_from_itself_in_other_light(
    seed: int, factor: float, level: float
) -> None:
    first = textured(seed, 160, 120)
    second = np.clip(first * factor + level, 0, 255).astype(np.uint8)
    assert differences(first, second, np.ones((120, 160), bool)) == []


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_pictures_of_any_size_can_be_compared(width: int, height: int, tolerance: int) -> None:
    picture = textured(1, 200, 200)[:height, :width]
    covered = np.ones((height, width), bool)
    assert differences(picture, picture.copy(), covered, tolerance) == []
    assert differences(picture, picture, ~covered, tolerance) == []
