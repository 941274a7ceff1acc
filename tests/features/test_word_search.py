"""The search for the nearest words: its pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bovw import kernel
from bovw.features import word_search
from bovw.features.word_search import WordSearch, top_k_rows


def test_the_top_of_each_row_with_ties_to_the_lower_column() -> None:
    values = np.array([[3, 7, 7, 5], [2, 2, 2, 2]], np.float32)
    columns, highest = top_k_rows(values, 3)
    assert columns.tolist() == [[1, 2, 3], [0, 1, 2]]
    assert highest.tolist() == [[7, 7, 5], [2, 2, 2]]


@given(st.integers(0, 5), st.integers(0, 6), st.integers(0, 9), st.integers(0, 1000))
def test_the_top_of_each_row_is_that_of_a_stable_sort(
    rows: int, width: int, count: int, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (rows, width)).astype(np.float32)
    expected = np.argsort(-values, axis=1, kind="stable")[:, :count]
    columns, highest = top_k_rows(values.copy(), count)
    assert np.array_equal(columns, expected)
    assert np.array_equal(highest, np.take_along_axis(values, expected, axis=1))


@pytest.mark.parametrize("visited", [0, 20, 1 << 18])
def test_nearest_words_do_not_depend_on_how_cells_are_grouped(
    monkeypatch: pytest.MonkeyPatch, visited: int
) -> None:
    # the compiled loop has a test of its own
    monkeypatch.setattr(kernel, "library", lambda: None)
    monkeypatch.setattr(word_search, "VISITED", visited)
    rng = np.random.default_rng(2)
    sizes = [3, 0, 8, 1, 5]
    words = rng.integers(0, 3, (sum(sizes), 4)).astype(np.float32)
    centres = rng.integers(0, 3, (5, 4)).astype(np.float32)
    search = WordSearch(lambda: np.split(words, np.cumsum(sizes)[:-1]), centres, 1)
    points = rng.integers(0, 3, (50, 4)).astype(np.float32)
    distances = ((points[:, None] - words) ** 2).sum(axis=2)
    expected = np.argsort(distances, axis=1, kind="stable")
    assert np.array_equal(search.nearest(points, 17, 5), expected)
    to_cells = np.argsort(((points[:, None] - centres) ** 2).sum(axis=2), axis=1, kind="stable")
    cell = np.repeat(np.arange(5), sizes)
    # three cells hold at least four words
    for row, near, found in zip(
        expected, to_cells[:, :3], search.nearest(points, 4, 3), strict=True
    ):
        assert found.tolist() == [word for word in row if cell[word] in near][:4]
