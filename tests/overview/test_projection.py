"""Maps: trustworthiness as of scikit-learn, neighbours that stay, grids without overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness

from bovw.errors import MissingLibraryError
from bovw.overview.grid import grid_cells, grid_shape
from bovw.overview.projection import project, trust_in
from tests.overview.test_partition import blobs


def random_vectors(count: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("count", [3, 4, 10, 26, 60])
def test_trustworthiness_is_that_of_scikit_learn(count: int) -> None:
    vectors = random_vectors(count, count)
    positions = np.random.default_rng(1).normal(size=(count, 2))
    trust = trust_in(vectors, positions)
    assert trust is not None and trust.count == count
    expected = trustworthiness(vectors, positions, n_neighbors=trust.neighbours)
    assert trust.value == pytest.approx(expected, abs=1e-9)
    assert trust_in(vectors[:2], positions[:2]) is None


def test_neighbours_stay_neighbours_and_the_map_is_the_same_again() -> None:
    vectors, owner = blobs([20, 20, 20])
    positions = project(vectors, "tsne", 10)
    assert np.array_equal(positions, project(vectors, "tsne", 10))
    assert positions[:, 0].std() >= positions[:, 1].std()
    away = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(away, np.inf)
    assert (owner[away.argmin(axis=1)] == owner).all()


@pytest.mark.parametrize("count", range(8))
def test_few_and_equal_vectors_have_places(count: int) -> None:
    for vectors in (random_vectors(count, 0), np.full((count, 4), 0.5, np.float32)):
        positions = project(vectors, "tsne", 30)
        assert positions.shape == (count, 2)
        assert np.isfinite(positions).all()


def test_umap_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingLibraryError, match=r"bovw\[umap\]"):
        project(random_vectors(9, 0), "umap", 5)


@given(st.integers(0, 700), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=15)
def test_no_two_have_one_cell_and_all_lie_in_the_grid(count: int, seed: int, equal: bool) -> None:
    positions = np.random.default_rng(seed).normal(size=(count, 2)) * (not equal)
    cells = grid_cells(positions)
    assert len(set(map(tuple, cells.tolist()))) == count
    assert ((cells >= 0) & (cells < grid_shape(count))).all()
    rows, columns = grid_shape(count)
    assert count <= rows * columns < count + columns or not count


def test_a_grid_keeps_a_grid_in_its_order() -> None:
    wanted = np.argwhere(np.ones((30, 30), bool))
    order = np.random.default_rng(0).permutation(900)
    cells = grid_cells((wanted[order][:, ::-1] * 7.5).astype(np.float64))
    assert np.array_equal(cells, wanted[order])
