"""A cluster, opened for asking: it answers as one index of all its images does, to the last bit."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..answers.answer import answer, notes_of
from ..errors import (
    ClusterError,
    ImageError,
    IndexClosedError,
    ParameterError,
    ShardMissingError,
    path_text,
)
from ..features.local import FeatureSpec
from ..features.vocabulary import Vocabulary
from ..image_index import ImageIndex
from ..index.paths import PictureRoot
from ..index.record import ImageRecord
from ..index_reader import require_least, with_full_path
from ..pictures.reading import LIMITS, Box, Limits, Source, name_of
from ..reporting import Failure
from ..search.options import SearchOptions, chosen_options
from ..search.query import Clock, QueryFeatures, extract_query
from ..search.result import SearchResult
from ..searcher import IndexInfo, SearchRequest
from .config import ClusterConfig, read_config
from .gathering import gathered_index
from .manifest import ClusterManifest, read_latest
from .objects import pull_index
from .parts import ShardParts, ShardWholes
from .routing import LocalReplicas, Replicas, ask_all
from .store import opened_store

__all__ = ["ClusterIndex"]

# Records that a shard sends at a time.
RECORDS = 1000


class ClusterIndex:
    """A cluster, opened for asking. Every answer belongs to one generation.

    Attributes:
        config: what is said of it.
        vocabulary: the visual words of its images.

    Example:
        >>> from bovw import ClusterIndex
        >>> def best(picture: str) -> str:
        ...     with ClusterIndex.open("photos.toml") as cluster:
        ...         return cluster.search(picture, crop=True).matches[0].id
    """

    def __init__(self, config: ClusterConfig, replicas: Replicas) -> None:
        """Not to be called directly: see `open`."""
        self.config, self._replicas = config, replicas
        self._store = opened_store(config.store)
        self._turns = itertools.count()
        self._manifest: ClusterManifest | None = read_latest(self._store)
        self.vocabulary = self._read_vocabulary(self._manifest)

    @classmethod
    def open(cls, path: str | os.PathLike[str], replicas: Replicas | None = None) -> Self:
        """Open the newest generation of a cluster.

        Args:
            path: its TOML file.
            replicas: who answers; by default threads of this process, which hold all shards.

        Raises:
            ClusterError: it cannot be opened.
        """
        config = read_config(path)
        return cls(config, replicas or LocalReplicas(config))

    def _read_vocabulary(self, manifest: ClusterManifest) -> Vocabulary:
        """The vocabulary of a generation, which each shard has; nothing else of one is fetched."""
        cache = Path(self.config.cache)
        folder = cache / "vocabularies" / manifest.vocabulary
        pull_index(self._store, manifest.shards[0].listing, folder, cache, "vocabulary/")
        return Vocabulary.load(folder / "vocabulary")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ask nobody any more. Whatever else is asked of it raises IndexClosedError from now on."""
        self._manifest = None

    @property
    def manifest(self) -> ClusterManifest:
        """The generation that is asked. Raises IndexClosedError."""
        if self._manifest is None:
            raise IndexClosedError(f"{self._store.name}: the cluster is closed; open it again")
        return self._manifest

    def __len__(self) -> int:
        return self.manifest.image_count

    @property
    def spec(self) -> FeatureSpec:
        """How pictures are extracted."""
        return self.manifest.features

    @property
    def generation(self) -> int:
        """Which generation is asked: it counts commits."""
        return self.manifest.generation

    @property
    def picture_root(self) -> str:
        """The folder that pictures are stored relative to, on all machines."""
        return self.config.picture_root

    def newer(self) -> ClusterManifest | None:
        """The newest generation, once a replica of each shard has it; None if it is the one that is
        asked.

        Raises:
            ClusterError: it cannot be opened.
        """
        newest = read_latest(self._store)
        if newest.generation == self.manifest.generation:
            return None
        _, missing = self._ask_all("open", newest.generation)
        for error in missing.values():
            raise error
        return newest

    def move_to(self, newer: ClusterManifest) -> None:
        """Ask a generation that `newer` gave from now on."""
        self._manifest = newer

    def refresh(self) -> bool:
        """Move on to the newest generation, once a replica of each shard has it. Returns whether
        there was a newer one.

        Raises:
            ClusterError: it cannot be opened; the cluster stays where it was.
        """
        newer = self.newer()
        if newer:
            self.move_to(newer)
        return newer is not None

    def ready(self) -> dict[int, ShardMissingError]:
        """Have a replica of each shard open this generation; which shards do not, and why."""
        return self._ask_all("open", self.manifest.generation)[1]

    def _ask_all(
        self, method: str, *arguments: Any
    ) -> tuple[dict[int, Any], dict[int, ShardMissingError]]:
        """What the shards answer, and why some do not."""
        shards = range(self.config.shards)
        return ask_all(self._replicas, self.config, shards, next(self._turns), method, *arguments)

    def _asked(
        self, manifest: ClusterManifest, method: str, *arguments: Any, every: bool = False
    ) -> tuple[list[Any], str]:
        """What the shards say of a generation, in their order; and a note that some are missing,
        and what share of the images the others hold, or an empty one.

        Args:
            method, arguments: of `Shard`; the first argument, the generation, is put before them.
            every: whether every shard must answer, even if partial answers are allowed.

        Raises:
            ShardMissingError: no replica of a shard answers, and all must.
            ClusterError: no shard answers.
        """
        answers, missing = self._ask_all(method, manifest.generation, *arguments)
        for shard in sorted(missing):
            if every or not self.config.partial:
                raise missing[shard]
        if not answers:
            raise ClusterError("no shard answers: " + str(next(iter(missing.values()))))
        note = ""
        if missing:
            held = sum(manifest.shards[shard].image_count for shard in answers)
            names = ", ".join(map(str, sorted(missing)))
            share = held / max(manifest.image_count, 1)
            note = f"shards {names} are missing: {share:.0%} of the images were asked"
        return [answers[shard] for shard in sorted(answers)], note

    def wholes(self) -> ShardWholes:
        """Its images as wholes, of the generation that is asked: what `find_similar` compares."""
        return ShardWholes(self.manifest, self.vocabulary, self._root, self._asked)

    @property
    def _root(self) -> PictureRoot:
        """Where the pictures are."""
        return PictureRoot(Path(self.config.cache), self.config.picture_root)

    def gathered(self) -> ImageIndex:
        """All images of the generation that is asked, as one index on this machine: for
        `find_duplicates` and whatever else compares all with all. See `gathering.gathered_index`.
        """
        return gathered_index(self.config, self.manifest)

    def info(self) -> IndexInfo:
        """What the cluster is, in numbers; what its shards take on disk is not among them."""
        manifest = self.manifest
        features = sum(shard.feature_count for shard in manifest.shards)
        return IndexInfo(
            image_count=manifest.image_count,
            deleted_count=0,
            feature_count=features,
            segment_count=len(manifest.shards),
            size_bytes=0,
            bytes_per_feature=0.0,
            generation=manifest.generation,
            picture_root=self.config.picture_root,
            spec=manifest.features,
            vocabulary=manifest.vocabulary,
            word_count=len(self.vocabulary),
            embeddings=(),
        )

    def records(self) -> Iterator[ImageRecord]:
        """The images, shard by shard, with paths that can be opened."""
        manifest = self.manifest
        for first in range(0, manifest.image_count, RECORDS):
            yield from self._page(manifest, first, RECORDS)

    def page(self, first: int, count: int) -> list[ImageRecord]:
        """Some of the `records`, of which `first` come before; what lies before is not read."""
        return self._page(self.manifest, first, count)

    def _page(self, manifest: ClusterManifest, first: int, count: int) -> list[ImageRecord]:
        """Some of the images of a generation. Raises ShardMissingError."""
        full_path, found = self._root.opener(), list[ImageRecord]()
        last, shard_first = first + count, 0
        for shard, entry in enumerate(manifest.shards):
            low = max(first - shard_first, 0)
            high = min(last - shard_first, entry.image_count)
            shard_first += entry.image_count
            if low >= high:
                continue
            answers, missing = ask_all(
                *(self._replicas, self.config, [shard], next(self._turns)),
                *("records", manifest.generation, low, high - low),
            )
            for error in missing.values():
                raise error
            found += [with_full_path(record, full_path) for record in answers[shard]]
        return found

    def record(self, name: str) -> ImageRecord | None:
        """The image of an id, with a path that can be opened; None if there is none."""
        for found in self._asked(self.manifest, "find", [name], every=True)[0]:
            if name in found:
                return with_full_path(found[name], self._root.full)
        return None

    def record_of_file(self, path: str | os.PathLike[str]) -> ImageRecord | None:
        """See `IndexReader.record_of_file`."""
        return self.record(self._root.stored(path_text("path", path)))

    def record_of_key(self, key: str) -> ImageRecord | None:
        """See `IndexReader.record_of_key`."""
        for found in self._asked(self.manifest, "find_key", key, every=True)[0]:
            if found is not None:
                return with_full_path(found, self._root.full)
        return None

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
        """See `ImageIndex.search`.

        Raises:
            ShardMissingError: no replica of a shard answers, and partial answers are not allowed.
        """
        options, clock = chosen_options(options, crop, k), Clock()
        features = extract_query(
            query, self.spec, mirrored=options.mirror, box=box, limits=limits, clock=clock
        )
        return self.search_features(features, options, where=where, clock=clock)

    def search_features(
        self,
        query: QueryFeatures,
        options: SearchOptions,
        *,
        where: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> SearchResult:
        """See `IndexReader.search_features`."""
        if where is not None and not isinstance(where, Mapping):
            raise ParameterError(f"where: {where!r:.60} is not an object")
        clock = clock or Clock()
        parts = ShardParts(self.manifest, self.vocabulary, self._asked, where)
        full_path, unread = self._root.opener(), list[str]()
        matches = answer(parts, self.vocabulary, query, options, full_path, clock, unread)
        notes = [*notes_of(query, parts.image_count, unread), parts.note]
        return SearchResult(
            query=query.name,
            size=query.size,
            box=query.box,
            feature_count=len(query.features),
            timings=clock.timings,
            matches=matches,
            cpu_seconds=clock.cpu_seconds,
            note="; ".join(filter(None, notes)),
        )

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
        """See `ImageIndex.search_many`; `jobs` are threads that ask the shards."""
        require_least(jobs=(jobs, 0))
        options = chosen_options(options, crop, k)
        waiting: deque[Future[SearchResult | Failure]] = deque()
        with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
            for query in queries:
                request = (
                    query if isinstance(query, SearchRequest) else SearchRequest(query, options)
                )
                waiting.append(pool.submit(self._answered, request, limits))
                while len(waiting) > 2 * max(jobs, 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _answered(self, request: SearchRequest, limits: Limits) -> SearchResult | Failure:
        """The answer to a request, or why it cannot be asked."""
        try:
            return self.search(
                request.query, request.options, box=request.box, where=request.where, limits=limits
            )
        except ImageError as error:
            return Failure(name_of(request.query), error.reason)
        except ParameterError as error:  # its box
            return Failure(name_of(request.query), str(error))
