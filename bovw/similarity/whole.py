"""What is known of a query as a whole: from its picture, from the index, or from words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompatibleError, ParameterError
from ..features.encoding import encode
from ..features.local import FeatureSpec, extract
from ..features.vocabulary import Vocabulary
from ..index.columns import Embedding, column_name
from ..index.extraction import COLOURS_SIDE, PRODUCERS
from ..networks.embedder import Embedder, as_int8
from ..pictures.reading import (
    NAMELESS,
    Box,
    Limits,
    Source,
    load_colours,
    load_picture,
    name_of,
    source_content,
)
from ..search.collection import Collection
from .mixture import MEASURES, Mixture

__all__ = ["Whole", "column_of", "whole_of_image", "whole_of_picture", "whole_of_vector"]

# The columns that measures compare, where they have another name.
COLUMN_NAMES = {"hash": "perceptual_hash"}


@dataclass(frozen=True)
class Whole:
    """What is known of a query as a whole.

    Attributes:
        name: its path or id, or what stands for one.
        size: (width, height) in pixels, upright.
        rows: of the columns that are wanted, by their measures, without those of zeros: a blank
            picture has no shape, and one without features no details.
        words: (n,) of its features, if they are wanted and there are any.
        path: its file; empty if it has none.
        note: what is to be said of it.
        image: its id, if it is an image of the index.
    """

    name: str
    size: tuple[int, int]
    rows: dict[str, NDArray[Any]]
    words: NDArray[np.int32] | None = None
    path: str = ""
    note: str = ""
    image: str | None = None

    @property
    def measures(self) -> set[str]:
        """By what it can be compared."""
        return set(self.rows) | ({"words"} if self.words is not None else set())


def column_of(measure: str) -> str:
    """The name of the column that a measure compares."""
    if measure in MEASURES:
        return COLUMN_NAMES.get(measure, measure)
    return column_name(measure)


def whole_of_image(collection: Collection, name: str, weights: Mixture) -> Whole | None:
    """What the index knows of one of its images, with its path as it is stored; None if it has none
    of this id.
    """
    snapshot = collection.snapshot
    found = snapshot.find([name]).get(name)
    if found is None:
        return None
    image, record = found
    segment, ordinal = snapshot.locate(image)
    rows = {}
    for measure in set(weights) - {"words"}:
        column = segment.optional(column_of(measure))
        if column and column.known[ordinal] and (measure == "hash" or column.values[ordinal].any()):
            rows[measure] = column.values[ordinal]
    words = None
    if "words" in weights and snapshot.feature_counts[image]:
        words, _ = segment.encoding_of(ordinal)
    return Whole(name, (record.width, record.height), rows, words, record.path, image=name)


def whole_of_picture(
    spec: FeatureSpec,
    vocabulary: Vocabulary,
    embeddings: Sequence[Embedding],
    query: Source,
    weights: Mixture,
    embedders: Sequence[Embedder],
    box: Box | None,
    limits: Limits,
) -> Whole:
    """What is to be seen of a picture, made as it is for an index.

    Args:
        spec, vocabulary, embeddings: of the index.

    Raises:
        ImageError: it cannot be used.
        IncompatibleError: the index has vectors of another network.
        NetworkError: an embedder does not work.
        ParameterError: a measure needs an embedder that is not there.
    """
    content, name = source_content(query, limits), name_of(query)
    path = "" if name in NAMELESS else name
    picture = load_picture(content, spec.max_side, box, limits)
    networks = {
        name: embedder_for(embedding_of(embeddings, name), embedders)
        for name in weights
        if name not in MEASURES
    }
    detailed = "words" in weights or ("vlad" in weights and spec.kind == "rootsift")
    # a single pixel has no features: looking for some takes most of the time
    features = extract(picture if detailed else replace(picture, gray=picture.gray[:1, :1]), spec)
    colours = load_colours(content, COLOURS_SIDE, box, limits)
    rows = {}
    for measure in weights:
        if measure == "words" or (measure == "vlad" and spec.kind != "rootsift"):
            continue
        if measure in networks:
            pixels = load_colours(content, networks[measure].side, box, limits)
            row = as_int8(networks[measure].vector(pixels))
        else:
            row = np.asarray(PRODUCERS[column_of(measure)](colours, features))
        if measure == "hash" or row.any():
            rows[measure] = row
    words = None
    if "words" in weights and len(features):
        words = encode(features, vocabulary).words[:, 0]
    return Whole(name, picture.size, rows, words, path, picture.note)


def whole_of_vector(
    embeddings: Sequence[Embedding], name: str, measure: str, vector: NDArray[np.float32]
) -> Whole:
    """A query that is a vector of the network of an embedding.

    Args:
        name: what to call it.

    Raises:
        IncompatibleError: the vectors of the index have another number of numbers.
    """
    width = embedding_of(embeddings, measure).width
    if len(vector) != width:
        raise IncompatibleError(
            f"{name}: its vector has {len(vector)} numbers, those of {measure} have {width}: the "
            "two are not halves of one network"
        )
    return Whole(name, (0, 0), {measure: as_int8(vector)})


def embedding_of(embeddings: Sequence[Embedding], name: str) -> Embedding:
    """The embedding of an index that is called so; it is there (see `mixture.mixture_of`)."""
    return next(each for each in embeddings if each.name == name)


def embedder_for(embedding: Embedding, embedders: Sequence[Embedder]) -> Embedder:
    """The embedder that made the vectors of an index. Raises ParameterError, IncompatibleError."""
    found = next((each for each in embedders if each.name == embedding.name), None)
    if found is None:
        raise ParameterError(
            f"by: to compare a picture by {embedding.name} takes its network "
            f"(--embed {embedding.name}=MODEL.onnx); an image of the index can be named by its id"
        )
    if found.fingerprint != embedding.fingerprint:
        raise IncompatibleError(
            f"by: the index has vectors of another network called {embedding.name}, or of the same "
            "asked in another way: give that one"
        )
    return found
