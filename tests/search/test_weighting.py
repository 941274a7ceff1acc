"""Weights against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bovw.search.weighting import cosine, idf, length_norm, votes


def test_idf_is_the_logarithm_of_one_plus_rarity() -> None:
    found = idf(np.array([1, 2, 10, 0]), 10)
    assert found.tolist() == pytest.approx([2.397895, 1.791759, 0.693147, 0], abs=1e-6)


def test_idf_of_an_empty_index_is_zero() -> None:
    assert idf(np.zeros(3, np.int64), 0).tolist() == [0, 0, 0]
    assert idf(np.zeros(0, np.int64), 5).shape == (0,)


def test_idf_takes_the_counts_in_any_integer_type() -> None:
    for dtype in (np.uint8, np.int32, np.uint32, np.int64):
        assert idf(np.array([3], dtype), 300).tolist() == pytest.approx([4.615121], abs=1e-6)


def test_votes_fall_with_the_hamming_distance() -> None:
    found = votes(np.array([2.0, 2.0, 2.0, 0.0]), np.array([0, 16, 32, 0]), 16.0)
    assert found.tolist() == pytest.approx([4, 4 * 0.36787944, 4 * 0.01831564, 0], abs=1e-6)


def test_votes_take_distances_as_bytes_without_overflow() -> None:
    found = votes(np.ones(2), np.array([20, 64], np.uint8), 16.0)
    assert found.tolist() == pytest.approx([0.20961139, 1.1253517e-07], rel=1e-6)


def test_length_norm_is_a_power_with_a_floor() -> None:
    assert length_norm(np.array([0, 10, 50, 100, 400]), 0.5).tolist() == pytest.approx(
        [7.0710678, 7.0710678, 7.0710678, 10, 20]
    )
    assert length_norm(np.array([0, 1000]), 0.0).tolist() == [1, 1]
    assert length_norm(np.array([64, 65_535], np.uint16), 1.0).tolist() == [64, 65_535]


def test_cosine_terms_sum_to_the_dot_product_of_weighted_histograms() -> None:
    query, image, rarity = (
        np.array([1.0, 2.0, 0.0]),
        np.array([3.0, 1.0, 5.0]),
        np.array([0.5, 2.0, 1.0]),
    )
    terms = cosine(query, image, rarity)
    assert terms.tolist() == [0.75, 8, 0]
    assert terms.sum() == pytest.approx(float((query * rarity) @ (image * rarity)))
