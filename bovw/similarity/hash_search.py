"""Hashes of 64 bits that are close to one another: exactly, with nothing but arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from ..arrays import list_blocks, ranges, starts_of

__all__ = ["BITS", "close_pairs", "close_to"]

BITS = 64
Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]
# Hashes that are compared at a time, so that what is worked out of them stays in the cache.
BLOCK = 1 << 15
# Pairs that are looked at together.
PAIRS = 1 << 21
# What comparing all, comparing what agrees in some parts, and sorting costs: nanoseconds a pair, a
# pair and a hash.
ALL_COST, PAIR_COST, SORT_COST = 0.8, 25.0, 60.0
# So many parts are tried at most.
MOST_PARTS = 12


def close_to(hashes: Hashes, wanted: int, radius: int) -> tuple[Numbers, NDArray[np.uint8]]:
    """Which of some hashes (n,) differ from one in at most `radius` bits, ascending, and in how
    many.
    """
    one, found, distances = np.uint64(wanted), list[Numbers](), list[NDArray[np.uint8]]()
    for first in range(0, len(hashes), BLOCK):
        distance = np.bitwise_count(hashes[first : first + BLOCK] ^ one)
        rows = (distance <= radius).nonzero()[0]
        found.append(rows + first)
        distances.append(distance[rows])
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    return np.concatenate(found), np.concatenate(distances)


def close_pairs(
    hashes: Hashes, radius: int, others: Hashes | None = None
) -> tuple[Numbers, Numbers, NDArray[np.uint8]]:
    """All pairs of hashes that differ in at most `radius` bits: numbers (p,) of the first and of
    the second, and in how many bits; ordered by the first, then by the second.

    Two hashes that differ in r bits agree in at least m - r of m parts. So for every choice of m -
    r parts the hashes are sorted by these bits, and neighbours that agree in them are compared
    (Norouzi, Punjani, Fleet: Multi-index hashing, CVPR 2012, with more than one part at a time).
    Where that would take longer, all are compared with all.

    Args:
        hashes: (n,); without `others` the pairs are those among them, first < second.
        radius: 0 to 63.
        others: (k,), where the second of each pair is.
    """
    parts = cheapest_parts(len(hashes), None if others is None else len(others), radius)
    found = (
        pairs_by_parts(hashes, others, radius, parts)
        if parts
        else all_pairs(hashes, others, radius)
    )
    chunks = list(found)
    if not chunks:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    first, second, distance = (np.concatenate(column) for column in zip(*chunks, strict=True))
    order = np.lexsort((second, first))
    return first[order], second[order], distance[order]


def cheapest_parts(count: int, others: int | None, radius: int) -> int:
    """The number of parts to cut hashes into, 0 to compare all."""
    pairs = count * (count - 1) / 2 if others is None else float(count * others)
    sorted_hashes = count if others is None else count + others
    costs = {0: ALL_COST * pairs}
    for parts in range(radius + 1, MOST_PARTS + 1):
        choices, agreeing = math.comb(parts, radius), parts - radius
        alike = pairs / 2.0 ** (BITS * agreeing // parts)
        costs[parts] = choices * (SORT_COST * sorted_hashes + PAIR_COST * alike)
    return min(costs, key=lambda parts: costs[parts])


Chunk = tuple[Numbers, Numbers, NDArray[np.uint8]]


def all_pairs(hashes: Hashes, others: Hashes | None, radius: int) -> Iterator[Chunk]:
    """The close pairs, found by comparing all."""
    for number, one in enumerate(hashes.tolist()):
        skipped = number + 1 if others is None else 0
        rest = hashes[skipped:] if others is None else others
        second, distance = close_to(rest, one, radius)
        if len(second):
            yield np.full(len(second), number), second + skipped, distance


def pairs_by_parts(
    hashes: Hashes, others: Hashes | None, radius: int, parts: int
) -> Iterator[Chunk]:
    """The close pairs, each of them found in the first parts that it agrees in."""
    masks = part_masks(parts)
    for chosen in combinations(range(parts), parts - radius):
        mask = np.bitwise_or.reduce(masks[list(chosen)])
        # a pair that agrees in a part before the last chosen one is found with that one
        earlier = [masks[part] for part in range(chosen[-1]) if part not in chosen]
        for first, second in pairs_that_agree(hashes, others, mask):
            differing = hashes[first] ^ (hashes if others is None else others)[second]
            distance = np.bitwise_count(differing)
            near = (distance <= radius).nonzero()[0]
            for one in earlier:
                near = near[(differing[near] & one) != 0]
            if len(near):
                yield first[near], second[near], distance[near]


def part_masks(parts: int) -> Hashes:
    """The bits of each of some parts of nearly the same length: (parts,)."""
    ends = [BITS * part // parts for part in range(parts + 1)]
    return np.array(
        [(1 << last) - (1 << first) for first, last in pairwise(ends)],
        np.uint64,
    )


def pairs_that_agree(
    hashes: Hashes, others: Hashes | None, mask: np.uint64
) -> Iterator[tuple[Numbers, Numbers]]:
    """All pairs of hashes that agree in the bits of a mask, in blocks."""
    order, keys = ordered_by(hashes, mask)
    if others is None:
        partners, low = order, np.arange(1, len(keys) + 1)
        high = np.searchsorted(keys, keys, side="right")
    else:
        partners, other_keys = ordered_by(others, mask)
        low, high = (np.searchsorted(other_keys, keys, side=side) for side in ("left", "right"))
    counts = high - low
    rows = np.flatnonzero(counts)
    low, counts = low[rows], counts[rows]
    for first, last in list_blocks(starts_of(counts), PAIRS):
        row, place = ranges(low[first:last], counts[first:last])
        one, other = order[rows[first:last]][row], partners[place]
        if others is None:
            one, other = np.minimum(one, other), np.maximum(one, other)
        yield one, other


def ordered_by(hashes: Hashes, mask: np.uint64) -> tuple[Numbers, Hashes]:
    """Numbers of hashes, ordered by the bits of a mask, and these bits."""
    keys = hashes & mask
    order = np.argsort(keys)
    return order, keys[order]
