"""Ragged arrays: what tells the list of an item is what a bisection says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bovw.arrays import (
    EDGE_BITS,
    MIXED,
    RUN,
    RunTable,
    bisect_lists,
    lexicographic_order,
    list_blocks,
    ranges,
    sorted_unique,
    starts_of,
)

# empty lists, lists of one item, and lists that end at, just before and just after the end of a run
lengths = st.one_of(
    st.integers(0, 3), st.sampled_from([RUN - 1, RUN, RUN + 1, 2 * RUN]), st.integers(0, 3 * RUN)
)


@given(st.lists(lengths, max_size=60))
@example([])
@example([0])
@example([0, 0, 1, 0])
@example([RUN, RUN, RUN])
@example([RUN, 0, RUN])
@example([1] * 3 * RUN)
def test_owners_are_those_of_a_bisection(sizes: list[int]) -> None:
    starts = starts_of(sizes)
    items = np.arange(starts[-1])
    found = RunTable(starts).owner_of(items)
    assert found.dtype == np.int64
    assert np.array_equal(found, np.repeat(np.arange(len(sizes)), sizes))
    shuffled = np.random.default_rng(0).permutation(items)
    assert np.array_equal(RunTable(starts).owner_of(shuffled), found[shuffled])


def test_most_items_take_no_bisection() -> None:
    table = RunTable(np.array([0, 300, 310, 512]))
    assert (table.packed & MIXED).tolist() == [RUN, MIXED]
    assert (table.packed >> EDGE_BITS).tolist() == [0, 0]
    table = RunTable(np.array([0, 300, 700, 1024]))
    assert (table.packed & MIXED).tolist() == [256, 44, 188, 256]
    assert (table.packed >> EDGE_BITS).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("lists", [(1 << 23) - 1, 1 << 23])
def test_lists_beyond_32_bits_are_told_apart(lists: int) -> None:
    table = RunTable(np.arange(lists + 1))
    items = np.array([0, 1, lists - 2, lists - 1])
    assert table.owner_of(items).tolist() == items.tolist()
    assert table.packed.dtype == (np.uint32 if lists < 1 << 23 else np.uint64)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5))))
def test_ranges_by_definition(rows: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in rows], np.int64)
    sizes = np.array([size for _, size in rows], np.int64)
    row, item = ranges(starts, sizes)
    expected = [(n, start + k) for n, (start, size) in enumerate(rows) for k in range(size)]
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == expected


@given(st.lists(st.integers(0, 9)), st.integers(1, 20))
def test_blocks_hold_all_lists_in_order_within_the_limit(sizes: list[int], limit: int) -> None:
    starts = starts_of(sizes)
    blocks = list(list_blocks(starts, limit))
    assert [n for first, last in blocks for n in range(first, last)] == list(range(len(sizes)))
    for first, last in blocks:
        assert last == first + 1 or starts[last] - starts[first] <= limit


@given(st.lists(st.lists(st.integers(0, 20), max_size=9).map(sorted), max_size=8), st.integers())
@example([], 0)
@example([[], [3, 3], [], [4]], 3)
@example([[1], [2]], 2)
def test_lists_are_bisected_each_by_itself(lists: list[list[int]], bound: int) -> None:
    bound %= 22
    starts = starts_of([len(each) for each in lists])
    values = np.array([value for each in lists for value in each], np.uint32)
    expected = [
        start + int(np.searchsorted(each, bound))
        for start, each in zip(starts.tolist(), lists, strict=False)
    ]
    assert bisect_lists(values, starts, bound).tolist() == expected


@given(st.lists(st.integers(-5, 5)))
def test_distinct_numbers_ascend(values: list[int]) -> None:
    assert sorted_unique(np.array(values, np.int64)).tolist() == sorted(set(values))


@pytest.mark.parametrize("largest", [3, 1 << 30])  # one number holds a row, or does not
@given(rows=st.sets(st.tuples(*[st.integers(0, 3)] * 3)))
def test_rows_are_ordered_by_their_columns(rows: set[tuple[int, int, int]], largest: int) -> None:
    rows = {(first, second, third * largest // 3) for first, second, third in rows}
    rows |= {(largest, largest, largest)}
    columns = np.array(list(rows)).T
    ordered = columns[:, lexicographic_order(*columns)]
    assert list(map(tuple, ordered.T.tolist())) == sorted(rows)
