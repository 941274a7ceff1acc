"""What can be searched, whatever it is made of: the protocol that evaluation and servers rely on."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .features.local import FeatureSpec
from .index.record import ImageRecord
from .pictures.reading import LIMITS, Box, Limits, Source
from .reporting import Failure
from .search.options import SearchOptions
from .search.result import SearchResult

__all__ = ["IndexInfo", "SearchRequest", "Searcher"]


@dataclass(frozen=True)
class IndexInfo:
    """What an index is.

    Attributes:
        image_count: live images.
        deleted_count: images that are deleted, but still take space until `merge`.
        feature_count: features on disk, those of deleted images included.
        segment_count: immutable parts that the images lie in.
        size_bytes: size on disk beside the vocabulary.
        bytes_per_feature: the same, over features.
        generation: counts commits.
        picture_root: the folder that pictures are stored relative to, as a path that can be opened.
        spec: how pictures are extracted.
        vocabulary: fingerprint of the vocabulary.
        word_count: size of the vocabulary.
    """

    image_count: int
    deleted_count: int
    feature_count: int
    segment_count: int
    size_bytes: int
    bytes_per_feature: float
    generation: int
    picture_root: str
    spec: FeatureSpec
    vocabulary: str
    word_count: int


@dataclass(frozen=True)
class SearchRequest:
    """A query with what is wanted of it, for `search_many`.

    Attributes:
        query: the picture, as for `ImageIndex.search`.
        options: how to search.
        box: x, y, width, height of the part of the picture to search with, in pixels.
        where: metadata that the images must have.
    """

    query: Source
    options: SearchOptions = field(default_factory=SearchOptions)
    box: Box | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


class Searcher(Protocol):
    """What answers queries: an `ImageIndex`, or whatever behaves like one."""

    def __len__(self) -> int:
        """How many images can be found."""

    def info(self) -> IndexInfo:
        """What is searched, in numbers."""

    def records(self) -> Iterator[ImageRecord]:
        """The images, with paths that can be opened."""

    def search(
        self,
        query: Source,
        options: SearchOptions | None = None,
        *,
        crop: bool | None = None,
        k: int | None = None,
        box: Box | None = None,
        where: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
    ) -> SearchResult:
        """See `ImageIndex.search`."""

    def search_many(
        self,
        queries: Iterable[Source | SearchRequest],
        options: SearchOptions | None = None,
        *,
        crop: bool | None = None,
        k: int | None = None,
        jobs: int = 0,
        limits: Limits = LIMITS,
    ) -> Generator[SearchResult | Failure, None, None]:
        """See `ImageIndex.search_many`."""
