"""SIFT, compiled: beside OpenCV's, beside plain definitions, and whatever the picture."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

from bovw import kernel
from bovw.features import sift as module
from bovw.features.local import SIFT_CONTRAST
from bovw.features.sift import KEPT, sift
from bovw.geometry.transform import project
from tests.helpers.compiled import plain_library
from tests.helpers.pictures import Matrix, Pixels, crop_query, textured

PHOTOS = sorted((Path(__file__).parents[1] / "fixtures" / "photos").iterdir())
INSTALLED = kernel.library()
pytestmark = pytest.mark.skipif(INSTALLED is None, reason="bovw was built without a C compiler")
Found = tuple[NDArray[np.float32], NDArray[np.uint8]]


def gray(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def all_of(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.arange(len(rows))


def found_in(picture: Pixels, contrast: float = SIFT_CONTRAST) -> Found:
    return sift(picture, contrast, all_of)


def opencv(picture: Pixels) -> Found:
    detector = cv2.SIFT.create(contrastThreshold=SIFT_CONTRAST, enable_precise_upscale=True)
    keypoints, descriptors = detector.detectAndCompute(picture, None)
    rows = [(*each.pt, each.size, each.angle, each.response) for each in keypoints]
    return np.array(rows, np.float32), np.asarray(descriptors, np.uint8)


def pairs(one: Found, other: Found, reach: float = 1.0) -> NDArray[np.int64]:
    """Features that are at the same place, of the same size and turned alike: (k, 2)."""

    def coordinates(rows: NDArray[np.float32]) -> Matrix:
        turn = np.deg2rad(rows[:, 3].astype(float))
        parts = [rows[:, :2], 8 * np.log2(rows[:, 2]), 5 * np.cos(turn), 5 * np.sin(turn)]
        return np.column_stack(parts)

    found = cKDTree(coordinates(other[0])).query(coordinates(one[0]))
    distance, nearest = (np.asarray(each) for each in found)
    same = distance < reach
    return np.column_stack([np.flatnonzero(same), nearest[same]])


def cosines(one: Found, other: Found, same: NDArray[np.int64]) -> Matrix:
    first, second = one[1][same[:, 0]].astype(float), other[1][same[:, 1]].astype(float)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / lengths, np.float64)


# --- beside OpenCV


@pytest.mark.parametrize("path", PHOTOS[:3], ids=lambda path: path.name)
def test_most_features_are_those_of_opencv(path: Path) -> None:
    picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
    ours, theirs = found_in(picture), opencv(picture)
    assert 0.8 < len(ours[0]) / len(theirs[0]) < 1.25
    same = pairs(theirs, ours)
    assert len(same) > 0.75 * len(theirs[0])
    off = np.abs(theirs[0][same[:, 0]] - ours[0][same[:, 1]])
    assert (np.median(off, axis=0) < (0.05, 0.05, 0.05, 0.5, 0.001)).all()
    assert np.median(cosines(theirs, ours, same)) > 0.995


def repeated(found: Found, seen: Found, matrix: Matrix) -> float:
    """The share of the features of a query that the picture has at the same place, alike."""
    distance = cKDTree(found[0][:, :2]).query_ball_point(project(matrix, seen[0][:, :2]), 2)
    alike = [
        bool(near) and (found[1][near].astype(float) @ row).max() > 0.85 * 512**2
        for near, row in zip(distance, seen[1].astype(float), strict=True)
    ]
    return float(np.mean(alike))


@pytest.mark.parametrize(("angle", "scale"), [(30, 1.25), (90, 0.6), (200, 2.0)])
def test_as_many_as_of_opencv_are_found_again_in_a_turned_and_scaled_part(
    angle: float, scale: float
) -> None:
    picture = textured(2, 500, 400)
    query, matrix = crop_query(picture, 80, 60, 260, 220, angle_degrees=angle, scale=scale)
    shares = [
        repeated(find(gray(picture)), find(gray(query)), matrix) for find in (found_in, opencv)
    ]
    assert shares[0] > 0.35
    assert shares[0] > shares[1] - 0.05


# --- beside plain definitions


def first_octave(picture: Pixels) -> NDArray[np.int16]:
    """Its six levels, of a picture that was looked at just now: (6, 2 h, 2 w), 128 a grey value,
    which is 128 where they are 0.
    """
    height, width = 2 * picture.shape[0], 2 * picture.shape[1]
    stride = (-(-width // 32) | 1) * 32
    start = -KEPT.pyramid.ctypes.data % 64 // 2
    levels = KEPT.pyramid[start : start + 6 * height * stride].reshape(6, height, stride)
    return levels[..., :width].copy()


def test_levels_are_gaussians_of_the_doubled_picture() -> None:
    picture = gray(textured(5, 120, 90))
    found_in(picture)
    levels = first_octave(picture) / 128 + 128
    doubled = bilinear(picture, [np.arange(2 * side) / 2 for side in picture.shape])
    for level, ours in enumerate(levels):
        sigma = np.sqrt((1.6 * 2 ** (level / 3)) ** 2 - 1)
        # cut off at three sigmas each time
        off = np.abs(ours - gaussian_filter(doubled, sigma, mode="mirror"))
        assert off.max() < 1.5
        assert off.mean() < 0.1


def bilinear(picture: Pixels, places: list[Matrix]) -> Matrix:
    height, width = picture.shape
    wide = np.array([np.interp(places[1], np.arange(width), row) for row in picture])
    return np.array([np.interp(places[0], np.arange(height), column) for column in wide.T]).T


def offset_and_edge(cube: NDArray[np.int32]) -> tuple[Matrix, float]:
    """Of the 3 x 3 x 3 differences around an extremum: how far from its centre the fitted parabola
    has its top, as layer, y, x; and the ratio that tells edges.
    """
    values = cube.astype(float)
    gradient = np.array([np.gradient(values, axis=axis)[1, 1, 1] for axis in range(3)])
    hessian = np.array(
        [
            [np.gradient(np.gradient(values, axis=a), axis=b)[1, 1, 1] for b in range(3)]
            for a in range(3)
        ]
    )
    for axis, line in enumerate((values[:, 1, 1], values[1, :, 1], values[1, 1, :])):
        hessian[axis, axis] = line[0] - 2 * line[1] + line[2]
    flat = hessian[1:, 1:]
    det = np.linalg.det(flat)
    edge = np.trace(flat) ** 2 / det if det > 0 else np.inf
    return -np.linalg.solve(hessian, gradient), float(edge)


def test_features_are_the_extrema_of_differences_of_gaussians() -> None:
    picture = gray(textured(7, 160, 120))
    rows, _ = found_in(picture)
    levels = first_octave(picture).astype(np.int32)
    difference = levels[1:] - levels[:-1]
    inner = np.zeros_like(difference, bool)
    inner[1:4, 5:-5, 5:-5] = True
    extrema = np.concatenate(
        [
            np.argwhere((each == maximum_filter(each, 3)) & (each > 76) & inner)
            for each in (difference, -difference)
        ]
    )
    fine = rows[rows[:, 2] < 3.2]
    distance = np.asarray(cKDTree(extrema[:, [2, 1]] / 2).query(fine[:, :2])[0])
    # refining may take a few steps of half a pixel
    assert (distance < 3).all()
    assert (distance < 0.5).mean() > 0.9
    plain = 0
    for layer, y, x in extrema.tolist():
        cube = difference[layer - 1 : layer + 2, y - 1 : y + 2, x - 1 : x + 2]
        offset, edge = offset_and_edge(cube)
        if np.abs(offset).max() < 0.49 and edge < 12 and abs(cube[1, 1, 1]) > 160:
            place = np.array([x + offset[2], y + offset[1]]) / 2
            size = 1.6 * 2 ** ((layer + offset[0]) / 3)
            off = np.abs(rows[:, :3] - (*place, size)).max(axis=1)
            assert off.min() < 0.001
            plain += 1
    assert plain > 50


def test_a_blob_is_found_where_it_is_as_large_as_it_is() -> None:
    y, x = np.mgrid[:81, :101]
    for sigma in (2.0, 3.7, 6.0):
        blob = 40 + 180 * np.exp(-((x - 50.3) ** 2 + (y - 40.6) ** 2) / (2 * sigma**2))
        rows, _ = found_in(np.rint(blob).astype(np.uint8))
        best = rows[rows[:, 4].argmax()]
        assert np.abs(best[:2] - (50.3, 40.6)).max() < 0.1
        # the difference of two Gaussians, 2^(1/3) apart, is highest between both
        assert best[2] == pytest.approx(2 * sigma * 2 ** (-1 / 6), rel=0.1)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_turned_by_right_angles_has_the_same_features_turned(turns: int) -> None:
    picture = gray(textured(3, 257, 193))
    shares = []
    for find in (found_in, opencv):
        upright = find(picture)
        rows, descriptors = find(np.ascontiguousarray(np.rot90(picture, -turns)))
        for turn in range(turns):
            # back by a quarter, counter-clockwise
            height = picture.shape[(turn + turns + 1) % 2]
            rows[:, 0], rows[:, 1] = rows[:, 1].copy(), height - 1 - rows[:, 0]
            rows[:, 3] = (rows[:, 3] - 90) % 360
        same = pairs(upright, (rows, descriptors))
        assert np.median(cosines(upright, (rows, descriptors), same)) > 0.998
        shares.append(len(same) / len(upright[0]))
    # the pyramid keeps every second pixel from the left, so that a few come and go
    assert shares[0] > max(0.8, shares[1] - 0.05)


# --- the same, whatever


@pytest.fixture(scope="module")
def plain() -> ctypes.CDLL:
    return plain_library()


def equal(one: Found, other: Found) -> bool:
    return np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


@pytest.mark.parametrize("size", [(8, 8), (9, 40), (33, 31), (300, 200), (641, 479)])
def test_any_processor_gives_the_same_bits(
    size: tuple[int, int], plain: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, size[::-1]).astype(np.uint8)
    pictures = [noise, gray(textured(4, *size)) if min(size) > 30 else noise // 2]
    installed = [found_in(picture) for picture in pictures]
    monkeypatch.setattr(kernel, "library", lambda: plain)
    assert all(
        equal(found_in(picture), found) for picture, found in zip(pictures, installed, strict=True)
    )


def test_what_was_looked_at_before_changes_nothing() -> None:
    picture = gray(textured(6, 200, 150))
    first = found_in(picture)
    found_in(np.random.default_rng(0).integers(0, 256, (400, 300)).astype(np.uint8))
    KEPT.pyramid[:] = 12345
    assert equal(found_in(picture), first)


def test_threads_do_not_disturb_one_another() -> None:
    pictures = [gray(textured(seed, 150 + 40 * seed, 200)) for seed in range(6)]
    alone = [found_in(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(found_in, pictures * 5))
    assert all(equal(found, alone[number % 6]) for number, found in enumerate(together))


def test_room_grows_and_what_is_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (240, 190)).astype(np.uint8)
    expected = found_in(noise)
    assert len(expected[0]) > 20
    monkeypatch.setattr(module, "ROOM_SHARE", 1 << 40)
    monkeypatch.setattr(module, "ROOM", 5)
    assert equal(found_in(noise), expected)
    monkeypatch.setattr(module, "KEPT_BYTES", 1000)
    monkeypatch.setattr(KEPT, "pyramid", np.empty(0, np.int16))
    assert equal(found_in(noise), expected)
    assert len(KEPT.pyramid) == 0


def test_no_feature_twice() -> None:
    picture = gray(textured(9))
    rows, _ = found_in(picture)
    assert len(np.unique(rows[:, :4], axis=0)) == len(rows)


def test_what_is_chosen_is_described_in_its_order() -> None:
    picture = gray(textured(9))
    rows, descriptors = found_in(picture)
    chosen: list[NDArray[np.float32]] = []

    def every_third_from_the_last(found: NDArray[np.float32]) -> NDArray[np.int64]:
        chosen.append(found[::-3])
        return np.arange(len(found))[::-3]

    some, theirs = sift(picture, SIFT_CONTRAST, every_third_from_the_last)
    places = some[np.r_[True, (np.diff(some[:, :2], axis=0) != 0).any(axis=1)], :3]
    assert set(map(tuple, places.tolist())) <= set(map(tuple, chosen[0][:, :3].tolist()))
    whole = {
        tuple(row): each.tobytes() for row, each in zip(rows.tolist(), descriptors, strict=True)
    }
    assert all(
        whole[tuple(row)] == each.tobytes() for row, each in zip(some.tolist(), theirs, strict=True)
    )
    assert len(some) > len(rows) / 4


@given(
    st.integers(8, 90), st.integers(8, 90), st.integers(0, 10**6), st.sampled_from([1, 2, 64, 255])
)
def test_any_picture_gives_features_within_it(
    height: int, width: int, seed: int, steps: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, steps + 1, (height, width)) * (255 // steps)
    rows, descriptors = found_in(noise.astype(np.uint8), 0.001)
    assert np.isfinite(rows).all()
    assert (rows[:, :2] >= 0).all()
    assert (rows[:, :2] <= (width, height)).all()
    assert ((rows[:, 3] >= 0) & (rows[:, 3] <= 360)).all()
    lengths = np.linalg.norm(descriptors.astype(float), axis=1)
    assert ((lengths > 400) & (lengths < 600)).all()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_pictures_have_none(value: int) -> None:
    rows, descriptors = found_in(np.full((50, 70), value, np.uint8))
    assert rows.shape == (0, 5)
    assert descriptors.shape == (0, 128)
