"""What can be searched, whatever it is made of; and how many queries are answered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from .errors import ImageError, ParameterError, require_types
from .features.local import FeatureSpec
from .index.record import ImageRecord
from .pictures.reading import LIMITS, Box, Limits, Source, name_of
from .reporting import Failure
from .search.options import SearchOptions
from .search.query import Clock, QueryFeatures, extract_query
from .search.result import SearchResult

__all__ = ["Answering", "IndexInfo", "SearchRequest", "Searcher", "answer_request"]


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
        embeddings: names of the networks that vectors of images are from.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     info = index.info()
        >>> info.image_count, info.word_count
        (6, 65536)
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
    embeddings: tuple[str, ...]


@dataclass(frozen=True)
class SearchRequest:
    """A query with what is wanted of it, for `search_many`.

    Attributes:
        query: the picture, as for `ImageIndex.search`.
        options: how to search.
        box: x, y, width, height of the part of the picture to search with, in pixels.
        where: metadata that the images must have.

    Example:
        >>> from bovw import ImageIndex, SearchOptions, SearchRequest
        >>> requests = [SearchRequest("query.jpg", SearchOptions(crop=True, k=k)) for k in (1, 2)]
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     answers = list(index.search_many(requests))
        >>> [len(answer.matches) for answer in answers]
        [1, 2]
    """

    query: Source
    options: SearchOptions = field(default_factory=SearchOptions)
    box: Box | None = None
    where: Mapping[str, Any] | None = None


class Searcher(Protocol):
    """What answers queries: an `ImageIndex`, or whatever behaves like one.

    Example:
        >>> from bovw import ImageIndex, Searcher
        >>> def best(searcher: Searcher, picture: str) -> str:
        ...     return searcher.search(picture, crop=True).matches[0].id
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     best(index, "query.jpg")
        'photos/carcassonne-walls.jpg'
    """

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


class FeatureSearcher(Protocol):
    """What answers queries whose features are known."""

    @property
    def spec(self) -> FeatureSpec:
        """How pictures are extracted."""

    def search_features(
        self,
        query: QueryFeatures,
        options: SearchOptions,
        *,
        where: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> SearchResult:
        """See `IndexReader.search_features`."""


class Answering:
    """An index as whoever answers has it: opened once in each process.

    Attributes:
        limits: what a query may cost.
    """

    def __init__(self, opened: Callable[[], FeatureSearcher], limits: Limits) -> None:
        """Args: `opened` gives the index; it can be pickled."""
        self._opened = opened
        self.limits = limits
        self._last: tuple[tuple[str, str, bool] | None, QueryFeatures, Clock] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in vars(self).items() if name not in ("reader", "_last")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _last=None)

    @cached_property
    def reader(self) -> FeatureSearcher:
        """The index."""
        return self._opened()

    def answer(self, request: SearchRequest) -> SearchResult:
        """The answer to a request. Raises ImageError or ParameterError."""
        options = request.options
        require_types(SearchOptions, options=options)
        # the mirror image of RootSIFT features costs nothing
        mirrored = options.mirror or self.reader.spec.kind == "rootsift"
        key = None  # only a path stands for a picture
        if isinstance(request.query, str):
            key = (request.query, repr(request.box), mirrored)
        if self._last is None or key is None or self._last[0] != key:
            clock = Clock()
            features = extract_query(
                request.query,
                self.reader.spec,
                mirrored=mirrored,
                box=request.box,
                limits=self.limits,
                clock=clock,
            )
            self._last = (key, features, clock)
        _, features, clock = self._last
        return self.reader.search_features(
            features, options, where=request.where, clock=clock.branch()
        )


def answer_request(
    request: SearchRequest | Failure, answering: Answering
) -> SearchResult | Failure:
    """The answer to a request, or why there is none."""
    if isinstance(request, Failure):
        return request
    try:
        return answering.answer(request)
    except ImageError as error:
        return Failure.of(error)
    except ParameterError as error:  # its box
        return Failure(name_of(request.query), str(error))
