"""Similarity as one more way to answer queries, for whatever asks a `Searcher`."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ImageError, ParameterError
from ..index.record import ImageRecord
from ..index_reader import IndexReader
from ..networks.embedder import Embedder
from ..pictures.reading import LIMITS, Box, Limits, Source, name_of
from ..reporting import Failure
from ..search.match import Match
from ..search.options import SearchOptions, chosen_options
from ..search.result import SearchResult
from ..searcher import IndexInfo, SearchRequest
from .parts import HasWholes
from .similar import find_similar

__all__ = ["SimilarSearcher"]


class SimilarSearcher:
    """An index, or a cluster, that is asked what is similar (see `find_similar`) instead of what
    shows the same. It behaves as these do, so `evaluate` takes it: nothing is verified, and of the
    options `k` alone counts.

    Example:
        >>> from bovw import ImageIndex, SimilarSearcher
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     found = SimilarSearcher(index, "vlad").search("photos/carcassonne-walls.jpg", k=1)
        >>> found.matches[0].id
        'photos/carcassonne-walls.jpg'
    """

    def __init__(
        self,
        index: IndexReader | HasWholes,
        by: str | Mapping[str, float] = "fused",
        embedders: Sequence[Embedder] = (),
    ) -> None:
        """Args: as for `find_similar`."""
        self._index, self._by, self._embedders = index, by, embedders

    def __len__(self) -> int:
        return len(self._index)

    def info(self) -> IndexInfo:
        """What is searched, in numbers."""
        return self._index.info()

    def records(self) -> Iterator[ImageRecord]:
        """The images, with paths that can be opened."""
        return self._index.records()

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
        """The images that are similar to a picture, as a search gives them: the scores are
        similarities.

        Raises:
            ImageError, IncompatibleError, ParameterError: as `find_similar`.
        """
        found = find_similar(
            self._index,
            query,
            self._by,
            k=chosen_options(options, crop, k).k,
            box=box,
            where=where,
            embedders=self._embedders,
            limits=limits,
        )
        return SearchResult(
            query=found.query,
            size=found.size,
            box=box or (0, 0, *found.size),
            feature_count=0,
            timings=found.timings,
            matches=[
                Match(each.id, each.similarity, each.path, each.metadata, each.size)
                for each in found.matches
            ],
            cpu_seconds=found.cpu_seconds,
            note=found.note,
        )

    def search_many(
        self,
        queries: Iterable[Source | SearchRequest],
        options: SearchOptions | None = None,
        *,
        crop: bool | None = None,
        k: int | None = None,
        jobs: int = 0,  # noqa: ARG002 - the protocol has it
        limits: Limits = LIMITS,
    ) -> Generator[SearchResult | Failure, None, None]:
        """The answers to many queries, in their order, all made in this process: `jobs` is not
        used.
        """
        options = chosen_options(options, crop, k)
        for each in queries:
            request = each if isinstance(each, SearchRequest) else SearchRequest(each, options)
            name = name_of(request.query)
            try:
                answer = self.search(
                    request.query,
                    request.options,
                    box=request.box,
                    where=request.where,
                    limits=limits,
                )
            except ImageError as error:
                yield Failure(name, error.reason)
            except ParameterError as error:  # its box
                yield Failure(name, str(error))
            else:
                yield replace(answer, query=name)
