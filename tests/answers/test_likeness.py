"""What tells nearly equal pictures apart is seen in another picture, or not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bovw.answers.likeness import likenesses
from bovw.answers.sisters import ordered_by
from tests.helpers.pictures import textured

ALL = np.ones((120, 160), bool)


def sisters() -> list[NDArray[np.uint8]]:
    """Three pictures that differ in one place each: what is there, its colour, nothing."""
    one = textured(1, 160, 120)
    other, coloured = one.copy(), one.copy()
    other[30:80, 60:120] = textured(2, 160, 120)[30:80, 60:120]
    coloured[30:80, 60:120] = coloured[30:80, 60:120, ::-1]
    return [one, other, coloured]


def photographed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture blurred, darker, and a little moved."""
    moved = cv2.warpAffine(
        cv2.GaussianBlur(picture, (0, 0), 0.8),
        np.array([[1, 0.01, 2.0], [-0.01, 1, -1.5]]),
        (160, 120),
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(moved * 0.6 + 10, np.uint8)


def test_each_picture_is_most_like_itself() -> None:
    shown = sisters()
    for number, picture in enumerate(shown):
        found = likenesses(photographed(picture), shown, ALL)
        assert found is not None and all(0 <= value <= 1 for value in found)
        best, second = sorted(found, reverse=True)[:2]
        assert found[number] == best > second + 0.1


def test_what_is_covered_tells_nothing() -> None:
    shown = sisters()
    elsewhere = ALL.copy()
    elsewhere[20:90, 50:130] = False
    assert likenesses(shown[0], shown, elsewhere) is None
    assert likenesses(shown[0], [shown[0], shown[0].copy()], ALL) is None
    assert likenesses(shown[0], shown, ~ALL) is None


def test_only_a_clear_lead_changes_the_order() -> None:
    assert ordered_by([0.5, 0.52, 0.9]) == [2, 0, 1]
    assert ordered_by([0.5, 0.6]) == [1, 0]
    assert ordered_by([0.5, 0.54]) == [0, 1]
