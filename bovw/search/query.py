"""A query on its way: read and extracted once, encoded for each way to look for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..features.encoding import EncodedImage, encode_query
from ..features.local import Features, FeatureSpec, extract, mirror
from ..features.vocabulary import Vocabulary
from ..geometry.transform import flip_in
from ..pictures.reading import (
    LIMITS,
    Box,
    Limits,
    Picture,
    Source,
    load_picture,
    name_of,
    source_content,
)
from .options import SearchOptions

__all__ = ["Clock", "QueryFeatures", "Variant", "encode_variants", "extract_query"]


class Clock:
    """The time that named steps took, one after the other.

    Attributes:
        timings: seconds of each step.
        cpu_seconds: processor time of all steps, of all threads of this process.
    """

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self.cpu_seconds = 0.0
        self._last, self._last_cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """End a step that began with the end of the one before."""
        now, cpu = time.perf_counter(), time.process_time()
        self.timings[name] = self.timings.get(name, 0.0) + now - self._last
        self.cpu_seconds += cpu - self._last_cpu
        self._last, self._last_cpu = now, cpu

    def branch(self) -> Clock:
        """A clock that goes on from what this one has counted, from now on."""
        other = Clock()
        other.timings, other.cpu_seconds = dict(self.timings), self.cpu_seconds
        return other


@dataclass(frozen=True)
class QueryFeatures:
    """The features of a query, before they are encoded.

    Attributes:
        name: its path, or what stands for one.
        picture: its grey values, of the part that is searched with.
        features: of that part.
        mirrored: of its mirror image; None if that is not asked for.
        content: its path, the bytes of its file, or its pixels; an empty path if it has none.
    """

    name: str
    picture: Picture
    features: Features
    mirrored: Features | None
    content: str | bytes | NDArray[Any] = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels, upright."""
        return self.picture.size

    @property
    def note(self) -> str:
        """What is to be said of the picture: that it is cut off, and how much was read; that its
        file has more pages.
        """
        pages = self.picture.unseen
        more = f"page 1 of {pages + 1} (#page=2 names another)" if pages else ""
        return "; ".join(each for each in (self.picture.note, more) if each)

    @property
    def box(self) -> Box:
        """x, y, width, height of the part that is searched with."""
        return self.picture.box


@dataclass(frozen=True)
class Variant:
    """A query in one of the ways in which it is looked for.

    Attributes:
        encoded: its words, in pixels of its own.
        box: x, y, width, height of the part of the query that is looked for, in its pixels.
        matrix: (3, 3) maps pixels of the query, upright, to those of the variant.
        mirrored: whether left and right are swapped.
        negative: whether bright and dark are.
    """

    encoded: EncodedImage
    box: Box
    matrix: NDArray[np.float64]
    mirrored: bool = False
    negative: bool = False


def extract_query(
    source: Source,
    spec: FeatureSpec,
    *,
    mirrored: bool = True,
    box: Box | None = None,
    limits: Limits = LIMITS,
    clock: Clock | None = None,
) -> QueryFeatures:
    """Read a picture and find its features, and those of its mirror image if these are asked for.

    Raises:
        ImageError: it cannot be used.
        ParameterError: the box does not lie in it.
    """
    clock = clock or Clock()
    content, name = source_content(source, limits), name_of(source)
    try:
        picture = load_picture(content, spec.max_side, box, limits)
    except ImageError as error:
        raise ImageError(name, error.reason) from error
    clock.lap("read")
    spec = spec.for_queries()
    features = extract(picture, spec)
    flipped = mirror(features, picture, spec) if mirrored else None
    clock.lap("extract")
    return QueryFeatures(name, picture, features, flipped, content)


def encode_variants(
    query: QueryFeatures, vocabulary: Vocabulary, options: SearchOptions
) -> list[Variant]:
    """The variants of a query that a search asks for: as it is and, if wanted, mirrored."""
    mirrored = query.mirrored if options.mirror else None
    encoded = encode_query(query.features, mirrored, vocabulary, options.words_per_feature)
    matrices = (np.eye(3), flip_in(query.box))
    return [
        Variant(each, query.box, matrix, bool(number))
        for number, (each, matrix) in enumerate(zip(encoded, matrices, strict=False))
    ]
