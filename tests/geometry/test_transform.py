"""Where a picture lies in another one: the transform of matched points, which model it is, and its
pose.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bovw.geometry.transform import (
    decompose,
    fit_homography,
    is_plausible,
    move_features,
    overlaps,
    project,
    select_transform,
)
from tests.helpers.matching import CORNERS, SIZE, corner_error, similarity
from tests.helpers.pictures import Matrix

seeds = st.integers(0, 10**6)
scales = st.floats(0.3, 3)
turns = st.floats(-np.pi, np.pi)


def count_within(matrix: Matrix, query: Matrix, image: Matrix, pixels: float) -> int:
    """How many points a transform puts within `pixels` of their partners."""
    return int((np.hypot(*(project(matrix, query) - image).T) < pixels).sum())


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8))
def test_project_there_and_back(values: list[float]) -> None:
    noise = np.array(values)
    matrix = np.eye(3) + np.array(
        [
            [*noise[:2] * 0.3, noise[2] * 50],
            [*noise[3:5] * 0.3, noise[5] * 50],
            [*noise[6:] * 5e-4, 0],
        ]
    )
    assert np.allclose(project(np.linalg.inv(matrix), project(matrix, CORNERS)), CORNERS, atol=1e-6)


def test_project_by_hand() -> None:
    matrix = np.array([[2.0, 0, 1], [0, 3, 2], [0, 0.5, 1]])
    assert project(matrix, np.array([[0.0, 0], [1, 2]])).tolist() == [[1, 2], [1.5, 4]]
    assert not np.isfinite(project(matrix, np.array([[0.0, -2]]))).all()
    assert project(matrix, np.zeros((0, 2))).shape == (0, 2)


def through_quad(quad: list[tuple[float, float]]) -> Matrix:
    """The homography that takes CORNERS to a quadrilateral."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(CORNERS.tolist(), quad, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    matrix = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    return np.asarray(matrix / matrix[2, 2], np.float64)


@given(scales, turns, st.floats(-4e-4, 4e-4), st.floats(-4e-4, 4e-4))
def test_sane_quadrilaterals_are_plausible(
    scale: float, turn: float, tilt_x: float, tilt_y: float
) -> None:
    tilt = np.eye(3)
    tilt[2, :2] = tilt_x, tilt_y
    assert is_plausible(similarity(scale, turn) @ tilt, CORNERS)


@pytest.mark.parametrize(
    ("what", "quad"),
    [
        ("mirrored", [(100, 0), (0, 0), (0, 100), (100, 100)]),
        ("folded", [(0, 0), (100, 0), (0, 100), (100, 100)]),
        ("not convex", [(0, 0), (100, 0), (20, 20), (0, 100)]),
        ("too sharp a corner", [(0, 0), (100, 0), (200, 20), (100, 20)]),
        ("a thin sliver", [(0, 0), (100, 0), (190, 10), (10, 3)]),
    ],
)
def test_mad_quadrilaterals_are_not_plausible(what: str, quad: list[tuple[float, float]]) -> None:
    assert not is_plausible(through_quad(quad), CORNERS), what


def test_a_quadrilateral_by_its_corners_is_plausible() -> None:
    assert is_plausible(through_quad([(0, 0), (100, 10), (90, 120), (-10, 100)]), CORNERS)


@pytest.mark.parametrize(
    "flaw",
    [
        "collapsed to a point",
        "collapsed to a line",
        "mirrored",
        "behind the camera",
        "nan",
        "infinite",
    ],
)
def test_degenerate_transforms_are_not_plausible(flaw: str) -> None:
    matrix = {
        "collapsed to a point": np.array([[0.0, 0, 5], [0, 0, 5], [0, 0, 1]]),
        "collapsed to a line": np.array([[1.0, 0, 5], [1, 0, 5], [0, 0, 1]]),
        "mirrored": np.diag([-1.0, 1, 1]),
        "behind the camera": np.array([[1.0, 0, 0], [0, 1, 0], [-0.004, 0, 1]]),
        "nan": np.full((3, 3), np.nan),
        "infinite": np.diag([1.0, 1, np.inf]),
    }[flaw]
    assert not is_plausible(matrix, CORNERS)


# --- the transform of matched points


def tilted(tilt_x: float, tilt_y: float, turn: float) -> Matrix:
    tilt = np.eye(3)
    tilt[2, :2] = tilt_x, tilt_y
    return similarity(1, turn) @ tilt


def best_affine(query: Matrix, image: Matrix) -> Matrix:
    matrix = np.eye(3)
    matrix[:2] = np.linalg.lstsq(np.column_stack([query, np.ones(len(query))]), image, rcond=None)[
        0
    ].T
    return matrix


tilts = st.floats(-6e-4, 6e-4)


@given(seeds, tilts, tilts, turns)
def test_homography_recovers_a_perspective(
    seed: int, tilt_x: float, tilt_y: float, turn: float
) -> None:
    true = tilted(tilt_x, tilt_y, turn)
    rng = np.random.default_rng(seed)
    query = rng.uniform(0, SIZE, (60, 2))
    image = project(true, query)
    image[:10] += rng.uniform(20, 60, (10, 2))
    found = fit_homography(query, image, 4.0)
    assert found is not None
    assert corner_error(found, true) < 1


@pytest.mark.parametrize(("tilt_x", "tilt_y"), [(6e-4, 0), (0, 6e-4), (8e-4, -6e-4), (-7e-4, 7e-4)])
def test_a_strong_perspective_is_settled_on(tilt_x: float, tilt_y: float) -> None:
    true = tilted(tilt_x, tilt_y, 0.7)
    rng = np.random.default_rng(8)
    query = rng.uniform(0, SIZE, (80, 2))
    image = project(true, query)
    start = best_affine(query, image)
    assert count_within(start, query, image, 4.0) < 70
    image[:10] += rng.uniform(20, 60, (10, 2))
    assert corner_error(select_transform(query, image, start, CORNERS, 4.0).matrix, true) < 1


@given(seeds, scales, turns)
def test_a_similarity_stays_one_in_noise(seed: int, scale: float, turn: float) -> None:
    true = similarity(scale, turn)
    rng = np.random.default_rng(seed)
    query = rng.uniform(0, SIZE, (50, 2))
    image = project(true, query) + rng.normal(size=(50, 2))
    image[:8] += rng.uniform(40, 80, (8, 2))
    rough = true.copy()
    rough[:2, 2] += 3
    found = select_transform(query, image, rough, CORNERS, 4.0).matrix
    assert np.allclose(
        found,
        [
            [found[0, 0], -found[1, 0], found[0, 2]],
            [found[1, 0], found[0, 0], found[1, 2]],
            [0, 0, 1],
        ],
    )
    assert corner_error(found, true) < 4


@given(seeds, turns)
def test_a_strong_shear_is_settled_on(seed: int, turn: float) -> None:
    true = similarity(1, turn)
    true[:2, :2] = true[:2, :2] @ np.array([[1.3, 0.35], [0, 0.8]])
    query = np.random.default_rng(seed).uniform(0, SIZE, (60, 2))
    image = project(true, query)
    found = select_transform(query, image, best_affine(query, image), CORNERS, 4.0).matrix
    assert corner_error(found, true) < 1


@example(4386, 6, 7.0, 1.0, 0.0)
@given(seeds, st.integers(0, 40), st.floats(0, 12), scales, turns)
def test_settling_costs_at_most_a_tenth_of_the_points_of_a_good_start(
    seed: int, count: int, noise: float, scale: float, turn: float
) -> None:
    start = similarity(scale, turn)
    rng = np.random.default_rng(seed)
    query = rng.uniform(0, SIZE, (count, 2))
    image = project(start, query) + rng.normal(size=(count, 2)) * noise
    found = select_transform(query, image, start, CORNERS, 4.0).matrix
    reach = 4 * max(1.0, scale)
    assert count_within(found, query, image, reach) >= 0.9 * count_within(
        start, query, image, reach
    )
    assert is_plausible(found, CORNERS)


@pytest.mark.parametrize("layout", ["a line", "one point", "two points", "two", "none"])
def test_degenerate_points_keep_a_plausible_transform(layout: str) -> None:
    along = np.linspace(0, SIZE, 20)
    query = {
        "a line": np.column_stack([along, along]),
        "one point": np.full((20, 2), 7.0),
        "two points": np.array([[0.0, 0], [9, 9]] * 10),
        "two": np.array([[0.0, 0], [90, 9]]),
        "none": np.zeros((0, 2)),
    }[layout]
    start = similarity(1.2, 0.3)
    found = select_transform(query, project(start, query), start, CORNERS, 4.0).matrix
    assert is_plausible(found, CORNERS)
    assert np.allclose(project(found, query), project(start, query), atol=1e-6)


@given(turns, scales, st.booleans(), st.floats(-3e-4, 3e-4))
def test_the_pose_is_that_of_the_transform(
    turn: float, scale: float, mirrored: bool, tilt: float
) -> None:
    point = np.array([120.0, 80.0])
    flip = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    middle = np.array([[1, 0, -point[0]], [0, 1, -point[1]], [0, 0, 1]])
    # leaves what is next to the point as it is
    bend = np.array([[1, 0, 0], [0, 1, 0], [tilt, 0, 1]])
    found, factor = decompose(
        np.linalg.inv(middle) @ similarity(scale, turn) @ bend @ flip @ middle, point, mirrored
    )
    assert factor == pytest.approx(scale)
    assert abs((found - np.degrees(turn) + 180) % 360 - 180) < 1e-6


def test_features_move_as_small_arrows_do() -> None:
    """Against differences: an arrow and the area of a small square, through a homography."""
    matrix = np.array([[1.1, -0.4, 30], [0.5, 0.8, -20], [4e-4, -3e-4, 1]])
    rng = np.random.default_rng(0)
    xy, scale = rng.uniform(0, 300, (50, 2)), rng.uniform(2, 50, 50)
    angle = rng.uniform(0, 2 * np.pi, 50)
    position, scaled, turned = move_features(matrix, xy @ (1, 1j), scale, angle)
    moved = project(matrix, xy)
    assert np.allclose(moved @ (1, 1j), position)
    arrow = 1e-4 * np.column_stack([np.cos(angle), np.sin(angle)])
    tip = project(matrix, xy + arrow) - moved
    away = np.angle(np.exp(1j * (np.arctan2(tip[:, 1], tip[:, 0]) - turned)))
    assert np.abs(away).max() < 1e-4
    right, down = (project(matrix, xy + 1e-4 * np.eye(2)[axis]) - moved for axis in (0, 1))
    area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
    assert np.allclose(scaled, scale * np.sqrt(area) / 1e-4, rtol=1e-4)
    assert (turned >= 0).all()
    assert (turned < 2 * np.pi).all()


def test_what_is_mirrored_or_on_the_horizon_has_no_scale() -> None:
    mirror = np.diag([-1.0, 1, 1])
    one = np.ones(1)
    assert np.isnan(move_features(mirror, one + 0j, one, one)[1]).all()
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 1]])
    assert np.isnan(move_features(horizon, one + 0j, one, one)[1]).all()


def scaled(factor: float, x: float, y: float) -> Matrix:
    """Pixels -> pixels: the top left corner of the picture comes to x, y."""
    shift = 0.5 * (factor - 1)
    return np.array([[factor, 0, x + shift], [0, factor, y + shift], [0, 0, 1]])


@pytest.mark.parametrize(
    ("matrix", "box", "shares"),
    [
        (np.eye(3), (0, 0, 200, 100), (1, 1)),
        (scaled(0.5, 0, 0), (0, 0, 200, 100), (1, 0.25)),
        (scaled(2, 0, 0), (0, 0, 200, 100), (0.25, 1)),
        (scaled(1, 100, 0), (0, 0, 200, 100), (0.5, 0.5)),
        (scaled(1, -150, 75), (0, 0, 200, 100), (1 / 16, 1 / 16)),
        (scaled(1, 0, 0), (50, 50, 100, 50), (1, 0.25)),
        (scaled(1, 200, 0), (0, 0, 200, 100), (0, 0)),
        (-3 * np.eye(3), (0, 0, 200, 100), (1, 1)),
        (np.array([[-1.0, 0, 199], [0, 1, 0], [0, 0, 1]]), (0, 0, 200, 100), (1, 1)),
    ],
)
def test_overlaps_by_hand(
    matrix: Matrix, box: tuple[int, int, int, int], shares: tuple[float, float]
) -> None:
    assert overlaps(matrix, box, (200, 100)) == pytest.approx(shares, abs=1e-12)


@given(seeds)
def test_overlaps_are_those_of_sampled_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-50, 150, 2).tolist()
    matrix = similarity(rng.uniform(0.3, 3), rng.uniform(-3, 3), (x, y))
    matrix[2, :2] = rng.normal(0, 2e-3, 2)  # its horizon may cross the picture
    grid = np.meshgrid(np.arange(-0.25, 119.5, 0.5), np.arange(-0.25, 89.5, 0.5))
    points = np.column_stack([each.ravel() for each in grid])
    depth = points @ matrix[2, :2] + 1
    middle = np.array([59.5, 44.5]) @ matrix[2, :2] + 1
    seen = project(matrix, points)
    with np.errstate(invalid="ignore"):
        inside = (seen > -0.5).all(axis=1) & (seen < (159.5, 119.5)).all(axis=1)
    share, image_share = overlaps(matrix, (0, 0, 120, 90), (160, 120))
    assert share == pytest.approx(float((inside & (depth * middle > 0)).mean()), abs=0.02)
    assert 0 <= image_share <= 1
