"""Least squares for many sets at once: what NumPy's solver gives for each set alone."""

from __future__ import annotations

import numpy as np
import pytest

from bovw.geometry.fitting import AffineMaps, fit_transforms
from tests.helpers.matching import complex_of, similarity
from tests.helpers.pictures import Matrix


def fitted(
    sets: list[tuple[Matrix, Matrix, Matrix]], affine_points: int
) -> tuple[AffineMaps, list[Matrix]]:
    """The transforms of sets of points, points and weights; each also as a matrix (2, 3)."""
    query, image, weight = (np.concatenate(each) for each in zip(*sets, strict=True))
    number = np.repeat(np.arange(len(sets)), [len(each[0]) for each in sets])
    maps = fit_transforms(
        complex_of(query), complex_of(image), weight, number, len(sets), affine_points
    )
    return maps, [np.column_stack(each) for each in zip(maps.linear, maps.shift, strict=True)]


def sets_of(counts: list[int], noise: float) -> list[tuple[Matrix, Matrix, Matrix]]:
    rng = np.random.default_rng(3)
    sets = []
    for number, count in enumerate(counts):
        query = rng.uniform(0, 300, (count, 2))
        matrix = similarity(1 + number / 3, number)
        image = query @ matrix[:2, :2].T + matrix[:2, 2] + rng.normal(size=(count, 2)) * noise
        sets.append((query, image, rng.uniform(0.5, 2, count)))
    return sets


def test_affine_transforms_are_those_of_a_solver() -> None:
    sets = sets_of([7, 30, 12], noise=5)
    for (query, image, weight), found in zip(sets, fitted(sets, 6)[1], strict=True):
        root = np.sqrt(weight)[:, None]
        columns = np.column_stack([query, np.ones(len(query))])
        expected = np.linalg.lstsq(columns * root, image * root, rcond=None)[0].T
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_similarities_are_those_of_a_solver() -> None:
    sets = sets_of([3, 5, 40], noise=5)
    for (query, image, weight), found in zip(sets, fitted(sets, 50)[1], strict=True):
        (a, b, x), (c, d, y) = found
        assert (d, c) == (a, -b)
        ones, root = np.ones(len(query)), np.sqrt(np.tile(weight, 2))
        rows = np.block(
            [
                [query[:, :1], -query[:, 1:], ones[:, None], 0 * ones[:, None]],
                [query[:, 1:], query[:, :1], 0 * ones[:, None], ones[:, None]],
            ]
        )
        expected = np.linalg.lstsq(rows * root[:, None], image.T.ravel() * root, rcond=None)[0]
        np.testing.assert_allclose([a, c, x, y], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("affine_points", "is_affine"), [(8, True), (9, False)])
def test_points_without_weight_carry_no_affine_transform(
    affine_points: int, is_affine: bool
) -> None:
    ((query, image, weight),) = sets_of([10], noise=5)
    weight[:2] = 0
    ((a, b, _), (c, d, _)) = fitted([(query, image, weight)], affine_points)[1][0]
    assert ((d, c) != (a, -b)) == is_affine


def test_points_on_a_line_give_a_similarity() -> None:
    along = np.column_stack([np.arange(20.0), 2 * np.arange(20.0)])
    matrix = similarity(1.5, 0.4)
    image = along @ matrix[:2, :2].T + matrix[:2, 2]
    maps, (found,) = fitted([(along, image, np.ones(20))], 6)
    np.testing.assert_allclose(found, matrix[:2], atol=1e-9)
    assert maps.magnification() == pytest.approx([1.5])
    assert np.angle(maps.rotation()) == pytest.approx([0.4])
    z, y = complex_of(along), complex_of(image) + (3 + 4j)
    assert maps.distances(np.zeros(20, np.int64), z, y) == pytest.approx(np.full(20, 5.0))
