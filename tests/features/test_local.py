"""Features: where they are, what they are, and that no picture however poor is an error."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw.errors import ParameterError
from bovw.features.local import (
    FEATURE_NAMES,
    Features,
    FeatureSpec,
    as_unit_vectors,
    extract,
    mirror,
    root_sift,
    select_keypoints,
)
from bovw.geometry.transform import project
from bovw.pictures.reading import Box, picture_from_array
from tests.helpers.pictures import Matrix, Pixels, blobs, crop_query, textured

ALL_NAMES = pytest.mark.parametrize("name", FEATURE_NAMES)


def features_of(
    pixels: Pixels, spec: FeatureSpec | None = None, box: Box | None = None
) -> Features:
    spec = spec or FeatureSpec()
    return extract(picture_from_array(pixels, spec.max_side, box), spec)


def turned_by(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.abs((first.astype(float) - second + pi) % (2 * pi) - pi), np.float64)


# --- coordinates

GRID_PLACES = np.stack(
    np.meshgrid(np.arange(5) * 170 + 90, np.arange(4) * 160 + 100), axis=-1
).reshape(-1, 2)


def blob_errors(
    size: tuple[int, int], max_side: int, box: Box | None
) -> tuple[Matrix, NDArray[np.float32]]:
    """Place found - true place of each blob that was found at all (k, 2), and the scales there
    (k,).
    """
    places = GRID_PLACES + np.random.default_rng(1).uniform(-20, 20, GRID_PLACES.shape)
    features = features_of(blobs(*size, places, sigma=5.0), FeatureSpec(max_side=max_side), box)
    offsets = features.xy[None].astype(float) - places[:, None]
    nearest = np.hypot(offsets[..., 0], offsets[..., 1]).argmin(axis=1)
    errors = offsets[np.arange(len(places)), nearest]
    found = np.hypot(*errors.T) < 3
    assert found.mean() >= 0.6
    return errors[found], features.scale[nearest[found]]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(900, 700), (901, 697)])
@pytest.mark.parametrize("box", [None, (50, 30, 801, 611), (45, 31, 800, 612)])
@pytest.mark.parametrize(
    ("max_side", "tolerance"), [(1000, 0.1), (600, 0.3), (400, 0.3), (250, 0.3)]
)
def test_places_and_scales_are_those_of_the_full_picture(
    size: tuple[int, int], box: Box | None, max_side: int, tolerance: float
) -> None:
    errors, scales = blob_errors(size, max_side, box)
    assert np.hypot(*errors.T).max() < tolerance
    assert np.abs(errors.mean(axis=0)).max() < 0.05
    _, unshrunk = blob_errors(size, 1000, None)
    assert np.median(scales) == pytest.approx(np.median(unshrunk), rel=0.15)


@ALL_NAMES
def test_a_turned_and_magnified_picture_has_turned_and_magnified_features(name: str) -> None:
    picture = textured(2, 360, 300)
    query, matrix = crop_query(picture, 80, 60, 200, 160, angle_degrees=30, scale=1.25)
    document, seen = features_of(picture, FeatureSpec(name)), features_of(query, FeatureSpec(name))
    distance = np.hypot(*(document.xy[None] - project(matrix, seen.xy)[:, None]).transpose(2, 0, 1))
    nearest = distance.argmin(axis=1)
    same = (distance.min(axis=1) < 2) & (
        (as_unit_vectors(seen.descriptors) * as_unit_vectors(document.descriptors[nearest])).sum(
            axis=1
        )
        > 0.8
    )
    assert same.sum() > 40
    scale = np.log(document.scale[nearest] / seen.scale)[same]
    assert np.median(scale) == pytest.approx(np.log(1 / 1.25), abs=0.12)
    assert np.median(turned_by(document.angle[nearest], seen.angle + np.deg2rad(30))[same]) < 0.1


@ALL_NAMES
def test_what_is_returned_has_the_documented_form(name: str) -> None:
    features = features_of(textured(0, 300, 200), FeatureSpec(name), (10, 20, 250, 160))
    assert len(features) > 100
    assert features.size == (300, 200)
    assert features.box == (10, 20, 250, 160)
    for array in (features.xy, features.scale, features.angle):
        assert array.dtype == np.float32
        assert len(array) == len(features.descriptors) == len(features)
    assert features.descriptors.dtype == (np.uint8 if name == "orb" else np.float32)
    assert features.descriptors.shape[1] == (32 if name == "orb" else 128)
    assert (features.scale > 0).all()
    assert (features.angle >= 0).all()
    assert (features.angle < 2 * pi).all()
    assert (features.xy >= (9.5, 19.5)).all()
    assert (features.xy <= (259.5, 179.5)).all()


@ALL_NAMES
def test_same_picture_same_bytes(name: str) -> None:
    first, second = (features_of(textured(4), FeatureSpec(name)) for _ in range(2))
    for one, other in (
        (first.xy, second.xy),
        (first.scale, second.scale),
        (first.angle, second.angle),
        (first.descriptors, second.descriptors),
    ):
        assert one.tobytes() == other.tobytes()


# --- descriptors


def test_root_sift_by_hand() -> None:
    sift = np.array([[1, 4, 9, 2], [0, 0, 0, 0], [0, 5, 0, 0]], np.float32)
    expected = np.array([[0.25, 0.5, 0.75, 2**0.5 / 4], [0, 0, 0, 0], [0, 1, 0, 0]])
    assert np.allclose(root_sift(sift), expected, atol=1e-6)


def test_root_sift_rows_have_unit_length_and_compare_as_hellinger() -> None:
    pixels = textured(1)
    features = features_of(pixels)
    assert np.allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    assert (features.descriptors >= 0).all()
    assert as_unit_vectors(features.descriptors) is features.descriptors


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=6))
def test_orb_vectors_compare_by_hamming_distance(rows: list[bytes]) -> None:
    packed = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
    points = as_unit_vectors(packed)
    assert points.dtype == np.float32
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            hamming = sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))
            assert float(points[i] @ points[j]) == pytest.approx(1 - 2 * hamming / 256, abs=1e-6)
            assert float(((points[i] - points[j]) ** 2).sum()) == pytest.approx(
                hamming / 64, abs=1e-5
            )


# --- mirror


@pytest.mark.slow
@pytest.mark.parametrize("box", [None, (30, 20, 301, 222)])
@pytest.mark.parametrize("max_side", [1024, 300])
@ALL_NAMES
def test_mirror_is_what_the_mirrored_picture_gives(
    name: str, max_side: int, box: Box | None
) -> None:
    spec = FeatureSpec(name, max_side=max_side)
    pixels = textured(2)
    flipped = pixels.copy()
    x, y, width, height = box or (0, 0, pixels.shape[1], pixels.shape[0])
    flipped[y : y + height, x : x + width] = pixels[y : y + height, x : x + width][:, ::-1]
    picture = picture_from_array(pixels, max_side, box)
    mirrored = mirror(extract(picture, spec), picture, spec)
    truth = features_of(flipped, spec, box)
    assert mirrored.size == truth.size
    assert mirrored.box == truth.box
    distance = np.hypot(*(mirrored.xy[:, None] - truth.xy[None]).transpose(2, 0, 1))
    similarity = as_unit_vectors(mirrored.descriptors) @ as_unit_vectors(truth.descriptors).T
    turn = turned_by(mirrored.angle[:, None], truth.angle[None])
    # OpenCV's pyramid keeps every second pixel from the left, so that a few weak features come and
    # go
    same = (distance < 0.2) & (similarity > 0.99) & (turn < 0.1)
    assert same.any(axis=1).mean() > 0.85
    assert same.any(axis=0).mean() > 0.85
    assert np.median(distance[same]) < 0.01
    assert np.median(similarity[same]) > 0.999
    assert np.median(turn[same]) < 0.01
    scales = np.broadcast_to(mirrored.scale[:, None] / truth.scale[None], same.shape)[same]
    assert np.median(np.abs(np.log(scales))) < 0.01


@ALL_NAMES
def test_mirror_of_nothing_is_nothing(name: str) -> None:
    picture = picture_from_array(np.zeros((50, 60), np.uint8), 1024)
    spec = FeatureSpec(name)
    assert len(mirror(extract(picture, spec), picture, spec)) == 0


@given(st.floats(0, 6.25, width=32), st.floats(-0.5, 99.5, width=32))
def test_mirrored_twice_is_the_same(angle: float, x: float) -> None:
    picture = picture_from_array(np.zeros((100, 100), np.uint8), 1024)
    descriptor = np.random.default_rng(0).random((1, 128), np.float32)
    xy, ones = np.array([[x, 5]], np.float32), np.ones(1, np.float32)
    features = Features(
        xy, ones, np.array([angle], np.float32), descriptor, picture.size, picture.box
    )
    once = mirror(features, picture, FeatureSpec())
    twice = mirror(once, picture, FeatureSpec())
    assert once.xy[0].tolist() == [pytest.approx(99 - x, abs=1e-4), 5]
    assert turned_by(once.angle, np.array([pi - angle], np.float32))[0] < 1e-5
    assert turned_by(twice.angle, features.angle)[0] < 1e-5
    assert np.allclose(twice.xy, features.xy, atol=1e-4)
    assert np.array_equal(twice.descriptors, features.descriptors)


# --- poor pictures


@pytest.mark.slow
@ALL_NAMES
@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2), (8, 8), (31, 31), (1, 300), (300, 1), (3, 700), (480, 360)]
)
def test_blank_pictures_have_no_features(name: str, size: tuple[int, int]) -> None:
    features = features_of(np.full(size[::-1], 128, np.uint8), FeatureSpec(name))
    assert len(features) == 0
    assert features.xy.shape == (0, 2)
    assert as_unit_vectors(features.descriptors).shape == (0, FeatureSpec(name).dimension)


@ALL_NAMES
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (1, 300), (2000, 10), (33, 31)])
def test_tiny_and_thin_pictures_are_no_error(name: str, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size[::-1]).astype(np.uint8)
    features = features_of(noise, FeatureSpec(name, max_side=200))
    assert np.isfinite(features.xy).all()
    assert (features.xy >= -0.5).all()
    assert (features.xy <= np.array(size) - 0.5).all()


def test_a_small_soft_picture_is_looked_at_in_double_size() -> None:
    small = np.asarray(
        cv2.resize(textured(3, 640, 480)[:240, :240], (40, 40), interpolation=cv2.INTER_AREA),
        np.uint8,
    )
    alone = features_of(small, FeatureSpec(max_side=64))
    doubled = features_of(small, FeatureSpec(max_side=1024))
    assert len(doubled) > len(alone)
    offsets = doubled.xy[:, None] - alone.xy[None]
    again = np.sort(np.hypot(*offsets.transpose(2, 0, 1)), axis=0)[1]
    assert np.median(again) < 0.3


# --- limits


@pytest.mark.slow
@ALL_NAMES
@pytest.mark.parametrize("limit", [1, 7, 100, 500])
def test_max_features_is_respected(name: str, limit: int) -> None:
    assert len(features_of(textured(0), FeatureSpec(name, max_features=limit))) == limit


def test_fewer_features_are_the_first_of_more() -> None:
    pixels = textured(6)
    few, many = (
        features_of(pixels, FeatureSpec(max_features=150)),
        features_of(pixels, FeatureSpec(max_features=300)),
    )
    shared = {tuple(row) for row in few.xy.tolist()} & {tuple(row) for row in many.xy.tolist()}
    assert len(shared) > 0.85 * len({tuple(row) for row in few.xy.tolist()})


def test_a_dull_quarter_keeps_features() -> None:
    pixels = textured(8)
    dull = pixels.copy()
    dull[180:, 240:] = np.rint(110 + (pixels[180:, 240:].astype(float) - 110) * 0.3).astype(
        np.uint8
    )
    rows = [
        (k.pt, k.response)
        for k in cv2.SIFT.create(0, contrastThreshold=0.02).detect(
            cv2.cvtColor(dull, cv2.COLOR_BGR2GRAY), None
        )
    ]
    strongest = sorted(rows, key=lambda row: -row[1])[:200]
    plain = sum(x > 240 and y > 180 for (x, y), _ in strongest)
    kept = features_of(dull, FeatureSpec(max_features=200)).xy
    spread_out = int(((kept[:, 0] > 240) & (kept[:, 1] > 180)).sum())
    assert spread_out >= 10
    assert spread_out > 1.5 * plain


@st.composite
def keypoints(draw: st.DrawFn) -> NDArray[np.float32]:
    count = draw(st.integers(0, 120))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    places = rng.uniform(-0.5, 99.5, (count, 2)) * (draw(st.sampled_from([1.0, 0.3])), 1)
    rest = np.column_stack(
        [rng.integers(1, 4, count), rng.integers(0, 360, count), rng.integers(0, 20, count)]
    )
    return np.column_stack([places, rest]).astype(np.float32)


@given(keypoints(), st.integers(1, 130))
def test_spread_keeps_the_strongest_and_ignores_the_order_of_detection(
    rows: NDArray[np.float32], limit: int
) -> None:
    spec = FeatureSpec(max_features=limit)
    chosen = select_keypoints(rows, (100, 100), spec)
    assert len(set(chosen.tolist())) == len(chosen) == min(limit, len(rows))
    if len(rows):
        assert rows[chosen[0], 4] == rows[:, 4].max()
    shuffled = np.random.default_rng(0).permutation(len(rows))
    again = select_keypoints(rows[shuffled], (100, 100), spec)
    assert np.array_equal(rows[shuffled][again], rows[chosen])


def keypoint_grid(side: int, low: int, high: int, size: float, response: float) -> Pixels:
    """Keypoints at side x side places of a part of a picture of 1000 x 1000 pixels."""
    places = np.linspace(low, high, side)
    x, y = (each.ravel() for each in np.meshgrid(places, places))
    rest = np.broadcast_to([size, 0.0, response], (len(x), 3))
    return np.column_stack([x, y, rest]).astype(np.float32)


def test_a_dull_part_of_a_picture_keeps_features_beside_a_busy_one() -> None:
    busy, dull = keypoint_grid(80, 0, 999, 2, 9), keypoint_grid(10, 400, 600, 2, 1)
    busy = busy[~((busy[:, :2] > 380) & (busy[:, :2] < 620)).all(axis=1)]
    rows = np.concatenate([busy, dull])
    chosen = select_keypoints(rows, (1000, 1000), FeatureSpec(max_features=1500))
    # it has a 25th of the area, and gets about a 25th of what is kept
    assert (chosen >= len(busy)).sum() > 40


def test_weak_coarse_features_are_kept_beside_strong_fine_ones() -> None:
    fine, coarse = keypoint_grid(60, 0, 999, 2, 9), keypoint_grid(12, 5, 990, 9, 1)
    rows = np.concatenate([fine, coarse])
    chosen = select_keypoints(rows, (1000, 1000), FeatureSpec(max_features=2000))
    # by contrast alone there would be none
    assert (chosen >= len(fine)).sum() > 50


def test_a_query_may_have_more_features() -> None:
    assert FeatureSpec("orb", 500).for_queries() == FeatureSpec("orb", 1000)
    assert FeatureSpec(max_features=65_535).for_queries().max_features == 65_535


# --- specs


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kind": "surf"}, "features: 'surf'.*rootsift, orb"),
        ({"max_features": 0}, "max_features: 0 is outside"),
        ({"max_features": 65_536}, "max_features: 65536 is outside"),
        ({"max_side": 15}, "max_side: 15 is outside"),
        ({"max_side": 16_385}, "max_side: 16385 is outside"),
    ],
)
def test_specs_outside_their_range_are_refused(changes: dict[str, str | int], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        replace(FeatureSpec(), **changes)  # type: ignore[arg-type]


def test_specs_travel_as_json_and_can_be_limited() -> None:
    spec = FeatureSpec("orb", 300, 640)
    assert FeatureSpec.from_json(spec.to_json()) == spec
    assert spec.limited() == spec
    assert spec.limited(max_features=10) == FeatureSpec("orb", 10, 640)
    assert spec.limited(max_side=99) == FeatureSpec("orb", 300, 99)
    with pytest.raises(ParameterError):
        spec.limited(max_features=0)
