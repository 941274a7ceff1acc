"""VLAD: the local features of a picture as one vector (Jegou, Douze, Schmid, Perez, CVPR 2010)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .projection import VLAD_SIZE, whole_models
from .threads import one_blas_thread

__all__ = ["vlad", "vlad_vector"]


def vlad(descriptors: NDArray[np.float32]) -> NDArray[np.int8]:
    """The RootSIFT descriptors (n, 128) of a picture as one vector (256,) int8, to be compared by
    its cosine; zeros if there are none.

    Pictures have similar vectors if similar details fill them: the same place or thing, seen from
    nearby. How the details lie to each other has no part in it.
    """
    if not len(descriptors):
        return np.zeros(VLAD_SIZE, np.int8)
    models = whole_models()
    return models.vlad.shortened(vlad_vector(descriptors, models.centres))


def vlad_vector(
    descriptors: NDArray[np.float32], centres: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The vector before it is projected: (centres * 128,) float32 of unit length.

    Each descriptor is assigned to its nearest centre; those of a centre add up what they differ
    from it by. So that details that repeat do not drown the others, each number becomes the root of
    its size (Perronnin, Sanchez, Mensink, ECCV 2010), and what belongs to a centre has unit length
    (Arandjelovic and Zisserman, All about VLAD, CVPR 2013).
    """
    with one_blas_thread():
        nearest = (descriptors @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
        members = (nearest == np.arange(len(centres))[:, None]).astype(np.float32)
        sums = members @ descriptors - members.sum(axis=1, keepdims=True) * centres
    rooted = np.copysign(np.sqrt(np.abs(sums)), sums)
    return unit_length(unit_length(rooted).ravel())


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (..., d) of unit length; those of 0 stay so."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
