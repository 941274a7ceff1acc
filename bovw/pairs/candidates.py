"""Which images may be copies of an image: by their hashes, by their vectors, or by their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import starts_of
from ..features.encoding import EncodedImage
from ..features.hashing import orientations
from ..search.collection import Collection
from ..search.scan import scan
from ..similarity.hash_search import close_pairs
from .agreement import LEAST_MATCHES
from .evidence import HASH_RADIUS
from .stock import Stock

__all__ = ["Hashed", "hash_candidates", "vector_candidates", "word_candidates"]

Numbers = NDArray[np.int64]
# In how many bits the hashes of two images differ, and in which orientation of the first.
Hashed = tuple[int, int]
# So many images of close hashes are looked at, the closest; so many of close vectors; and so many
# that share most words.
MOST_HASHED, MOST_VECTORS, MOST_WORDS = 50, 50, 25
# So large a share of the features of the smaller image has a partner in the other one, if one is a
# copy of the other: half of what must agree in the end.
WORD_SHARE = 0.025
# Bytes of vectors that are worked on at a time.
BLOCK_BYTES = 1 << 26


def hash_candidates(
    stock: Stock, asking: Numbers, asked: NDArray[np.bool_]
) -> dict[int, dict[int, Hashed]]:
    """For each of some images (n,), ascending, the ones before it whose hash is close to its own in
    one of eight orientations: at most MOST_HASHED, the closest; ties go to the first.

    Args:
        asked: (all images,) flags of those that are looked at.
    """
    hashes, known = stock.hashes.values.astype(np.uint64), stock.hashes.known
    asking = asking[known[asking]]
    own, own_row = np.unique(hashes[asking], return_inverse=True)
    target = np.flatnonzero(known & asked & (np.arange(len(stock)) < stock.limit(len(stock))))
    order = np.argsort(hashes[target], kind="stable")
    others, counts = np.unique(hashes[target], return_counts=True)
    members, starts = target[order], starts_of(counts)
    turned = orientations(own)
    first, second, bits = close_pairs(turned.ravel(), HASH_RADIUS, others)
    row, orientation = first // turned.shape[1], first % turned.shape[1]
    # the best orientation of each pair, the first of equals; then the closest of each row first
    order = np.lexsort((orientation, bits, second, row))
    is_first = (np.diff(row[order]) != 0) | (np.diff(second[order]) != 0)
    order = order[np.concatenate(([True], is_first))[: len(order)]]
    order = order[np.lexsort((second[order], bits[order], row[order]))]
    row, second, orientation = row[order], second[order], orientation[order]
    distance = bits[order].tolist()
    bounds = np.searchsorted(row, np.arange(len(own) + 1))
    found = {}
    for image, its_row in zip(asking.tolist(), own_row.tolist(), strict=True):
        close = dict[int, Hashed]()
        for place in range(*bounds[its_row : its_row + 2].tolist()):
            low, high = starts[second[place] : second[place] + 2].tolist()
            high = low + int(np.searchsorted(members[low:high], stock.limit(image)))
            value = distance[place], int(orientation[place])
            for other in members[low : min(high, low + MOST_HASHED - len(close))].tolist():
                close[other] = value
        if close:
            found[image] = close
    return found


def word_candidates(
    collection: Collection, variants: Sequence[EncodedImage], searchable: NDArray[np.bool_]
) -> Numbers:
    """The images that share words and close signatures with an image, given as it is and mirrored:
    those that share many for their size, and the MOST_WORDS that share most; ascending.

    Args:
        searchable: (all images,) flags of those that are looked at.
    """
    count = len(searchable)
    hits = scan(collection.restricted_to(searchable), variants)
    shared = np.zeros(len(variants) * count, np.int64)
    for chunk in hits:
        shared += np.bincount(chunk.candidate, minlength=len(shared))
    most = shared.reshape(len(variants), count).max(axis=0)
    features = np.minimum(collection.snapshot.feature_counts, len(variants[0]))
    enough = np.flatnonzero(most >= LEAST_MATCHES)
    first = enough[np.argsort(-most[enough], kind="stable")[:MOST_WORDS]]
    many = enough[most[enough] >= WORD_SHARE * features[enough]]
    return np.union1d(first, many)


def vector_candidates(
    stock: Stock, asking: Numbers, asked: NDArray[np.bool_]
) -> Iterator[tuple[int, Numbers]]:
    """For each of some images (n,) the ones before it whose vectors are closest to its own, by
    their cosine: at most MOST_VECTORS; ties go to the first.

    Args:
        asked: (all images,) flags of those that are looked at.
    """
    vectors = stock.vectors
    if vectors is None:
        return
    lengths = np.sqrt((vectors.values.astype(np.float32) ** 2).sum(axis=1))
    limit = stock.limit(len(stock))
    rows = max(1, BLOCK_BYTES // max(4 * limit, 1))
    for first in range(0, len(asking), rows):
        block = asking[first : first + rows]
        cosines = products(vectors.values[block], vectors.values[:limit])
        cosines /= np.maximum(lengths[:limit], 1)
        cosines[:, ~(vectors.known & asked)[:limit]] = -2
        for image, row in zip(block.tolist(), cosines, strict=True):
            own = row[: stock.limit(image)] if vectors.known[image] else row[:0]
            yield image, highest(own, MOST_VECTORS)


def products(vectors: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float32]:
    """The inner products (n, k) of vectors (n, d) and (k, d) of small whole numbers: exact."""
    found = np.empty((len(vectors), len(others)), np.float32)
    wanted, step = vectors.astype(np.float32).T, max(1, BLOCK_BYTES // (4 * vectors.shape[1]))
    for first in range(0, len(others), step):
        part = others[first : first + step].astype(np.float32)
        found[:, first : first + step] = (part @ wanted).T
    return found


def highest(values: NDArray[np.float32], count: int) -> Numbers:
    """Where the `count` highest values above -1 are, ascending; ties go to the first."""
    rows = np.flatnonzero(values > -1)
    if len(rows) > count:
        least = np.partition(values[rows], -count)[-count]
        above = rows[values[rows] > least]
        tied = rows[values[rows] == least][: count - len(above)]
        rows = np.sort(np.concatenate([above, tied]))
    return rows
