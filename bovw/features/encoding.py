"""`encode`: a picture becomes what an index keeps of it. The same function serves documents and
queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..pictures.reading import Box
from .local import Features
from .threads import one_blas_thread
from .vocabulary import Vocabulary

__all__ = [
    "EncodedImage",
    "encode",
    "encode_all",
    "encode_mirrored",
    "encode_query",
]

# Nearest cells looked at for a feature's words: 97 % of the nearest words of documents are the true
# ones, 98 % of queries'.
DOCUMENT_CELLS = 6
QUERY_CELLS = 6


@dataclass(frozen=True)
class EncodedImage:
    """A picture as words: n features, strongest first.

    Attributes:
        words: (n, k) int32, the nearest visual words of each feature, nearest first; k = 1 for
            documents.
        signatures: (n, k) uint64, the feature's signature with respect to each of these words.
        xy: (n, 2) float32, pixels of the original upright picture.
        scale: (n,) float32, pixels of the original.
        angle: (n,) float32, radians in [0, 2 pi).
        size: (width, height) of the original upright picture.
        box: x, y, width, height of the part that was looked at.
    """

    words: NDArray[np.int32]
    signatures: NDArray[np.uint64]
    xy: NDArray[np.float32]
    scale: NDArray[np.float32]
    angle: NDArray[np.float32]
    size: tuple[int, int]
    box: Box

    def __len__(self) -> int:
        return len(self.xy)


def encode(features: Features, vocabulary: Vocabulary, words: int = 1) -> EncodedImage:
    """Quantise and sign features.

    Args:
        words: how many nearest words each feature gets: 1 for documents; a query takes several
            (soft assignment: Philbin et al., CVPR 2008; on the query side only: Jegou, Douze,
            Schmid, IJCV 2010).

    Raises:
        ParameterError: `words` is outside 1..the size of the vocabulary.
    """
    cells = DOCUMENT_CELLS if words == 1 else QUERY_CELLS
    with one_blas_thread():
        nearest = vocabulary.nearest(features.descriptors, words, cells)
        signatures = vocabulary.signatures(features.descriptors, nearest)
    return EncodedImage(
        words=nearest,
        signatures=signatures,
        xy=features.xy,
        scale=features.scale,
        angle=features.angle,
        size=features.size,
        box=features.box,
    )


def encode_all(features: Sequence[Features], vocabulary: Vocabulary) -> list[EncodedImage]:
    """Encode several documents; faster than one by one, with the same result."""
    if not features:
        return []
    joined = replace(
        features[0], descriptors=np.concatenate([each.descriptors for each in features])
    )
    encoded = encode(joined, vocabulary)
    ends = np.cumsum([len(each) for each in features])[:-1]
    return [
        EncodedImage(nearest, signatures, each.xy, each.scale, each.angle, each.size, each.box)
        for each, nearest, signatures in zip(
            features, np.split(encoded.words, ends), np.split(encoded.signatures, ends), strict=True
        )
    ]


def encode_mirrored(
    features: Features, original: EncodedImage, vocabulary: Vocabulary
) -> EncodedImage:
    """Encode the mirrored features of a picture whose encoding is known; RootSIFT's words need no
    second search.
    """
    if vocabulary.spec.kind == "orb":
        return encode(features, vocabulary, original.words.shape[1])
    words = vocabulary.mirrored(original.words)
    with one_blas_thread():
        signatures = vocabulary.signatures(features.descriptors, words)
    return replace(
        original, words=words, signatures=signatures, xy=features.xy, angle=features.angle
    )


def encode_query(
    features: Features, mirrored: Features | None, vocabulary: Vocabulary, words: int
) -> list[EncodedImage]:
    """The variants of a query: as it is and, if its mirrored features are given, mirrored; at most
    as many words a feature as there are.
    """
    queries = [encode(features, vocabulary, min(words, len(vocabulary)))]
    if mirrored is not None:
        queries.append(encode_mirrored(mirrored, queries[0], vocabulary))
    return queries
