"""Images that verify one another, in communities: the pictures of one object or place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..index_reader import IndexReader
from ..pairs.comparing import found_pairs
from ..pairs.evidence import verdict
from ..pairs.stock import Stock
from ..reporting import Progress
from .partition import ordered

__all__ = ["match_communities"]

# Communities are joined in which at least this share of the pairs between them agrees.
AGREEING = 0.5


def match_communities(
    index: IndexReader, least: int, progress: Progress | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The community of each image of an index (n,), in the order of `records`, numbered as by
    `partition.cluster_vectors`; and with how many of its own each agrees (n,).

    Pairs are compared by what is stored of them; nothing is read (see `pairs.comparing`). Of
    those that are connected, communities are joined as by average linkage, as long as half of the
    pairs between two agree: a chain of images, each of which agrees with the next, is cut.
    """
    snapshot = index._snapshot
    stock = Stock([snapshot], index.vocabulary, [str])
    live = np.flatnonzero(snapshot.alive)
    found = found_pairs(stock, live, snapshot.alive, False, progress or silent)
    pairs = [
        (evidence.first, evidence.second)
        for _, common in found
        for evidence in common
        if verdict(evidence, len(live))
    ]
    edges = np.searchsorted(live, np.array(pairs, np.int64).reshape(-1, 2))
    labels = communities(edges, len(live))
    inside = edges[labels[edges[:, 0]] == labels[edges[:, 1]]]
    return ordered(labels, least), np.bincount(inside.ravel(), minlength=len(live))


def communities(edges: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The community of each of `count` nodes, of which some are connected by edges (e, 2)."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(edges), bool)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    labels, free = component.astype(np.int64), int(component.max(initial=-1)) + 1
    owner = component[edges[:, 0]]
    for number in np.flatnonzero(np.bincount(component) > 2).tolist():
        members = np.flatnonzero(component == number)
        apart = np.ones((len(members), len(members)))
        one, other = np.searchsorted(members, edges[owner == number]).T
        apart[one, other] = apart[other, one] = 0.0
        above = apart[np.triu_indices(len(members), 1)]
        labels[members] = free + fcluster(linkage(above, "average"), 1 - AGREEING, "distance")
        free += len(members) + 1
    return labels


def silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody sees."""
