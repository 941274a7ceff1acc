"""What clusters and maps begin with: vectors cut to their principal components, in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..features.threads import one_blas_thread

__all__ = ["DIMENSIONS", "SEED", "one_thread", "principal"]

# Numbers that a vector is cut to.
DIMENSIONS = 50
# Of what draws at random: the same vectors give the same answer.
SEED = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for matrix products and OpenMP inside: several add up in an order of their own, so
    that last bits and, in the end, neighbours change.
    """
    with one_blas_thread(), threadpool_limits(1, user_api="openmp"):
        yield


def principal(vectors: NDArray[Any], dimensions: int) -> NDArray[np.float64]:
    """The first principal components (n, at most `dimensions`) of vectors (n, d). Of the two signs
    of each, the one with which its largest weight is positive.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dimensions]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(centred @ (axes * np.where(largest < 0, -1.0, 1.0)))
