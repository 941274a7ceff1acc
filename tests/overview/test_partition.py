"""Clusters of vectors: against definitions written out, and what few or equal vectors give."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bovw.overview import partition
from bovw.overview.partition import cluster_vectors


def blobs(sizes: list[int], seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors of unit length about so many directions, mixed, and which each belongs to."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    vectors = np.eye(len(sizes), 16)[owner] + rng.normal(size=(len(owner), 16)) * 0.05
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), owner


def same_partition(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def brute_average_linkage(vectors: NDArray[np.float32], limit: float) -> NDArray[np.int64]:
    """Average linkage by its definition: join the two clusters whose members are nearest on
    average, until these are further apart than the limit.
    """
    away = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    groups = [[place] for place in range(len(vectors))]
    while len(groups) > 1:
        means = [
            (away[np.ix_(one, other)].mean(), first, first + 1 + second)
            for first, one in enumerate(groups)
            for second, other in enumerate(groups[first + 1 :])
        ]
        nearest, first, second = min(means)
        if nearest > limit:
            break
        groups[first] += groups.pop(second)
    labels = np.zeros(len(vectors), np.int64)
    for number, group in enumerate(groups):
        labels[group] = number
    return labels


@pytest.mark.parametrize("limit", [0.2, 0.7, 1.0])
def test_average_linkage_is_its_definition(limit: float) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = cluster_vectors(vectors, distance=limit, least=1)
    assert same_partition(found, brute_average_linkage(vectors, limit))


@pytest.mark.parametrize("way", ["linkage", "kmeans", "confident"])
def test_what_lies_together_is_one_cluster_and_the_largest_comes_first(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, owner = blobs([5, 30, 12])
    if way == "kmeans":
        monkeypatch.setattr(partition, "LINKAGE_MOST", 10)
    found = cluster_vectors(
        vectors, confident=way == "confident", count=3 if way == "kmeans" else None, least=4
    )
    assert np.array_equal(
        found,
        cluster_vectors(
            vectors, confident=way == "confident", count=3 if way == "kmeans" else None, least=4
        ),
    )
    kept = found > 0
    assert kept.mean() > 0.6
    assert same_partition(found[kept], owner[kept]) or way == "confident"
    sizes = np.bincount(found)[1:]
    assert (np.diff(sizes) <= 0).all()
    for number in range(1, found.max() + 1):
        assert len(set(owner[found == number].tolist())) == 1


def test_count_is_the_most_and_least_leaves_small_ones_alone() -> None:
    vectors, owner = blobs([9, 6, 1])
    assert cluster_vectors(vectors, count=2, least=1).max() == 2
    found = cluster_vectors(vectors, least=2)
    assert found.tolist() == np.array([1, 2, 0])[owner].tolist()
    # vectors that rounding makes equal stay together
    assert cluster_vectors(vectors, count=1000, least=1).max() >= len(vectors) - 2


@pytest.mark.parametrize("confident", [False, True])
@pytest.mark.parametrize("count", range(6))
def test_few_and_equal_vectors(confident: bool, count: int) -> None:
    equal = np.full((count, 4), 0.5, np.float32)
    expected = [0 if count < 2 else 1] * count
    # two that differ at all are as far apart as the mean of all pairs
    assert cluster_vectors(np.eye(2, dtype=np.float32)).tolist() == [0, 0]
    assert cluster_vectors(equal, least=2).tolist() == expected
    assert len(cluster_vectors(equal, confident=confident, least=3)) == count
    assert cluster_vectors(equal, least=1).tolist() == [1] * count
