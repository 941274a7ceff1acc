"""The images of an index in clusters of what looks alike: first labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError, require_types
from ..index.record import ImageRecord
from ..index_reader import IndexReader, require_least
from ..reporting import Progress
from .matches import match_communities
from .partition import LINKAGE_MOST, cluster_vectors
from .vectors import whole_vectors

__all__ = ["ImageCluster", "ImageClusters", "cluster_images"]


@dataclass(frozen=True)
class ImageCluster:
    """Images that look alike.

    Attributes:
        number: from 1; the largest cluster comes first.
        records: its images, the most typical first: the nearest to the mean of all.

    Example:
        >>> from bovw import ImageIndex, cluster_images
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     first = cluster_images(index, count=2).clusters[0]
        >>> first.label, len(first.records) >= 3
        ('cluster-1', True)
    """

    number: int
    records: tuple[ImageRecord, ...]

    @property
    def label(self) -> str:
        """Its name."""
        return f"cluster-{self.number}"


@dataclass(frozen=True)
class ImageClusters:
    """What `cluster_images` found.

    Attributes:
        clusters: the largest first.
        alone: the images that are in none.
        missing: the images that have no vector to compare.

    Example:
        >>> from bovw import ImageIndex, cluster_images
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     found = cluster_images(index, count=2, least=1)
        >>> len(found.clusters), len(found.alone), len(found.labels())
        (2, 0, 6)
    """

    clusters: tuple[ImageCluster, ...]
    alone: tuple[ImageRecord, ...]
    missing: tuple[ImageRecord, ...]

    def labels(self) -> dict[str, str | None]:
        """The name of the cluster of each image, by id; None for those in none."""
        found = {record.id: each.label for each in self.clusters for record in each.records}
        return {**found, **{record.id: None for record in (*self.alone, *self.missing)}}


def cluster_images(
    index: IndexReader,
    *,
    by: str | Mapping[str, float] = "fused",
    count: int | None = None,
    distance: float | None = None,
    confident: bool = False,
    least: int = 2,
    progress: Progress | None = None,
) -> ImageClusters:
    """Put the images of an index into clusters of what looks alike.

    Up to 10,000 images are joined by average linkage on cosine distance; more are divided by
    k-means. The same images have the same clusters.

    Args:
        index: an index, opened.
        by: which vectors are compared (see `find_similar`); or "matches": images that verify one
            another, which show one object or place.
        count: how many clusters at most, before small ones are dropped.
        distance: how far clusters may be apart on average, to be joined: 0 to 2, 1 minus the
            cosine. If neither is given, 0.7 of the mean of all pairs of images. Not beyond 10,000
            images, where n images have the root of n clusters by default.
        confident: only three or more images that lie close together, by HDBSCAN: many are left
            alone, but those in a cluster belong there more surely.
        least: smaller clusters are none: their images are alone.
        progress: called with a stage, how much of it is done, and of how much, by matches.

    Raises:
        IncompatibleError: no image of the index has what is to be compared.
        ParameterError: an argument outside its range, or two that exclude each other.

    Example:
        >>> from bovw import ImageIndex, cluster_images
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     found = cluster_images(index, count=3)
        >>> all(len(cluster.records) >= 2 for cluster in found.clusters)
        True
    """
    require_least(least=(least, 1), **({} if count is None else {"count": (count, 1)}))
    require_types(bool, confident=confident)
    require_types(float | int | None, distance=distance)
    require_types(str | Mapping, by=by)
    require_types(Callable | None, progress=progress)
    if distance is not None and not 0 <= distance <= 2:
        raise ParameterError(f"distance: {distance} is not in 0 to 2")
    ways = (count is not None) + (distance is not None) + confident
    if ways > 1:
        raise ParameterError("count, distance, confident: only one of them says what a cluster is")
    if by == "matches" and ways:
        raise ParameterError(
            "by: matches say themselves what a cluster is; count, distance and confident do not"
        )
    if by == "matches":
        snapshot = index._snapshot
        known = snapshot.feature_counts[snapshot.alive] > 0
        numbers, agreeing = match_communities(index, least, progress)
        typical = agreeing.astype(np.float64)
    else:
        vectors, known = whole_vectors(index, by)
        if distance is not None and known.sum() > LINKAGE_MOST:
            raise ParameterError(
                f"distance: is for up to {LINKAGE_MOST:,} images, and these are {known.sum():,}: "
                "say how many clusters (count)"
            )
        numbers = np.zeros(len(known), np.int64)
        numbers[known] = cluster_vectors(
            vectors[known], count=count, distance=distance, confident=confident, least=least
        )
        typical = typicality(vectors, numbers)
    return gathered(list(index.records()), known, numbers, typical)


def typicality(vectors: NDArray[np.float32], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """How near each of some vectors (n, d) is to the mean of its cluster, given by its number: (n,)
    cosines, without what rounding tells apart.
    """
    means = np.zeros((int(numbers.max(initial=0)) + 1, vectors.shape[1]))
    np.add.at(means, numbers, vectors)
    means /= np.maximum(np.bincount(numbers, minlength=len(means)), 1)[:, None]
    return np.asarray(np.einsum("nd,nd->n", vectors, means[numbers]).round(6))


def gathered(
    records: Sequence[ImageRecord],
    known: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    typical: NDArray[np.float64],
) -> ImageClusters:
    """Images with the numbers (n,) of their clusters, 0 for none, as clusters: the most typical
    image first, of equal ones the first added.
    """
    order = np.lexsort((np.arange(len(records)), -typical, numbers))
    starts = np.searchsorted(numbers[order], np.arange(1, int(numbers.max(initial=0)) + 2))
    members = [order[first:last].tolist() for first, last in pairwise(starts.tolist())]
    outside = np.flatnonzero(numbers == 0).tolist()
    return ImageClusters(
        tuple(
            ImageCluster(number, tuple(records[each] for each in group))
            for number, group in enumerate(members, 1)
        ),
        tuple(records[each] for each in outside if known[each]),
        tuple(records[each] for each in outside if not known[each]),
    )
