"""An index opened for reading: search it, ask many queries, list what it holds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from .answers.answer import answer, notes_of
from .answers.parts import LocalParts
from .errors import (
    ImageError,
    ImageIndexError,
    IncompatibleError,
    IndexClosedError,
    ParameterError,
    path_text,
    require_types,
)
from .features.local import FeatureSpec
from .features.vocabulary import Vocabulary
from .index.manifest import read_latest
from .index.paths import PictureRoot, stored_root
from .index.record import FileStamp, ImageRecord
from .index.snapshot import Snapshot, newest_snapshot
from .pictures.reading import LIMITS, Box, Limits, Source, name_of, source_content
from .reporting import Failure
from .search.collection import Collection
from .search.options import SearchOptions, chosen_options
from .search.query import Clock, QueryFeatures, extract_query
from .search.result import SearchResult
from .searcher import Answering, IndexInfo, SearchRequest, answer_request
from .storage.base import Storage
from .storage.directory import Directory
from .workers.pool import run_in_processes
from .workers.process import Work

__all__ = [
    "MOST_JOBS",
    "IndexReader",
    "Path",
    "require_least",
    "require_most",
    "with_full_path",
]

# Queries that a process answers before it gives the answers back.
CHUNK = 10
# Processes at most: each has its own Python and vocabulary.
MOST_JOBS = 1024

Path = str | os.PathLike[str]


class IndexReader:
    """The reading half of an `ImageIndex`, which see.

    Attributes:
        vocabulary: the visual words of its images.
    """

    def __init__(
        self, storage: Storage, vocabulary: Vocabulary, picture_root: Path | None = None
    ) -> None:
        """Not to be called directly: see `open`."""
        self.vocabulary = vocabulary
        self._storage = storage
        self._new_root = None
        if picture_root is not None:
            self._new_root = stored_root(storage.path, path_text("picture_root", picture_root))
        self._collection: Collection | None = None
        self._adopt(newest_snapshot(storage, len(vocabulary)))

    @classmethod
    def open(cls, path: Path, *, picture_root: Path | None = None) -> Self:
        """Open the newest generation of an index.

        Args:
            picture_root: where the pictures are now, if they have moved without the index. Writing
                through this object records it.

        Raises:
            IndexMissingError, IndexVersionError, IndexCorruptError, VocabularyError: it cannot be
                opened.
        """
        return cls._opened(Directory(path), picture_root)

    @classmethod
    def _opened(cls, storage: Storage, picture_root: Path | None) -> Self:
        """Open the index in a storage."""
        manifest = read_latest(storage)
        vocabulary = Vocabulary.read(
            lambda name: storage.read(f"vocabulary/{name}"), storage.name_of("vocabulary")
        )
        if (vocabulary.fingerprint, vocabulary.spec.kind) != (
            manifest.vocabulary,
            manifest.features.kind,
        ):
            raise IncompatibleError(
                f"{storage.name_of()}: the index was made with {manifest.features.kind} and "
                f"vocabulary {manifest.vocabulary[:12]}, its folder holds {vocabulary.describe()}: "
                f"put the right one back"
            )
        return cls(storage, vocabulary, picture_root)

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
        """Let go of the mapped files. Whatever else is asked of the index raises IndexClosedError
        from now on; closing again does nothing.
        """
        self._collection = None

    def __len__(self) -> int:
        return self._snapshot.image_count

    @property
    def spec(self) -> FeatureSpec:
        """How pictures are extracted."""
        return self._snapshot.manifest.features

    @property
    def generation(self) -> int:
        """Which generation is searched: it counts commits."""
        return self._snapshot.manifest.generation

    @property
    def picture_root(self) -> str:
        """The folder that pictures are stored relative to, as a path that can be opened."""
        return self._root_of(self._snapshot).folder

    @property
    def _open_collection(self) -> Collection:
        """The collection that is searched. Raises IndexClosedError."""
        if self._collection is None:
            raise IndexClosedError(f"{self._storage.name_of()}: the index is closed; open it again")
        return self._collection

    @property
    def _snapshot(self) -> Snapshot:
        """The generation that is searched."""
        return self._open_collection.snapshot

    def _root_of(self, snapshot: Snapshot) -> PictureRoot:
        """Where the pictures of a generation are."""
        stored = self._new_root or snapshot.manifest.picture_root or "."
        return PictureRoot(self._storage.path, stored, self._storage.relative)

    def _adopt(self, snapshot: Snapshot) -> None:
        """Go on to a generation."""
        if self._collection is None or self._collection.snapshot is not snapshot:
            self._collection = Collection(snapshot)

    def refresh(self) -> bool:
        """Move on to the newest generation. Returns whether there was a newer one.

        Raises:
            IndexMissingError, IndexCorruptError: it cannot be opened; the index stays where it was.
        """
        before = self._snapshot
        self._adopt(newest_snapshot(self._storage, len(self.vocabulary), before))
        return self._snapshot is not before

    def records(self) -> Iterator[ImageRecord]:
        """The images, in the order in which they were added, with paths that can be opened."""
        snapshot = self._snapshot
        full_path = self._root_of(snapshot).opener()
        return (with_full_path(record, full_path) for _, record in snapshot.live_records())

    def record(self, name: str) -> ImageRecord | None:
        """The image of an id, with a path that can be opened; None if there is none."""
        require_types(str, name=name)
        snapshot = self._snapshot
        _, record = snapshot.find([name]).get(name, (0, None))
        return record and with_full_path(record, self._root_of(snapshot).full)

    def page(self, first: int, count: int) -> list[ImageRecord]:
        """Some of the `records`, of which `first` come before; what lies before is not read."""
        snapshot = self._snapshot
        full_path = self._root_of(snapshot).opener()
        images = snapshot.live_images[first : first + count].tolist()
        return [with_full_path(snapshot.record(image), full_path) for image in images]

    def record_of_key(self, key: str) -> ImageRecord | None:
        """The image whose id has a SHA-256 that begins with these 16 hexadecimal digits; with a
        path that can be opened, or None if there is none.
        """
        snapshot = self._snapshot
        record = snapshot.find_key(key)
        return record and with_full_path(record, self._root_of(snapshot).full)

    def record_of_file(self, path: Path) -> ImageRecord | None:
        """The image of a picture file, with a path that can be opened; None if there is none. The
        file need not be there.
        """
        return self.record(self._root_of(self._snapshot).stored(path_text("path", path)))

    def info(self) -> IndexInfo:
        """What the index is, in numbers."""
        snapshot = self._snapshot
        manifest = snapshot.manifest
        features = sum(entry.feature_count for entry in manifest.segments)
        size = self._storage.size() - self._storage.size("vocabulary")
        return IndexInfo(
            image_count=snapshot.image_count,
            deleted_count=len(snapshot.alive) - snapshot.image_count,
            feature_count=features,
            segment_count=len(manifest.segments),
            size_bytes=size,
            bytes_per_feature=size / max(features, 1),
            generation=manifest.generation,
            picture_root=self._root_of(snapshot).folder,
            spec=manifest.features,
            vocabulary=manifest.vocabulary,
            word_count=len(self.vocabulary),
            embeddings=tuple(embedding.name for embedding in manifest.embeddings),
        )

    def require(
        self,
        vocabulary: Vocabulary | None = None,
        *,
        features: str | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> None:
        """Raise IncompatibleError unless the index was made with this vocabulary, this kind of
        features and these limits; None is not checked.
        """
        name = self._storage.name_of()
        if vocabulary is not None and vocabulary.fingerprint != self.vocabulary.fingerprint:
            raise IncompatibleError(
                f"{name}: the index was made with {self.vocabulary.describe()}, asked for is "
                f"{vocabulary.describe()}: make another index"
            )
        for limit, ours, theirs in (
            ("features", self.spec.kind, features),
            ("max_features", self.spec.max_features, max_features),
            ("max_side", self.spec.max_side, max_side),
        ):
            if theirs is not None and ours != theirs:
                raise IncompatibleError(
                    f"{name}: the index was made with {limit} {ours}, asked for is {theirs}: "
                    f"make another index"
                )

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
        """Find the images that show what the query shows.

        Args:
            query: a path, the bytes of a picture file, a file object, or pixels as OpenCV gives
                them: (h, w) grey, (h, w, 3) BGR, (h, w, 4) BGRA.
            options: all that can be said of how to search (see SearchOptions).
            crop, k: in place of those of the options: the query is a part of what is sought; how
                many images to return at most.
            box: x, y, width, height of the part of the query to search with, in pixels.
            where: only images with these metadata. The answer is that of a search among these
                alone, but weights and false alarms stay those of the whole collection.
            limits: what the query may cost, but for the time: nothing here can end a decoder that
                hangs.

        Raises:
            ImageError: the query cannot be used.
            ParameterError: an option or the box is out of range.
            IndexClosedError: the index was closed.
        """
        options = chosen_options(options, crop, k)
        require_types(Limits, limits=limits)
        # the same throughout, should another thread write or close meanwhile
        collection, clock = self._open_collection, Clock()
        spec = collection.snapshot.manifest.features
        features = extract_query(
            query, spec, mirrored=options.mirror, box=box, limits=limits, clock=clock
        )
        return self._answer(collection, features, options, where, clock)

    def search_features(
        self,
        query: QueryFeatures,
        options: SearchOptions,
        *,
        where: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> SearchResult:
        """As `search`, for a query that was read and extracted before (see `query.extract_query`).

        Args:
            clock: has the time of that.
        """
        return self._answer(self._open_collection, query, options, where, clock or Clock())

    def _answer(
        self,
        collection: Collection,
        query: QueryFeatures,
        options: SearchOptions,
        where: Mapping[str, Any] | None,
        clock: Clock,
    ) -> SearchResult:
        """The answer to a query whose features are known."""
        if where is not None and not isinstance(where, Mapping):
            raise ParameterError(f"where: {where!r:.60} is not an object")
        if where is not None:
            collection = collection.restricted_to(collection.snapshot.with_metadata(where))
        full_path, unread = self._root_of(collection.snapshot).opener(), list[str]()
        parts = LocalParts([collection])
        matches = answer(parts, self.vocabulary, query, options, full_path, clock, unread)
        count, searchable = collection.statistics.image_count, bool(collection.searchable.any())
        notes = notes_of(query, count, unread, searchable)
        return SearchResult(
            query=query.name,
            size=query.size,
            box=query.box,
            feature_count=len(query.features),
            timings=clock.timings,
            matches=matches,
            cpu_seconds=clock.cpu_seconds,
            note="; ".join(notes),
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
        """Answer many queries, in their order, in bounded memory: they are taken as answers are
        used up. A query that cannot be used gives a Failure and ends nothing.

        Args:
            queries: as for `search`; or SearchRequests, which say how to search each of them.
                Requests of one picture file that follow one another share its features.
            options, crop, k: as for `search`, for queries that are no SearchRequests.
            jobs: processes that answer; 0 answers in this one.
            limits: what a query may cost; its seconds hold for reading and searching together.

        Raises:
            ParameterError: an argument outside its range.
            IndexClosedError: the index was closed.
            ImageIndexError: the index was written to while processes were opening it.
        """
        require_least(jobs=(jobs, 0))
        require_most(jobs=(jobs, MOST_JOBS))
        require_types(Iterable, queries=queries)
        require_types(Limits, limits=limits)
        options = chosen_options(options, crop, k)
        generation = self._snapshot.manifest.generation
        requests = (
            each if isinstance(each, SearchRequest) else SearchRequest(each, options)
            for each in queries
        )
        opened = partial(_reopened, type(self), self._storage, self._new_root, generation)
        answering = Answering(opened, limits)
        return self._answers(requests, answering, jobs)

    def _answers(
        self, requests: Iterable[SearchRequest], answering: Answering, jobs: int
    ) -> Generator[SearchResult | Failure, None, None]:
        """The answers to requests, from this process or from others."""
        names = deque[str]()

        def sendable() -> Iterator[SearchRequest | Failure]:
            for request in requests:
                names.append(name_of(request.query))
                try:
                    content = source_content(request.query, answering.limits)
                    yield replace(request, query=content)
                except (ImageError, ParameterError) as error:
                    yield Failure(names[-1], getattr(error, "reason", str(error)))

        if not jobs:
            answering.reader = self
        work = Work(partial(answer_request, answering=answering))
        seconds = answering.limits.seconds
        with closing(
            run_in_processes(work, sendable(), CHUNK if jobs else 1, jobs, seconds)
        ) as results:
            for result in results:
                name = names.popleft()
                if isinstance(result, Failure):
                    yield Failure(name, result.reason)
                else:
                    yield replace(result, query=name)


def _reopened(
    kind: type[IndexReader], storage: Storage, new_root: str | None, generation: int
) -> IndexReader:
    """An index as another process opens it. Raises ImageIndexError if it has moved on."""
    reader = kind._opened(storage, None)
    reader._new_root = new_root
    if reader._snapshot.manifest.generation != generation:
        raise ImageIndexError(
            f"{storage.name_of()}: was written to while its queries were being answered; ask again"
        )
    return reader


def with_full_path(record: ImageRecord, full_path: Callable[[str], str]) -> ImageRecord:
    """A record with a path that can be opened."""
    file = record.file
    if file is None:
        return record
    stamp = FileStamp(full_path(file.path), file.size_bytes, file.mtime)
    return replace(record, file=stamp)


def require_least(**values: tuple[int, int]) -> None:
    """Raise ParameterError unless each value, given with the least that it may be, is a whole
    number and not below that.
    """
    for name, (value, least) in values.items():
        if type(value) is not int:
            raise ParameterError(f"{name}: {value!r} is not a whole number")
        if value < least:
            raise ParameterError(f"{name}: {value} is below {least}")


def require_most(**values: tuple[int, int]) -> None:
    """Raise ParameterError if a value, given with the most that it may be, is above that."""
    for name, (value, most) in values.items():
        if value > most:
            raise ParameterError(f"{name}: {value} is above {most}: the memory would not suffice")
