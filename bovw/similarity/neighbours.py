"""Exact nearest neighbours among the short vectors of an index, by matrix products in blocks.

There is no approximate index, nor a library for one: a million vectors take a tenth of a second,
and what such an index finds of the true neighbours depends on the collection.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..search.ranking import first_rows

__all__ = ["cosines", "nearest"]

# So many numbers are taken at a time: as float32 they fit in the second-level cache of a core.
BLOCK = 500_000


def cosines(vectors: NDArray[np.integer], query: NDArray[np.integer]) -> NDArray[np.float32]:
    """The cosine of each vector (n, d) with a query (d,): (n,); 0 for vectors of 0.

    They are whole numbers of 8 bits, which may lie in a mapped file. In float32 their products and
    sums are exact up to 2^24, thus up to d = 1,040 of int8 and 258 of uint8: the cosines do not
    depend on the order of summation.
    """
    wanted = query.astype(np.float32)
    found = np.zeros(len(vectors), np.float32)
    rows = max(1, BLOCK // len(wanted))
    block = np.empty((min(rows, len(vectors)), len(wanted)), np.float32)
    for first in range(0, len(vectors), rows):
        part = block[: len(vectors) - first]
        np.copyto(part, vectors[first : first + rows], casting="unsafe")
        lengths = np.sqrt(np.vecdot(part, part))
        found[first : first + rows] = part @ wanted / np.maximum(lengths, 1)
    return found / np.float32(max(np.sqrt(wanted @ wanted), 1))


def nearest(
    scores: NDArray[np.float32],
    eligible: NDArray[np.bool_],
    k: int,
    id_of: Callable[[int], str],
) -> NDArray[np.int64]:
    """The k eligible images with the highest scores (n,), best first; ties go by id."""
    rows = np.flatnonzero(eligible)
    if len(rows) > k:
        least = np.partition(scores[rows], -k)[-k]
        rows = rows[scores[rows] >= least]
    return first_rows(rows, np.zeros(len(scores), bool), scores.astype(np.float64), k, id_of)
