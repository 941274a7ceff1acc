"""Weights of the text-retrieval kind: small pure functions, each with its formula and where it
comes from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cosine", "idf", "length_norm", "votes"]


def idf(documents: NDArray[np.integer], images: int) -> NDArray[np.float64]:
    """Inverse document frequency ln(1 + N / n_w) of each word, 0 for words in no image.

    Sivic and Zisserman, ICCV 2003, have ln(N / n_w), which says of a word in every image, as all
    are in a collection of one, that it tells nothing. In large collections the two agree.

    Args:
        documents: (W,) n_w, the number of images that contain each word.
        images: N, the number of images.
    """
    return np.asarray(
        np.log1p(max(images, 1) / np.maximum(documents, 1)) * (documents > 0), np.float64
    )


def votes(
    idf_of_word: NDArray[np.float64], distance: NDArray[np.integer], sigma: float
) -> NDArray[np.float64]:
    """Weight of a match: idf(w)^2 * exp(-(h / sigma)^2) for Hamming distance h.

    Jegou, Douze, Schmid: Improving bag-of-features for large scale image search, IJCV 2010.
    """
    return idf_of_word**2 * np.exp(-((distance / sigma) ** 2))


def length_norm(features: NDArray[np.integer], power: float) -> NDArray[np.float64]:
    """What the score of an image with so many features is divided by: max(features, 50)^power.

    The floor keeps nearly blank images from winning with a single chance match.
    """
    return np.asarray(np.maximum(features, 50) ** power, np.float64)


def cosine(
    query_tf: NDArray[np.float64], image_tf: NDArray[np.float64], idf_of_word: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Terms of the TF-IDF dot product, tf_q idf * tf_d idf; their sum over words divided by both
    lengths is the cosine.

    Sivic and Zisserman, ICCV 2003.
    """
    return query_tf * image_tf * idf_of_word**2
