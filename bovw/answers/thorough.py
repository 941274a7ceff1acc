"""Look harder: other ways to look for a query, one after the other, from the cheap to the dear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ..features.encoding import encode
from ..features.local import Features, FeatureSpec, extract, invert, mirror
from ..features.vocabulary import Vocabulary
from ..pictures.reading import Picture
from ..search.options import SearchOptions
from ..search.query import QueryFeatures, Variant, encode_variants

__all__ = ["Attempt", "attempts", "tilted"]

# What a deeper search looks at: words a feature, candidates.
WORDS, CANDIDATES = 8, 400
# Pictures are doubled up to this long side, in working pixels, and halved down to the other.
DOUBLED_SIDE, HALVED_SIDE = 1280, 128
# A picture seen from the side: by how much it is compressed, each in so many directions.
TILTS = ((2.0, 4), (4.0, 8))
# Gaussian blur that suits a compression (Morel and Yu, 2009).
TILT_BLUR = 0.8


@dataclass(frozen=True)
class Attempt:
    """One more way to look for a query.

    Attributes:
        name: what is done.
        variants: gives the variants of the query to look for.
        options: how.
    """

    name: str
    variants: Callable[[], list[Variant]]
    options: SearchOptions


def attempts(
    query: QueryFeatures, vocabulary: Vocabulary, spec: FeatureSpec, options: SearchOptions
) -> Iterator[Attempt]:
    """The ways to look for a query that a search leaves out, in the order of what they bring for
    their time.

    Args:
        spec: how pictures of the index are extracted.
    """
    spec, words = spec.for_queries(), options.words_per_feature
    deeper = replace(
        options,
        words_per_feature=max(WORDS, words),
        verify_top=max(CANDIDATES, options.verify_top),
    )

    def resized(factor: float, options: SearchOptions) -> Callable[[], list[Variant]]:
        def variants() -> list[Variant]:
            size = [max(1, round(side * factor)) for side in query.picture.gray.shape[::-1]]
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            gray = np.asarray(cv2.resize(query.picture.gray, size, interpolation=way), np.uint8)
            picture = replace(query.picture, gray=gray)
            other = with_mirror_image(query.name, picture, extract(picture, spec), spec)
            return encode_variants(other, vocabulary, options)

        return variants

    side = max(query.picture.gray.shape)
    yield Attempt("negative", lambda: negatives(query, vocabulary, spec, options), options)
    if 2 * side <= DOUBLED_SIDE:
        yield Attempt("double size", resized(2.0, deeper), deeper)
    else:
        yield Attempt("deeper", lambda: encode_variants(query, vocabulary, deeper), deeper)
    if side >= 2 * HALVED_SIDE:
        yield Attempt("half size", resized(0.5, options), options)
    for tilt, directions in TILTS:
        seen = partial(tilts, query, vocabulary, spec, words, tilt, directions)
        yield Attempt(f"tilted {tilt:g}", seen, options)


def with_mirror_image(
    name: str, picture: Picture, features: Features, spec: FeatureSpec
) -> QueryFeatures:
    """A query with the features of a picture, and those of its mirror image."""
    return QueryFeatures(name, picture, features, mirror(features, picture, spec))


def negatives(
    query: QueryFeatures, vocabulary: Vocabulary, spec: FeatureSpec, options: SearchOptions
) -> list[Variant]:
    """The variants of the negative of a query."""
    picture = replace(query.picture, gray=255 - query.picture.gray)
    features = invert(query.features, query.picture, spec)
    other = with_mirror_image(query.name, picture, features, spec)
    return [replace(each, negative=True) for each in encode_variants(other, vocabulary, options)]


def tilts(
    query: QueryFeatures,
    vocabulary: Vocabulary,
    spec: FeatureSpec,
    words: int,
    tilt: float,
    directions: int,
) -> list[Variant]:
    """A query as seen from several sides (ASIFT: Morel and Yu, SIAM J. Imaging Sciences 2009)."""
    x, y, width, height = query.box
    rows, columns = query.picture.gray.shape
    # pixels of the query -> those of its grey picture, whose centres stay centres
    shrunk = np.array(
        [
            [columns / width, 0, (0.5 - x) * columns / width - 0.5],
            [0, rows / height, (0.5 - y) * rows / height - 0.5],
            [0, 0, 1],
        ]
    )
    variants = []
    for direction in np.arange(directions) * (180 / directions):
        gray, matrix = tilted(query.picture.gray, tilt, float(direction))
        size = gray.shape[1], gray.shape[0]
        features = extract(Picture(gray, size, (0, 0, *size)), spec)
        encoded = encode(features, vocabulary, min(words, len(vocabulary)))
        variants.append(Variant(encoded, query.box, matrix @ shrunk))
    return variants


def tilted(
    gray: NDArray[np.uint8], tilt: float, direction: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture compressed along a direction, and the transform (3, 3) of its pixels.

    Args:
        gray: (h, w).
        tilt: by how much, above 1.
        direction: degrees, clockwise from the x axis as y points down.
    """
    height, width = gray.shape
    turn = np.deg2rad(direction)
    cosine, sine = np.cos(turn), np.sin(turn)
    # turned so that the direction is that of x
    turned = np.array([[cosine, sine], [-sine, cosine]])
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    placed = corners @ turned.T
    low, high = placed.min(axis=0), placed.max(axis=0)
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turned, -low
    size = np.ceil(high - low).astype(int) + 1
    picture = cv2.warpAffine(
        gray, matrix[:2], size.tolist(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    blur = TILT_BLUR * np.sqrt(tilt**2 - 1)
    picture = cv2.GaussianBlur(picture, (0, 0), sigmaX=blur, sigmaY=0.01)
    squeeze = np.diag([1 / tilt, 1.0, 1.0])
    size[0] = int(np.ceil(size[0] / tilt))
    picture = cv2.warpAffine(
        picture, squeeze[:2], size.tolist(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(picture, np.uint8), squeeze @ matrix
