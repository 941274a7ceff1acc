"""The vectors of all images of an index at once: what clusters and maps compare."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompatibleError, ParameterError, require_types
from ..index.snapshot import Snapshot
from ..index_reader import IndexReader
from ..similarity.mixture import MEASURES, mixture_of

__all__ = ["whole_vectors"]


def whole_vectors(
    index: IndexReader, by: str | Mapping[str, float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A vector of unit length for each image (n, d), in the order of `records`, and flags (n,) of
    the images that have one. A product of two is the similarity that `find_similar` reports,
    if both images have all that is compared.

    Raises:
        IncompatibleError: no image of the index has what is to be compared.
        ParameterError: `by` names what is unknown, or words, which are not vectors.
    """
    require_types(str | Mapping, by=by)
    snapshot = index._snapshot
    weights = mixture_of(by, tuple(each.name for each in snapshot.manifest.embeddings))
    if "words" in weights:
        raise ParameterError("by: words are not kept as vectors: compare by vlad, made of the same")
    parts = []
    for name, weight in weights.items():
        rows = column_vectors(snapshot, name)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        parts.append(rows * (np.float32(weight**0.5) / np.maximum(lengths, np.float32(1e-9))))
    vectors = np.concatenate(parts, axis=1)
    lengths = np.linalg.norm(vectors, axis=1)
    known = lengths > 0
    if len(known) and not known.any():
        raise IncompatibleError(
            f"by: no image of the index has {', '.join(weights)}: "
            "`bovw index --complete` adds what images lack"
        )
    vectors[known] /= lengths[known, None]
    return vectors, known


def column_vectors(snapshot: Snapshot, measure: str) -> NDArray[np.float32]:
    """What a measure compares of the live images (n, d); zeros where it is missing."""
    if measure == "hash":
        rows = snapshot.optional("perceptual_hash")
        bits = np.unpackbits(rows.values.view(np.uint8).reshape(-1, 8), axis=1)
        values = (bits.astype(np.float32) * 2 - 1) * rows.known[:, None]
    else:
        rows = snapshot.optional(measure if measure in MEASURES else f"embedding_{measure}")
        values = rows.values.astype(np.float32)
    return np.asarray(values[snapshot.alive])
