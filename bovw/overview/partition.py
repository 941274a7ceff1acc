"""Vectors into clusters: average linkage, k-means, or only what is dense (HDBSCAN)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .components import SEED, one_thread, principal

__all__ = ["LINKAGE_MOST", "SHARE", "cluster_vectors", "ordered"]

# Average linkage keeps the distances of all pairs: 8 bytes each, 400 MB for so many vectors.
LINKAGE_MOST = 10_000
# Clusters stay apart that are further apart than this share of the mean distance of all pairs: so
# it fits whatever is compared (docs/map.md has what others do).
SHARE = 0.7
# What lies dense: so many principal components, and so many neighbours at least.
DENSE_DIMENSIONS, DENSE_LEAST = 100, 3
# Rows of distances that are computed together.
BLOCK = 256


def cluster_vectors(
    vectors: NDArray[np.float32],
    *,
    count: int | None = None,
    distance: float | None = None,
    confident: bool = False,
    least: int = 2,
) -> NDArray[np.int64]:
    """The cluster of each of some vectors of unit length (n, d): numbers (n,) from 1, the largest
    first, and of equal ones that with the earliest member; 0 for what is in none.

    Up to LINKAGE_MOST vectors are joined by average linkage on cosine distance; more are divided
    by k-means (Sculley, WWW 2010). The same vectors have the same clusters.

    Args:
        count: how many clusters at most, before small ones are dropped.
        distance: clusters further apart than this stay apart; SHARE of the mean distance of all
            pairs if neither is given. Not for k-means, which makes root(n) clusters by default.
        confident: only what lies dense, by HDBSCAN (Campello, PAKDD 2013), leaves of the tree:
            many vectors are in no cluster, the others more surely in the right one.
        least: a cluster of fewer vectors is none; 3 at least if `confident`.
    """
    least = max(least, DENSE_LEAST) if confident else least
    if len(vectors) < max(2, least):
        found = np.zeros(len(vectors), np.int64) - (least > 1)
    else:
        with one_thread():
            if confident:
                found = dense_labels(vectors, least)
            elif len(vectors) > LINKAGE_MOST:
                found = kmeans_labels(vectors, count or round(len(vectors) ** 0.5))
            else:
                limit = SHARE * mean_distance(vectors) if distance is None else distance
                found = linkage_labels(vectors, count, limit)
    return ordered(found, least)


def linkage_labels(
    vectors: NDArray[np.float32], count: int | None, distance: float
) -> NDArray[np.int64]:
    """Labels (n,) by average linkage: at most `count` clusters or, if that is None, those that are
    at most `distance` apart.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(cosine_distances(vectors), "average")
    if count is not None:
        return np.asarray(fcluster(tree, count, "maxclust"), np.int64)
    return np.asarray(fcluster(tree, distance, "distance"), np.int64)


def mean_distance(vectors: NDArray[np.float32]) -> float:
    """The mean cosine distance of all pairs of vectors of unit length; a little above 0 at least,
    which equal ones are apart by rounding.
    """
    count = len(vectors)
    total = vectors.sum(axis=0, dtype=np.float64)
    return max(1e-5, 1 - float(total @ total - count) / (count * (count - 1)))


def cosine_distances(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine distances of all pairs of vectors of unit length, in the order of the rows of the
    upper triangle, as SciPy takes them.
    """
    count = len(vectors)
    distances = np.empty(count * (count - 1) // 2)
    start = 0
    for first in range(0, count, BLOCK):
        products = vectors[first : first + BLOCK] @ vectors[first:].T
        for row, values in enumerate(products):
            end = start + count - first - row - 1
            distances[start:end] = values[row + 1 :]
            start = end
    np.subtract(1.0, distances, out=distances)
    return np.maximum(distances, 0.0, out=distances)


def kmeans_labels(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Labels (n,) by k-means into at most `count` clusters."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(
        min(count, len(vectors)), batch_size=max(4096, 4 * count), n_init=3, random_state=SEED
    )
    return np.asarray(model.fit_predict(vectors), np.int64)


def dense_labels(vectors: NDArray[np.float32], least: int) -> NDArray[np.int64]:
    """Labels (n,) of what lies dense, -1 for the rest."""
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=least,
        min_samples=DENSE_LEAST,
        cluster_selection_method="leaf",
        n_jobs=1,
        copy=True,
    )
    labels: Any = model.fit_predict(principal(vectors, DENSE_DIMENSIONS))
    return np.asarray(labels, np.int64)


def ordered(labels: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Labels (n,), numbered anew: 1 for the largest cluster and so on; 0 for what was below 0, and
    for clusters of fewer than `least`.
    """
    names, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    kept = (names >= 0) & (sizes >= least)
    order = np.lexsort((first, -sizes, ~kept))
    numbers = np.zeros(len(names), np.int64)
    numbers[order[: kept.sum()]] = np.arange(1, kept.sum() + 1)
    return np.asarray(numbers[inverse])
