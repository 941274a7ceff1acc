"""The pictures of an index that look like another one as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompatibleError, ParameterError, path_text
from ..features.hashing import orientations
from ..index_reader import IndexReader, require_least
from ..networks.embedder import Embedder
from ..networks.text import TextEncoder
from ..pictures.reading import LIMITS, Box, Limits, Source
from ..search.collection import Collection
from ..search.query import Clock
from ..search.scan import cosine_scores
from .mixture import Mixture, mixture_of
from .neighbours import cosines, nearest
from .result import SimilarImage, SimilarResult
from .whole import Whole, column_of, whole_of_image, whole_of_picture, whole_of_vector

__all__ = ["find_similar", "find_similar_to_image", "find_similar_to_text"]

# From rows of a column (n, ...) and that of a query to the similarities (n,).
Compare = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float32]]
# Why a query that is there has nothing to compare.
SILENT = {
    "vlad": "the picture has no features",
    "words": "the picture has no features",
    "shape": "the picture has no edges",
}


def find_similar(
    index: IndexReader,
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
    clock, collection = Clock(), index._open_collection
    weights = weights_of(collection, by)
    whole = None
    if isinstance(query, str) and not os.path.lexists(path_text("query", query)):
        opener = index._root_of(collection.snapshot).opener()
        whole = whole_of_image(collection, query, weights, opener)
    if whole is None:
        whole = whole_of_picture(
            collection, index.vocabulary, query, weights, embedders, box, limits
        )
    clock.lap("read")
    return compared(index, collection, whole, weights, k, where, clock)


def find_similar_to_image(
    index: IndexReader,
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
    clock, collection = Clock(), index._open_collection
    weights = weights_of(collection, by)
    opener = index._root_of(collection.snapshot).opener()
    whole = whole_of_image(collection, name, weights, opener)
    if whole is None:
        raise ParameterError(f"query: the index has no image {name!r:.60}")
    clock.lap("read")
    return compared(index, collection, whole, weights, k, where, clock)


def find_similar_to_text(
    index: IndexReader,
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
    clock, collection = Clock(), index._open_collection
    if by not in [each.name for each in collection.snapshot.manifest.embeddings]:
        raise ParameterError(
            f"by: {by!r:.60} is no embedding of the index: `bovw index --embed` makes one"
        )
    weights = weights_of(collection, by)
    whole = whole_of_vector(collection, text, by, encoder.vector(text))
    clock.lap("read")
    return compared(index, collection, whole, weights, k, where, clock)


def compared(
    index: IndexReader,
    collection: Collection,
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
    snapshot = collection.snapshot
    eligible = collection.searchable.copy()
    if where is not None:
        eligible &= snapshot.with_metadata(where)
    if whole.image is not None:
        eligible[whole.image] = False
    parts, known = scores_of(collection, whole, weights)
    unknown = int((eligible & ~known).sum()) if parts else 0
    total = np.zeros(len(eligible), np.float32)
    for name, scores in parts.items():
        total += np.float32(weights[name]) * scores
    total /= np.float32(sum(weights[name] for name in parts) or 1)
    rows = nearest(total, eligible & known, k, lambda image: snapshot.record(image).id)
    clock.lap("compare")
    full_path, matches = index._root_of(snapshot).opener(), []
    for image in rows.tolist():
        record = snapshot.record(image)
        matches.append(
            SimilarImage(
                id=record.id,
                similarity=float(total[image]),
                parts={name: float(scores[image]) for name, scores in parts.items()},
                path=record.path and full_path(record.path),
                metadata=record.metadata,
                size=(record.width, record.height),
            )
        )
    clock.lap("describe")
    return SimilarResult(
        query=whole.name,
        size=whole.size,
        by=weights,
        timings=clock.timings,
        matches=matches,
        cpu_seconds=clock.cpu_seconds,
        path=whole.path,
        note="; ".join(notes_on(whole, weights, snapshot.manifest.features.kind, unknown)),
    )


def weights_of(collection: Collection, by: str | Mapping[str, float]) -> Mixture:
    """What is to be compared. Raises ParameterError, or IncompatibleError if the index has nothing
    of it.
    """
    embeddings = tuple(each.name for each in collection.snapshot.manifest.embeddings)
    weights = mixture_of(by, embeddings)
    require_columns(collection, weights)
    return weights


def require_columns(collection: Collection, weights: Mixture) -> None:
    """Raise IncompatibleError unless some image of the index has some of what is to be compared."""
    snapshot = collection.snapshot
    if "words" in weights or not len(snapshot.alive):
        return
    for name in weights:
        if any(segment.optional(column_of(name)) for segment in snapshot.segments):
            return
    if set(weights) == {"vlad"} and snapshot.manifest.features.kind != "rootsift":
        raise IncompatibleError(
            f"by: the index has {snapshot.manifest.features.kind} features, and vlad is made of "
            "rootsift: compare by colour, shape, hash or words"
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


def scores_of(
    collection: Collection, whole: Whole, weights: Mixture
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """How similar all images (n,) are by each measure by which the query can be compared, in their
    order; and flags of those that can be compared by any.
    """
    snapshot = collection.snapshot
    known = np.zeros(len(snapshot.alive), bool)
    parts = {}
    for measure in weights:
        if measure not in whole.measures:
            continue
        scores = np.zeros(len(known), np.float32)
        if measure == "words" and whole.words is not None:
            scores += cosine_scores(collection, whole.words).astype(np.float32)
            known[:] = True
        else:
            for first, segment in zip(
                snapshot.first_image.tolist(), snapshot.segments, strict=False
            ):
                rows = segment.optional(column_of(measure))
                if rows is not None:
                    images = slice(first, first + segment.image_count)
                    compare: Compare = equal_bits if measure == "hash" else cosines
                    scores[images] = compare(rows.values, whole.rows[measure]) * rows.known
                    known[images] |= rows.known
        parts[measure] = scores
    return parts, known


def equal_bits(hashes: NDArray[np.uint64], query: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The share of equal bits of perceptual hashes (n,) and that of a query, in its best
    orientation: (n,).
    """
    distances = [np.bitwise_count(hashes ^ turned) for turned in orientations(query[None])[0]]
    return np.asarray(1 - np.min(distances, axis=0) / 64, np.float32)
