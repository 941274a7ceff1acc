"""A cluster, opened for asking: it answers as one index of all its images does, to the last bit."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..answers.answer import answer, notes_of
from ..answers.parts import StoredFeatures
from ..errors import ClusterError, ImageError, IndexClosedError, ParameterError, ShardMissingError
from ..features.local import FeatureSpec
from ..features.vocabulary import Vocabulary
from ..index.paths import PictureRoot
from ..index.record import ImageRecord
from ..index_reader import require_least, with_full_path
from ..pictures.reading import LIMITS, Box, Limits, Source, name_of
from ..reporting import Failure
from ..search.options import SearchOptions, chosen_options
from ..search.query import Clock, QueryFeatures, Variant, extract_query
from ..search.ranking import PartAnswer
from ..search.result import SearchResult
from ..searcher import IndexInfo, SearchRequest
from .config import ClusterConfig, read_config
from .manifest import ClusterManifest, read_latest
from .objects import pull_index
from .packing import pack
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

    def refresh(self) -> bool:
        """Move on to the newest generation, once a replica of each shard has it. Returns whether
        there was a newer one.

        Raises:
            ClusterError: it cannot be opened; the cluster stays where it was.
        """
        newest = read_latest(self._store)
        if newest.generation == self.manifest.generation:
            return False
        _, missing = self._ask_all("open", newest.generation)
        for error in missing.values():
            raise error
        self._manifest = newest
        return True

    def ready(self) -> dict[int, ShardMissingError]:
        """Have a replica of each shard open this generation; which shards do not, and why."""
        return self._ask_all("open", self.manifest.generation)[1]

    def _ask_all(
        self, method: str, *arguments: Any
    ) -> tuple[dict[int, Any], dict[int, ShardMissingError]]:
        """What the shards answer, and why some do not."""
        shards = range(self.config.shards)
        return ask_all(self._replicas, self.config, shards, next(self._turns), method, *arguments)

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        """What the shards answer. Raises ShardMissingError."""
        answers, missing = self._ask_all(method, *arguments)
        for shard in sorted(missing):
            raise missing[shard]
        return [answers[shard] for shard in sorted(answers)]

    @property
    def _root(self) -> PictureRoot:
        """Where the pictures are."""
        return PictureRoot(Path(self.config.cache), self.config.picture_root)

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
        generation, full_path = self.manifest.generation, self._root.opener()
        for shard in range(self.config.shards):
            for first in itertools.count(0, RECORDS):
                found, missing = ask_all(
                    *(self._replicas, self.config, [shard], next(self._turns)),
                    *("records", generation, first, RECORDS),
                )
                for error in missing.values():
                    raise error
                yield from (with_full_path(record, full_path) for record in found[shard])
                if len(found[shard]) < RECORDS:
                    break

    def record(self, name: str) -> ImageRecord | None:
        """The image of an id, with a path that can be opened; None if there is none."""
        for found in self._ask("find", self.manifest.generation, [name]):
            if name in found:
                return with_full_path(found[name], self._root.full)
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
        parts = ShardParts(self, where)
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


class ShardParts:
    """The shards of one generation as parts of a collection.

    Attributes:
        note: that shards are missing, and what share of the images the others hold; else empty.
    """

    def __init__(self, cluster: ClusterIndex, where: Mapping[str, Any] | None) -> None:
        self.cluster, self.manifest = cluster, cluster.manifest
        self.where = None if where is None else dict(where)
        self.note = ""

    @property
    def spec(self) -> FeatureSpec:
        """How the pictures were extracted."""
        return self.manifest.features

    @property
    def image_count(self) -> int:
        """Live images of the whole."""
        return self.manifest.image_count

    def ask(
        self, variants: Sequence[Variant], options: SearchOptions, clock: Clock
    ) -> list[PartAnswer]:
        """What each shard says of a query. Raises ShardMissingError."""
        outlines, pieces = pack(variants, len(self.cluster.vocabulary))
        answers, missing = self.cluster._ask_all(
            "answer", self.manifest.generation, options, self.where, outlines, *pieces
        )
        clock.lap("shards")
        for shard in sorted(missing):
            if not self.cluster.config.partial:
                raise missing[shard]
        if missing:
            held = sum(self.manifest.shards[shard].image_count for shard in answers)
            names = ", ".join(map(str, sorted(missing)))
            share = held / max(self.image_count, 1)
            self.note = f"shards {names} are missing: {share:.0%} of the images were asked"
        if not answers:
            raise ClusterError("no shard answers: " + str(next(iter(missing.values()))))
        return [answers[shard] for shard in sorted(answers)]

    def features_of(self, ids: Sequence[str]) -> dict[str, StoredFeatures]:
        """The features of some images, by their ids."""
        generation = self.manifest.generation
        found: dict[str, StoredFeatures] = {}
        for each in self.cluster._ask("features_of", generation, list(ids)):
            found.update(each)
        return found
