"""The pictures of an index that look like another one as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import IncompatibleError, ParameterError, path_text
from ..index_reader import IndexReader, require_least
from ..networks.embedder import Embedder
from ..networks.text import TextEncoder
from ..pictures.reading import LIMITS, Box, Limits, Source
from ..search.query import Clock
from .mixture import Mixture, mixture_of
from .parts import HasWholes, Wholes, wholes_of
from .result import SimilarResult
from .whole import Whole, column_of, whole_of_picture, whole_of_vector

__all__ = ["find_similar", "find_similar_to_image", "find_similar_to_text"]

# Why a query that is there has nothing to compare.
SILENT = {
    "vlad": "the picture has no features",
    "words": "the picture has no features",
    "shape": "the picture has no edges",
}


def find_similar(
    index: IndexReader | HasWholes,
    query: Source,
    by: str | Mapping[str, float] = "fused",
    *,
    k: int = 10,
    box: Box | None = None,
    where: Mapping[str, Any] | None = None,
    embedders: Sequence[Embedder] = (),
    limits: Limits = LIMITS,
) -> SimilarResult:
    """Find the images that look like a picture as a whole: its copies, and other views of the same
    scene or thing. All images are compared, exactly, by what the index keeps of each.

    Pictures of the same *kind* of thing are not found, unless by an embedding: nothing else here
    knows kinds. What is small in an image, or one of several nearly equal products, is for
    `ImageIndex.search`.

    Args:
        index: an index, or a cluster, which gives the same answer.
        query: a picture, as for `ImageIndex.search`; or the id of an image of the index, if there
            is no such file: then nothing is read, and the image itself is left out.
        by: what is compared: "vlad" (the details: VLAD of RootSIFT features), "colour", "shape"
            (the layout of edges), "hash" (the share of equal bits of perceptual hashes, in the best
            of 8 orientations), "words" (the TF-IDF cosine of visual words), the name of an
            embedding of the index; or several with their weights, as "vlad=1,colour=.6" or a
            mapping. "fused" is vlad=1,colour=.1,shape=.15.
        k: how many images to return at most.
        box: x, y, width, height of the part of the query to compare, in pixels.
        where: only images with these metadata.
        embedders: those that made the embeddings that are compared.
        limits: what reading the query may cost.

    Raises:
        ImageError: the query cannot be used.
        IncompatibleError: no image of the index has what is to be compared, or it is of another
            network.
        IndexClosedError: the index was closed.
        NetworkError: an embedder does not work.
        ParameterError: an argument outside its range.

    Example:
        >>> from bovw import ImageIndex, find_similar
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     result = find_similar(index, "query.jpg", k=3)
        >>> result.matches[0].id, sorted(result.matches[0].parts)
        ('photos/carcassonne-walls.jpg', ['colour', 'shape', 'vlad'])
    """
    clock, wholes = Clock(), wholes_of(index)
    weights = weights_of(wholes, by)
    whole = None
    if isinstance(query, str) and not os.path.lexists(path_text("query", query)):
        whole = wholes.image(query, weights)
    if whole is None:
        made_with = (wholes.spec, wholes.vocabulary, wholes.embeddings)
        whole = whole_of_picture(*made_with, query, weights, embedders, box, limits)
    elif whole.path:
        whole = replace(whole, path=wholes.full_path(whole.path))
    clock.lap("read")
    return compared(wholes, whole, weights, k, where, clock)


def find_similar_to_image(
    index: IndexReader | HasWholes,
    name: str,
    by: str | Mapping[str, float] = "fused",
    *,
    k: int = 10,
    where: Mapping[str, Any] | None = None,
) -> SimilarResult:
    """Find the images that look like an image of the index, which is left out: `find_similar` with
    its id, which is taken for one even if there is such a file.

    Raises: as `find_similar`; ParameterError if the index has no such image.
    """
    clock, wholes = Clock(), wholes_of(index)
    weights = weights_of(wholes, by)
    whole = wholes.image(name, weights)
    if whole is None:
        raise ParameterError(f"query: the index has no image {name!r:.60}")
    if whole.path:
        whole = replace(whole, path=wholes.full_path(whole.path))
    clock.lap("read")
    return compared(wholes, whole, weights, k, where, clock)


def find_similar_to_text(
    index: IndexReader | HasWholes,
    text: str,
    encoder: TextEncoder,
    by: str,
    *,
    k: int = 10,
    where: Mapping[str, Any] | None = None,
) -> SimilarResult:
    """Find the images that a text describes, by an embedding whose network has a half for texts.

    Args:
        encoder: that half.
        by: the name of the embedding that the other half made.
        k, where: as for `find_similar`.

    Raises:
        IncompatibleError: the two halves do not go together.
        MissingLibraryError, NetworkError: the encoder does not work.
        ParameterError: an argument outside its range, or the index has no such embedding.

    Example:
        >>> from bovw import BovwError, ImageIndex, TextEncoder, find_similar_to_text
        >>> encoder = TextEncoder("text.onnx", "tokenizer.json")
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     try:
        ...         find_similar_to_text(index, "a red boat", encoder, "clip")
        ...     except BovwError as error:
        ...         print(error)
        by: 'clip' is no embedding of the index: `bovw index --embed` makes one
    """
    clock, wholes = Clock(), wholes_of(index)
    if by not in [each.name for each in wholes.embeddings]:
        raise ParameterError(
            f"by: {by!r:.60} is no embedding of the index: `bovw index --embed` makes one"
        )
    weights = weights_of(wholes, by)
    whole = whole_of_vector(wholes.embeddings, text, by, encoder.vector(text))
    clock.lap("read")
    return compared(wholes, whole, weights, k, where, clock)


def compared(
    wholes: Wholes,
    whole: Whole,
    weights: Mixture,
    k: int,
    where: Mapping[str, Any] | None,
    clock: Clock,
) -> SimilarResult:
    """The k images of a collection that are most similar to a query."""
    require_least(k=(k, 1))
    if where is not None and not isinstance(where, Mapping):
        raise ParameterError(f"where: {where!r:.60} is not an object")
    parts = wholes.compare(whole, weights, k, where)
    clock.lap("compare")
    best = sorted(
        (match for part in parts for match in part.matches),
        key=lambda match: (-match.similarity, match.id),
    )
    matches = [
        replace(match, path=match.path and wholes.full_path(match.path)) for match in best[:k]
    ]
    clock.lap("describe")
    unknown = sum(part.unknown for part in parts)
    notes = [*notes_on(whole, weights, wholes.spec.kind, unknown), wholes.note]
    return SimilarResult(
        query=whole.name,
        size=whole.size,
        by=weights,
        timings=clock.timings,
        matches=matches,
        cpu_seconds=clock.cpu_seconds,
        path=whole.path,
        note="; ".join(filter(None, notes)),
    )


def weights_of(wholes: Wholes, by: str | Mapping[str, float]) -> Mixture:
    """What is to be compared. Raises ParameterError, or IncompatibleError if the index has nothing
    of it.
    """
    weights = mixture_of(by, tuple(each.name for each in wholes.embeddings))
    require_columns(wholes, weights)
    return weights


def require_columns(wholes: Wholes, weights: Mixture) -> None:
    """Raise IncompatibleError unless some image of the index has some of what is to be compared."""
    if "words" in weights or not wholes.image_count:
        return
    if not wholes.columns.isdisjoint(map(column_of, weights)):
        return
    if set(weights) == {"vlad"} and wholes.spec.kind != "rootsift":
        raise IncompatibleError(
            f"by: the index has {wholes.spec.kind} features, and vlad is made of rootsift: compare "
            "by colour, shape, hash or words"
        )
    raise IncompatibleError(
        f"by: no image of the index has {', '.join(weights)}: `bovw index --complete` adds what "
        "images lack"
    )


def notes_on(whole: Whole, weights: Mixture, kind: str, unknown: int) -> list[str]:
    """What is to be said of a query and its answer.

    Args:
        kind: of the features of the index.
        unknown: images that could not be compared.
    """
    notes = [whole.note] if whole.note else []
    for measure in weights:
        if measure not in whole.measures:
            reason = SILENT.get(measure, "the index does not have it of this image")
            if measure == "vlad" and kind != "rootsift":
                reason = f"the index has {kind} features"
            notes.append(f"not compared by {measure}: {reason}")
    if unknown:
        notes.append(
            f"{unknown} images lack what is compared: `bovw index --complete` adds it to them"
        )
    return notes
