"""Vectors in two dimensions, and how far that can be trusted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingLibraryError
from .components import DIMENSIONS, SEED, one_thread, principal

__all__ = ["METHODS", "NEIGHBOURS", "Method", "Trust", "neighbours_of", "project", "trust_in"]

Method = Literal["tsne", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)
# What each method takes for the number of neighbours of a vector, if there are enough.
NEIGHBOURS: dict[Method, int] = {"tsne": 30, "umap": 15}
# Neighbours of a picture on the map that are asked whether they are neighbours in truth.
ASKED = 12
# Fewer vectors than this are laid out by their principal components alone.
FEW = 5
BLOCK = 512


@dataclass(frozen=True)
class Trust:
    """How far a map can be trusted.

    Attributes:
        value: trustworthiness (Venna & Kaski 2001), 0 to 1: 1 if all neighbours on the map are
            neighbours in truth; about 0.5 for a random map. It depends on both numbers below.
        neighbours: how many neighbours of each image on the map it asks about.
        count: images on the map.

    Example:
        >>> from bovw import ImageIndex, map_images
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     trust = map_images(index).trust
        >>> trust.neighbours, trust.count
        (2, 6)
    """

    value: float
    neighbours: int
    count: int

    def __str__(self) -> str:
        asked = f"{self.neighbours} neighbours, {self.count:,} images"
        return f"trustworthiness {self.value:.3f} ({asked})"


def neighbours_of(wanted: int, count: int) -> int:
    """How many neighbours a vector can have on a map of `count` vectors, if so many are wanted: a
    quarter of the others at most. t-SNE looks at three times its perplexity, and throws far out
    what is a neighbour of nearly all.
    """
    return max(1, min(wanted, (count - 1) // 4))


def project(vectors: NDArray[np.float32], method: Method, neighbours: int) -> NDArray[np.float64]:
    """Positions (n, 2) of vectors of unit length (n, d), such that neighbours are neighbours. The
    same vectors have the same positions.

    The vectors are cut to 50 principal components, of which the first two are where a map begins.
    Fewer than five vectors, or vectors that are all equal, stay there. A map is turned so that it
    is widest from left to right.

    Args:
        method: "tsne" (van der Maaten, JMLR 2014: Barnes-Hut), or "umap" (McInnes 2018), if
            umap-learn is installed.
        neighbours: the perplexity of t-SNE, or UMAP's number of neighbours.

    Raises:
        MissingLibraryError: UMAP is wanted, and not installed.
    """
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2))
    with one_thread():
        reduced = principal(vectors, DIMENSIONS)
        begin, spread = reduced[:, :2], float(reduced[:, 0].std())
        if len(vectors) < FEW or spread < 1e-6:
            return begin
        neighbours = neighbours_of(neighbours, len(vectors))
        place = umap_positions if method == "umap" else tsne_positions
        return principal(place(reduced, begin / spread, neighbours), 2)


def tsne_positions(
    reduced: NDArray[np.float64], begin: NDArray[np.float64], perplexity: int
) -> NDArray[np.float64]:
    """Positions (n, 2) by t-SNE, from those where it begins."""
    from sklearn.manifold import TSNE

    model = TSNE(
        perplexity=perplexity,
        init=(begin * 1e-4).astype(np.float32),
        learning_rate="auto",
        random_state=SEED,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(reduced.astype(np.float32)), np.float64)


def umap_positions(
    reduced: NDArray[np.float64], begin: NDArray[np.float64], neighbours: int
) -> NDArray[np.float64]:
    """Positions (n, 2) by UMAP, from those where it begins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it does without, and of small collections
        try:
            from umap import UMAP
        except ImportError:
            raise MissingLibraryError(
                "method: umap needs umap-learn; install it with `pip install 'bovw[umap]'`"
            ) from None
        model: Any = UMAP(
            n_neighbors=max(2, neighbours),
            init=(begin * 10).astype(np.float32),
            random_state=SEED,
            n_jobs=1,
        )
        return np.asarray(model.fit_transform(reduced.astype(np.float32)), np.float64)


def trust_in(vectors: NDArray[np.float32], positions: NDArray[np.float64]) -> Trust | None:
    """How far positions (n, 2) of vectors of unit length (n, d) can be trusted; None for fewer than
    three.

    1 - 2 / (n k (2 n - 3 k - 1)) times the sum, over each image and its k neighbours on the map, of
    how many places too far these are in truth (Venna & Kaski, ICANN 2001). Of vectors that are as
    far, all have the best place.
    """
    count = len(vectors)
    asked = min(ASKED, (count - 1) // 2)
    if asked < 1:
        return None
    excess = 0
    with one_thread():
        for first in range(0, count, BLOCK):
            rows = np.arange(first, min(first + BLOCK, count))
            near = nearest(positions, rows, asked)
            products = vectors[rows] @ vectors.T
            products[np.arange(len(rows)), rows] = -np.inf  # nobody is a neighbour of itself
            found = np.take_along_axis(products, near, axis=1)
            products.sort(axis=1)
            for row, values in zip(products, found, strict=True):
                ranks = count - np.searchsorted(row, values, side="right")
                excess += int(np.maximum(0, ranks + 1 - asked).sum())
    value = 1 - excess * 2 / (count * asked * (2 * count - 3 * asked - 1))
    return Trust(value, asked, count)


def nearest(
    positions: NDArray[np.float64], rows: NDArray[np.int64], asked: int
) -> NDArray[np.int64]:
    """The nearest `asked` positions of those of some rows (r,): (r, asked)."""
    away = np.zeros((len(rows), len(positions)))
    for axis in positions.T:
        away += (axis[rows, None] - axis[None]) ** 2
    away[np.arange(len(rows)), rows] = np.inf
    return np.asarray(np.argpartition(away, asked - 1, axis=1)[:, :asked])
