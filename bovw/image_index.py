"""The index: create, open, search, add, remove, merge. The front door."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType
from typing import Any

from .errors import (
    ImageError,
    ImageIndexError,
    IncompatibleError,
    IndexClosedError,
    IndexMissingError,
    ParameterError,
)
from .features.local import FeatureSpec
from .features.vocabulary import Vocabulary
from .index.manifest import Manifest, read_latest
from .index.paths import PictureRoot, stored_root
from .index.record import FileStamp, ImageRecord
from .index.snapshot import Snapshot, newest_snapshot
from .index.update import AddReport, RemoveReport, Update, remove, remove_ids
from .index.writer import Writer, create_index, remove_garbage
from .pictures.files import find_images, path_list
from .pictures.reading import LIMITS, Box, Limits, Source, name_of, source_content
from .reporting import Failure, OnFailure, Progress
from .search.collection import Collection
from .search.match import Match
from .search.options import SearchOptions
from .search.query import Clock, QueryFeatures, encode_variants, extract_query
from .search.ranking import answer_part, describe, merge_parts
from .search.result import SearchResult
from .searcher import IndexInfo, SearchRequest
from .storage.base import Storage
from .storage.directory import Directory
from .storage.memory import MemoryStorage
from .workers.pool import Work, run_in_processes

__all__ = ["ImageIndex"]

# Images of a commit: an interrupted run loses at most so many, and each takes some 0.2 s.
BATCH = 256
# Queries that a process answers before it gives the answers back.
CHUNK = 10

Path = str | os.PathLike[str]


class ImageIndex:
    """An index of pictures in a folder on disk, or in memory.

    A reader sees one generation, the newest when it was opened, whatever writers do; `refresh`
    moves it on, and so does writing through it. Any number of readers and one writer may use an
    index at a time, in threads and processes. Use it as a context manager, or call `close`; a
    closed index raises IndexClosedError.

    Attributes:
        vocabulary: the visual words of its images.
    """

    def __init__(
        self, storage: Storage, vocabulary: Vocabulary, picture_root: Path | None = None
    ) -> None:
        """Not to be called directly: see `create`, `open`, `open_or_create` and `in_memory`."""
        self.vocabulary = vocabulary
        self._storage = storage
        self._new_root = None
        if picture_root is not None:
            self._new_root = stored_root(storage.path, os.fspath(picture_root))
        self._collection: Collection | None = None
        self._adopt(newest_snapshot(storage, len(vocabulary)))

    @classmethod
    def create(
        cls,
        path: Path,
        vocabulary: Vocabulary | None = None,
        *,
        picture_root: Path | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Make an empty index at `path`, which must not hold one.

        Args:
            path: the folder; it is created.
            vocabulary: copied into the index; the shipped RootSIFT one by default.
            picture_root: pictures below this folder are stored relative to it, so that they can
                move together with the index. By default the folder above the index and the first
                pictures that are added.
            max_features, max_side: limits of the extraction (see FeatureSpec); those of the
                vocabulary by default.

        Raises:
            IndexExistsError: there is an index, or the folder holds other things.
        """
        return cls._made(Directory(path), vocabulary, picture_root, max_features, max_side)

    @classmethod
    def in_memory(
        cls,
        vocabulary: Vocabulary | None = None,
        *,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Make an empty index in memory: it is gone when it is closed, and leaves nothing behind.

        Args: as for `create`. Paths are stored relative to the current folder.
        """
        return cls._made(MemoryStorage(), vocabulary, None, max_features, max_side)

    @classmethod
    def _made(
        cls,
        storage: Storage,
        vocabulary: Vocabulary | None,
        picture_root: Path | None,
        max_features: int | None,
        max_side: int | None,
    ) -> ImageIndex:
        """Make an empty index in a storage."""
        vocabulary = vocabulary or Vocabulary.shipped()
        spec = vocabulary.spec.limited(max_features, max_side)
        root = None if picture_root is None else stored_root(storage.path, os.fspath(picture_root))
        manifest = Manifest(1, spec, vocabulary.fingerprint, picture_root=root)
        create_index(storage, vocabulary, manifest)
        return cls(storage, vocabulary)

    @classmethod
    def open(cls, path: Path, *, picture_root: Path | None = None) -> ImageIndex:
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
    def _opened(cls, storage: Storage, picture_root: Path | None) -> ImageIndex:
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

    @classmethod
    def open_or_create(
        cls,
        path: Path,
        vocabulary: Vocabulary | None = None,
        *,
        picture_root: Path | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Open the index at `path`, or make one if there is none.

        Args: as for `create`; what is given must fit an index that is there.

        Raises:
            IncompatibleError: the index that is there was made with another vocabulary or other
                limits.
            IndexExistsError, IndexVersionError, IndexCorruptError, VocabularyError: as `create` and
                `open`.
        """
        try:
            index = cls.open(path, picture_root=picture_root)
        except IndexMissingError:
            return cls.create(
                path,
                vocabulary,
                picture_root=picture_root,
                max_features=max_features,
                max_side=max_side,
            )
        try:
            index.require(vocabulary, max_features=max_features, max_side=max_side)
        except IncompatibleError:
            index.close()
            raise
        return index

    def __enter__(self) -> ImageIndex:
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
        root = self._root_of(snapshot)
        return (with_full_path(record, root) for _, record in snapshot.live_records())

    def record(self, name: str) -> ImageRecord | None:
        """The image of an id, with a path that can be opened; None if there is none."""
        snapshot = self._snapshot
        _, record = snapshot.find([name]).get(name, (0, None))
        return record and with_full_path(record, self._root_of(snapshot))

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

    @contextmanager
    def _writer(self, wait: bool) -> Iterator[Writer]:
        """Hold the lock, move on to the newest generation, and change it. What a failure leaves
        behind is removed.
        """
        self._open_collection  # noqa: B018 - raises if the index is closed
        with self._storage.lock(wait):
            self.refresh()
            remove_garbage(self._storage, self._snapshot.manifest)
            writer = Writer(self._storage, self._snapshot, self._adopt)
            try:
                if self._new_root not in (None, writer.picture_root):
                    writer.set_root(self._new_root)
                yield writer
            except BaseException:
                with suppress(ImageIndexError):  # what failed may have come after the commit
                    remove_garbage(self._storage, read_latest(self._storage))
                raise

    def add(
        self,
        paths: Path | Iterable[Path],
        *,
        metadata: Mapping[str, Any] | None = None,
        jobs: int = 0,
        batch: int = BATCH,
        check_content: bool = False,
        prune: bool = False,
        wait: bool = False,
        limits: Limits = LIMITS,
        progress: Progress | None = None,
        failure: OnFailure | None = None,
    ) -> AddReport:
        """Add pictures: files, and all image files below folders. What is in the index unchanged is
        left alone. The id of an image is its path as it is stored.

        One unreadable picture never ends a run. An interrupted run keeps what was committed, and
        the next goes on from there.

        Args:
            paths: files and folders.
            metadata: a JSON object of at most 4 KB, for all images that this run adds or reads
                again; what these had before stays beside it.
            jobs: processes for the extraction. 0 works in this one, where nothing can end a decoder
                that hangs, and one that crashes takes the program with it.
            batch: commit after so many images.
            check_content: a picture counts as changed if its content has another hash, instead of
                if its size or modification time is another. Reads every file.
            prune: remove images at and below `paths` whose files are gone; a folder that is absent
                itself loses nothing.
            wait: wait while another process is writing.
            limits: what a picture may cost before it is left out.
            progress: called with ("index", done, total) after each picture that was read.
            failure: called with each picture that is left out, at once.

        Raises:
            IndexLockedError: another process is writing to this index, and `wait` is off.
            ImageIndexError: the disk is full or cannot be written to; what was committed is kept.
            ParameterError: an argument outside its range.
        """
        require_least(jobs=(jobs, 0), batch=(batch, 1))
        named = path_list(paths)
        files, problems = find_images(named)
        with self._writer(wait) as writer:
            update = Update(
                writer,
                self.vocabulary,
                jobs=jobs,
                batch=batch,
                limits=limits,
                progress=progress,
                failure=failure,
            )
            update.add_files(files, problems, check_content, metadata or {})
            if prune:
                update.prune(named)
            return update.report

    def add_images(
        self,
        items: Iterable[tuple[str, Source, Mapping[str, Any] | None]],
        *,
        jobs: int = 0,
        batch: int = BATCH,
        wait: bool = False,
        limits: Limits = LIMITS,
        progress: Progress | None = None,
        failure: OnFailure | None = None,
    ) -> AddReport:
        """Add pictures from anywhere, each under an id of your own. An image that is there under
        the id is replaced, unless content, file and metadata are the same.

        Args:
            items: (id, picture, metadata). The id is a text that names the image in this index. The
                picture is a path, the bytes of a file, a file object, or pixels as OpenCV gives
                them. Metadata are a JSON object of at most 4 KB, or None. They are taken one by
                one, so a generator may be longer than memory.
            jobs, batch, wait, limits, progress, failure: as for `add`; failures are named by id.

        Raises:
            IndexLockedError, ImageIndexError, ParameterError: as `add`. What came before an item
                that is no such triple is not committed.
        """
        require_least(jobs=(jobs, 0), batch=(batch, 1))
        with self._writer(wait) as writer:
            update = Update(
                writer,
                self.vocabulary,
                jobs=jobs,
                batch=batch,
                limits=limits,
                progress=progress,
                failure=failure,
            )
            update.add_items(items)
            return update.report

    def remove(self, paths: Path | Iterable[Path], *, wait: bool = False) -> RemoveReport:
        """Remove images from the index: those of these paths, and those below folders. No picture
        file is touched.

        Args:
            paths: as they are on disk or would be if they were still there.
            wait: wait while another process is writing.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        named = path_list(paths)
        with self._writer(wait) as writer:
            return remove(writer, named)

    def remove_images(self, ids: str | Iterable[str], *, wait: bool = False) -> RemoveReport:
        """Remove images from the index by their ids. No picture file is touched.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        named = [ids] if isinstance(ids, str) else list(ids)
        with self._writer(wait) as writer:
            return remove_ids(writer, named)

    def merge(self, *, wait: bool = False) -> None:
        """Merge all segments into one and drop what is deleted: the smallest and fastest form of an
        index.

        Adding merges small segments by itself (see `writer.mergeable_run`); this is for an index
        that is complete.

        Args:
            wait: wait while another process is writing.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        with self._writer(wait) as writer:
            writer.merge_all()

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
        # the same throughout, should another thread write or close meanwhile
        collection, clock = self._open_collection, Clock()
        features = extract_query(
            query, self.spec, mirrored=options.mirror, box=box, limits=limits, clock=clock
        )
        return self._answer(collection, features, options, where, clock)

    def _answer(
        self,
        collection: Collection,
        query: QueryFeatures,
        options: SearchOptions,
        where: Mapping[str, Any] | None,
        clock: Clock,
    ) -> SearchResult:
        """The answer to a query whose features are known."""
        variants = encode_variants(query, self.vocabulary, options)
        clock.lap("quantise")
        matches = list[Match]()
        if len(query.features):
            if where:
                collection = collection.restricted_to(collection.snapshot.with_metadata(where))
            answers = [answer_part(collection, variants, options, clock)]
            ranking = merge_parts(answers, options)
            clock.lap("verify")
            root = self._root_of(collection.snapshot)
            for match in describe(answers, ranking, variants, options):
                path = match.path and root.full(match.path)
                matches.append(replace(match, path=path))
            clock.lap("describe")
        return SearchResult(
            query=query.name,
            size=query.size,
            box=query.box,
            feature_count=len(query.features),
            timings=clock.timings,
            matches=matches,
            cpu_seconds=clock.cpu_seconds,
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
        options = chosen_options(options, crop, k)
        snapshot = self._snapshot
        requests = (
            each if isinstance(each, SearchRequest) else SearchRequest(each, options)
            for each in queries
        )
        answering = Answering(self._storage, self._new_root, snapshot.manifest.generation, limits)
        return self._answers(requests, answering, jobs)

    def _answers(
        self, requests: Iterable[SearchRequest], answering: Answering, jobs: int
    ) -> Generator[SearchResult | Failure, None, None]:
        """The answers to requests, from this process or from others."""
        names = list[str]()

        def sendable() -> Iterator[SearchRequest | Failure]:
            for request in requests:
                names.append(name_of(request.query))
                try:
                    content = source_content(request.query, answering.limits)
                    yield replace(request, query=content)
                except (ImageError, ParameterError) as error:
                    yield Failure(names[-1], getattr(error, "reason", str(error)))

        if not jobs:
            answering.index = self
        work = Work(partial(answer_request, answering=answering))
        seconds = answering.limits.seconds
        with closing(
            run_in_processes(work, sendable(), CHUNK if jobs else 1, jobs, seconds)
        ) as results:
            for result in results:
                name = names.pop(0)
                if isinstance(result, Failure):
                    yield Failure(name, result.reason)
                else:
                    yield replace(result, query=name)


class Answering:
    """An index as whoever answers has it: opened once in each process.

    Attributes:
        limits: what a query may cost.
    """

    def __init__(
        self, storage: Storage, new_root: str | None, generation: int, limits: Limits
    ) -> None:
        self._storage, self._new_root, self._generation = storage, new_root, generation
        self.limits = limits
        self._last: tuple[tuple[str, str, bool] | None, QueryFeatures, Clock] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("index", "_last")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _last=None)

    @cached_property
    def index(self) -> ImageIndex:
        """The index. Raises ImageIndexError if it has another generation by now."""
        index = ImageIndex._opened(self._storage, None)
        index._new_root = self._new_root
        if index.info().generation != self._generation:
            raise ImageIndexError(
                f"{self._storage.name_of()}: was written to while its queries were being answered; "
                f"ask again"
            )
        return index

    def answer(self, request: SearchRequest) -> SearchResult:
        """The answer to a request. Raises ImageError or ParameterError."""
        options = request.options
        # the mirror image of RootSIFT features costs nothing
        mirrored = options.mirror or self.index.spec.kind == "rootsift"
        key = None  # only a path stands for a picture
        if isinstance(request.query, str):
            key = (request.query, repr(request.box), mirrored)
        if self._last is None or key is None or self._last[0] != key:
            clock = Clock()
            features = extract_query(
                request.query,
                self.index.spec,
                mirrored=mirrored,
                box=request.box,
                limits=self.limits,
                clock=clock,
            )
            self._last = (key, features, clock)
        _, features, clock = self._last
        collection = self.index._open_collection
        return self.index._answer(collection, features, options, request.where, clock.branch())


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


def chosen_options(
    options: SearchOptions | None, crop: bool | None, k: int | None
) -> SearchOptions:
    """The options of a search, with what was said in place of some of them."""
    if not isinstance(options, SearchOptions | None):
        raise ParameterError(f"options: {type(options).__name__} is not SearchOptions")
    chosen = options or SearchOptions()
    if crop is not None:
        chosen = replace(chosen, crop=crop)
    return chosen if k is None else replace(chosen, k=k)


def require_least(**values: tuple[int, int]) -> None:
    """Raise ParameterError unless each value, given with the least that it may be, is a whole
    number and not below that.
    """
    for name, (value, least) in values.items():
        if type(value) is not int:
            raise ParameterError(f"{name}: {value!r} is not a whole number")
        if value < least:
            raise ParameterError(f"{name}: {value} is below {least}")


def with_full_path(record: ImageRecord, root: PictureRoot) -> ImageRecord:
    """A record with a path that can be opened."""
    file = record.file
    if file is None:
        return record
    full = FileStamp(root.full(file.path), file.size_bytes, file.mtime)
    return replace(record, file=full)
