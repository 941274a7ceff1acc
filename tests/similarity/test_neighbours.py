"""Nearest neighbours are those of all products, one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bovw.similarity import neighbours
from bovw.similarity.neighbours import cosines, nearest

whole = st.integers(-127, 127)


@given(
    st.tuples(st.integers(0, 12), st.integers(1, 9)).flatmap(
        lambda shape: st.tuples(
            arrays(np.int8, shape, elements=whole), arrays(np.int8, shape[1:], elements=whole)
        )
    ),
    st.integers(1, 40),
)
def test_cosines_are_those_of_whole_numbers(
    given_arrays: tuple[np.ndarray, np.ndarray], block: int
) -> None:
    vectors, query = given_arrays
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", block)
        found = cosines(vectors, query)
    wanted = [int(each) for each in query]
    for row, cosine in zip(vectors.tolist(), found.tolist(), strict=True):
        product = sum(one * other for one, other in zip(row, wanted, strict=True))
        lengths = math.hypot(*row) * math.hypot(*wanted)
        assert cosine == pytest.approx(product / lengths if lengths else 0, abs=1e-6)


def test_the_order_of_summation_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(100, 128, (50, 1040)).astype(np.int8)
    order = rng.permutation(1040)
    found = cosines(vectors, vectors[0])
    assert np.array_equal(found, cosines(vectors[:, order], vectors[0, order]))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans())), st.integers(1, 9))
def test_the_first_are_eligible_and_ties_go_by_id(images: list[tuple[float, bool]], k: int) -> None:
    names = [f"{(number * 7) % 50:02d}" for number in range(len(images))]
    scores = np.array([score for score, _ in images], np.float32)
    eligible = np.array([flag for _, flag in images], bool)
    found = nearest(scores, eligible, k, names.__getitem__).tolist()
    rows = [row for row, (_, flag) in enumerate(images) if flag]
    assert found == sorted(rows, key=lambda row: (-images[row][0], names[row]))[:k]
