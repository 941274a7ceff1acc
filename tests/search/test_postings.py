"""Postings close to a query: how their lists are cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bovw.search.postings import cut_lists


def test_five_postings_in_blocks_of_two() -> None:
    pieces = cut_lists(np.array([10, 40]), np.array([3, 2]), 2)
    assert pieces.cuts.tolist() == [0, 2, 3, 4, 5]
    assert pieces.list_number.tolist() == [0, 0, 1, 1]
    assert pieces.starts.tolist() == [10, 12, 40, 41]
    assert pieces.blocks == [(0, 1), (1, 3), (3, 4)]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9))), st.integers(1, 12))
def test_pieces_hold_the_postings_of_all_lists(lists: list[tuple[int, int]], block: int) -> None:
    starts = np.array([start for start, _ in lists], np.int64)
    lengths = np.array([length for _, length in lists], np.int64)
    pieces = cut_lists(starts, lengths, block)
    found = [
        (number, start + place)
        for number, start, (first, last) in zip(
            pieces.list_number.tolist(),
            pieces.starts.tolist(),
            pairwise(pieces.cuts.tolist()),
            strict=True,
        )
        for place in range(last - first)
    ]
    assert found == [
        (number, start + place)
        for number, (start, length) in enumerate(lists)
        for place in range(length)
    ]
    assert [n for first, last in pieces.blocks for n in range(first, last)] == list(
        range(len(pieces.starts))
    )
    sizes = [int(pieces.cuts[last] - pieces.cuts[first]) for first, last in pieces.blocks]
    assert all(size == block for size in sizes[:-1]) and all(0 < size <= block for size in sizes)
