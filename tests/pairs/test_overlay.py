"""Images laid onto each other: places, areas, and how alike they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw.features.appearance import THUMBNAIL_SIDE, thumbnail
from bovw.pairs.overlay import coverage, resemblance, whole_transform
from tests.helpers.pictures import textured

Pixels = NDArray[np.uint8]
PICTURE = textured(1, 320, 240)
SHIFT = np.array([[1.0, 0, 40], [0, 1, 30], [0, 0, 1]])


def small(pixels: Pixels) -> Pixels:
    return thumbnail(pixels).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def size_of(pixels: Pixels) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]


def alike(matrix: NDArray[np.float64], first: Pixels, second: Pixels) -> tuple[float, float, float]:
    found = resemblance(matrix, small(first), small(second), size_of(first), size_of(second))
    return found.correlation, found.trimmed, found.tone


@pytest.mark.parametrize("orientation", range(8))
def test_a_whole_picture_in_each_orientation(orientation: int) -> None:
    """Mirrored first, then turned clockwise: pixel for pixel."""
    shown = PICTURE[:, ::-1] if orientation % 2 else PICTURE
    shown = np.ascontiguousarray(np.rot90(shown, -(orientation // 2)))
    matrix = whole_transform(orientation, size_of(PICTURE), size_of(shown))
    assert np.array_equal(cv2.warpPerspective(PICTURE, matrix, size_of(shown)), shown)
    assert coverage(matrix, size_of(PICTURE), size_of(shown)) == pytest.approx((1, 1))
    assert alike(matrix, PICTURE, shown) == pytest.approx((1, 1, 0), abs=0.01)


def test_a_part_lies_in_the_whole() -> None:
    part = np.ascontiguousarray(PICTURE[30:150, 40:200])
    assert coverage(SHIFT, size_of(part), size_of(PICTURE)) == pytest.approx((1, 0.25))
    inverse = np.asarray(np.linalg.inv(SHIFT), np.float64)
    assert coverage(inverse, size_of(PICTURE), size_of(part)) == pytest.approx((0.25, 1))
    for matrix, first, second in ((SHIFT, part, PICTURE), (inverse, PICTURE, part)):
        correlation, trimmed, _ = alike(matrix, first, second)
        assert min(correlation, trimmed) > 0.98
    aside = np.array([[1.0, 0, 240], [0, 1, 30], [0, 0, 1]])
    assert coverage(aside, size_of(part), size_of(PICTURE)) == pytest.approx((0.5, 0.125))


def test_what_lies_on_top_does_not_count_and_another_picture_is_unlike() -> None:
    covered = PICTURE.copy()
    covered[150:200] = 255
    correlation, trimmed, _ = alike(np.eye(3), covered, PICTURE)
    assert correlation < 0.9 < 0.999 < trimmed
    darker = (PICTURE * 0.6 + 20).astype(np.uint8)
    _, trimmed, tone = alike(np.eye(3), darker, PICTURE)
    assert trimmed > 0.999
    assert tone > 10
    correlation, trimmed, _ = alike(np.eye(3), textured(2, 320, 240), PICTURE)
    assert max(correlation, trimmed) < 0.9


def test_pictures_that_show_nothing() -> None:
    white, gray = np.full_like(PICTURE, 255), np.full_like(PICTURE, 128)
    assert alike(np.eye(3), white, white)[0] == 1
    assert alike(np.eye(3), white, gray)[0] == 0
    assert alike(np.eye(3), white, PICTURE)[0] == 0
    nowhere = np.diag([0.0, 0.0, 1.0])
    assert alike(SHIFT * 1e4, white, white)[0] == 0
    assert coverage(nowhere, (9, 9), (9, 9)) == (0, 0)
