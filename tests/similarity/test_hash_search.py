"""Close hashes are those that brute force finds, whatever way they are looked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw.similarity.hash_search import cheapest_parts, close_pairs, close_to, pairs_by_parts

Hashes = NDArray[np.uint64]


@st.composite
def hash_lists(draw: st.DrawFn) -> Hashes:
    """Hashes that are equal, differ in a few bits, or have nothing to do with one another."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    bases = rng.integers(0, 1 << 64, draw(st.integers(1, 4)), dtype=np.uint64)
    bases[0] = draw(st.sampled_from([0, (1 << 64) - 1, 12345]))
    count = draw(st.integers(0, 40))
    found = bases[rng.integers(0, len(bases), count)]
    for _ in range(draw(st.integers(0, 9))):
        flip = np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64)
        found ^= np.where(rng.random(count) < 0.7, flip, np.uint64(0))
    return found


def brute_force(hashes: Hashes, others: Hashes | None, radius: int) -> list[tuple[int, int, int]]:
    rest = hashes if others is None else others
    return [
        (one, other, bits)
        for one, first in enumerate(hashes.tolist())
        for other, second in enumerate(rest.tolist())
        if (bits := (first ^ second).bit_count()) <= radius and (others is not None or one < other)
    ]


def listed(columns: tuple[NDArray[np.integer], ...]) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


@given(hash_lists(), st.integers(0, 12), st.booleans())
def test_pairs_are_those_of_brute_force(hashes: Hashes, radius: int, among: bool) -> None:
    others = None if among else hashes[::2] ^ np.uint64(5)
    expected = brute_force(hashes, others, radius)
    assert listed(close_pairs(hashes, radius, others)) == expected
    for parts in range(radius + 1, radius + 3):
        found = [
            row for chunk in pairs_by_parts(hashes, others, radius, parts) for row in listed(chunk)
        ]
        assert sorted(found) == expected  # each of them once


@given(hash_lists(), st.integers(0, (1 << 64) - 1), st.integers(0, 64))
def test_a_look_up_is_that_of_brute_force(hashes: Hashes, wanted: int, radius: int) -> None:
    expected = [
        (number, bits)
        for number, each in enumerate(hashes.tolist())
        if (bits := (each ^ wanted).bit_count()) <= radius
    ]
    assert listed(close_to(hashes, wanted, radius)) == expected


@pytest.mark.parametrize("radius", [3, 5])
def test_many_hashes_are_not_compared_with_all(radius: int) -> None:
    """Comparing a million hashes with one another takes ten minutes, by parts seconds."""
    assert cheapest_parts(1_000_000, None, radius) > radius
    assert cheapest_parts(100, None, radius) == 0
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 1 << 64, 60_000, dtype=np.uint64)
    hashes[1000:1200] = hashes[:200] ^ np.uint64((1 << radius) - 1)
    assert cheapest_parts(len(hashes), None, radius) > radius
    first, second, bits = close_pairs(hashes, radius)
    assert first.tolist() == list(range(200))
    assert second.tolist() == list(range(1000, 1200))
    assert set(bits.tolist()) == {radius}
