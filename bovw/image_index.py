"""The index: create, open, search, add, remove, merge. The facade."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageIndexError, IncompatibleError, IndexExistsError, ParameterError
from .features.encoding import encode_query, load_picture
from .features.local import FeatureSpec, extract, mirror
from .features.vocabulary import Vocabulary, shipped_vocabulary
from .index import manifest as manifests
from .index.manifest import Manifest
from .index.paths import PictureRoot, stored_root
from .index.segment import ImageRecord
from .index.snapshot import Snapshot, newest_snapshot
from .index.update import AddReport, RemoveReport, Update, remove
from .index.writer import Writer, remove_garbage
from .pictures.files import find_images, path_list
from .pictures.reading import LIMITS, Box, Limits
from .reporting import OnFailure, Progress
from .search.match import Match
from .search.ranking import Clock, SearchOptions, describe, rank
from .search.result import ARRAY, SearchResult
from .storage import Directory

__all__ = ["ImageIndex", "IndexInfo"]

# Images of a commit: an interrupted run loses at most so many, and each takes some 0.2 s.
BATCH = 256


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


class ImageIndex:
    """An index of pictures in a folder on disk.

    A reader sees one generation, the newest when it was opened, whatever writers do; `refresh`
    moves it on, and so does writing through it. Any number of readers and one writer may use an
    index at a time, in threads and processes. Use it as a context manager, or call `close`.

    Attributes:
        snapshot: the generation that is searched.
        picture_root: where the pictures are.
    """

    def __init__(
        self,
        directory: Directory,
        vocabulary: Vocabulary,
        picture_root: str | os.PathLike[str] | None = None,
    ) -> None:
        """Not to be called directly: see `create` and `open`."""
        self.directory, self.vocabulary = directory, vocabulary
        self.new_root = (
            None if picture_root is None else stored_root(directory.path, os.fspath(picture_root))
        )
        self.snapshot: Snapshot
        self.adopt(newest_snapshot(directory, len(vocabulary)))

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        vocabulary: Vocabulary | None = None,
        *,
        picture_root: str | os.PathLike[str] | None = None,
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
        vocabulary = vocabulary or Vocabulary.load(shipped_vocabulary())
        directory = Directory(path)
        require_free(directory)
        spec = vocabulary.spec.limited(max_features, max_side)
        directory.make("segments")
        with directory.lock():
            require_free(directory)  # another process may have made one meanwhile
            stored = (
                None
                if picture_root is None
                else stored_root(directory.path, os.fspath(picture_root))
            )
            try:
                write_first(
                    directory,
                    vocabulary,
                    Manifest(1, spec, vocabulary.fingerprint, picture_root=stored),
                )
            except BaseException:
                with suppress(ImageIndexError):
                    directory.remove(f"tmp-{manifests.file_name(1)}")
                    if not manifests.generations(directory):
                        directory.remove("vocabulary")
                raise
        return cls(directory, vocabulary)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, picture_root: str | os.PathLike[str] | None = None
    ) -> ImageIndex:
        """Open the newest generation of an index.

        Args:
            picture_root: where the pictures are now, if they have moved without the index. Writing
                through this object records it.

        Raises:
            IndexMissingError, IndexVersionError, IndexCorruptError, VocabularyError: it cannot be
                opened.
        """
        directory = Directory(path)
        manifest = manifests.read_latest(directory)
        vocabulary = Vocabulary.load(directory.path / "vocabulary")
        if (vocabulary.fingerprint, vocabulary.spec.kind) != (
            manifest.vocabulary,
            manifest.features.kind,
        ):
            raise IncompatibleError(
                f"{directory.path}: the index was made with {manifest.features.kind} and vocabulary {manifest.vocabulary[:12]}, "
                f"its folder holds {vocabulary.describe()}: put the right one back"
            )
        return cls(directory, vocabulary, picture_root)

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
        """Let go of the mapped files. The index is empty afterwards."""
        self.snapshot = Snapshot(
            replace(self.snapshot.manifest, segments=()), [], len(self.vocabulary)
        )

    def __len__(self) -> int:
        return self.snapshot.image_count

    @property
    def spec(self) -> FeatureSpec:
        """How pictures are extracted."""
        return self.snapshot.manifest.features

    def adopt(self, snapshot: Snapshot) -> None:
        """Go on to a generation."""
        self.picture_root = PictureRoot(
            self.directory.path,
            self.new_root or snapshot.manifest.picture_root or ".",
            self.directory.relative,
        )
        self.snapshot = snapshot

    def refresh(self) -> bool:
        """Move on to the newest generation. Returns whether there was a newer one.

        Raises:
            IndexMissingError, IndexCorruptError: it cannot be opened; the index stays where it was.
        """
        before = self.snapshot
        self.adopt(newest_snapshot(self.directory, len(self.vocabulary), before))
        return self.snapshot is not before

    def records(self) -> Iterator[ImageRecord]:
        """The images, in the order in which they were added, with paths that can be opened."""
        root = self.picture_root
        return (
            replace(record, path=root.full(record.path))
            for _, record in self.snapshot.live_records()
        )

    def info(self) -> IndexInfo:
        """What the index is, in numbers."""
        manifest = self.snapshot.manifest
        features = sum(entry.feature_count for entry in manifest.segments)
        size = self.directory.size() - self.directory.size("vocabulary")
        return IndexInfo(
            image_count=self.snapshot.image_count,
            deleted_count=len(self.snapshot.alive) - self.snapshot.image_count,
            feature_count=features,
            segment_count=len(manifest.segments),
            size_bytes=size,
            bytes_per_feature=size / max(features, 1),
            generation=manifest.generation,
            picture_root=self.picture_root.folder,
            spec=manifest.features,
            vocabulary=manifest.vocabulary,
            word_count=len(self.vocabulary),
        )

    def require(
        self,
        features: str | None = None,
        vocabulary: Vocabulary | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> None:
        """Raise IncompatibleError unless the index was made with these features, vocabulary and
        limits; None is not checked.
        """
        if vocabulary is not None and vocabulary.fingerprint != self.vocabulary.fingerprint:
            raise IncompatibleError(
                f"{self.directory.path}: the index was made with {self.vocabulary.describe()}, asked for is "
                f"{vocabulary.describe()}: make another index"
            )
        for name, ours, theirs in (
            ("features", self.spec.kind, features),
            ("max_features", self.spec.max_features, max_features),
            ("max_side", self.spec.max_side, max_side),
        ):
            if theirs is not None and ours != theirs:
                raise IncompatibleError(
                    f"{self.directory.path}: the index was made with {name} {ours}, asked for is {theirs}: make another index"
                )

    @contextmanager
    def writer(self, wait: bool) -> Iterator[Writer]:
        """Hold the lock, move on to the newest generation, and change it. What a failure leaves
        behind is removed.
        """
        with self.directory.lock(wait):
            self.refresh()
            remove_garbage(self.directory, self.snapshot.manifest)
            writer = Writer(self.directory, self.snapshot, self.adopt)
            try:
                if self.new_root not in (None, writer.picture_root):
                    writer.set_root(self.new_root)
                yield writer
            except BaseException:
                with suppress(ImageIndexError):  # what failed may have come after the commit
                    remove_garbage(self.directory, manifests.read_latest(self.directory))
                raise

    def add(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
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
        left alone.

        One unreadable picture never ends a run. An interrupted run keeps what was committed, and
        the next goes on from there.

        Args:
            paths: files and folders.
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
        """
        for name, value, least in (("jobs", jobs, 0), ("batch", batch, 1)):
            if value < least:
                raise ParameterError(f"{name}: {value} is below {least}")
        named = path_list(paths)
        files, problems = find_images(named)
        with self.writer(wait) as writer:
            update = Update(writer, jobs, batch, check_content, limits)
            update.add(files, problems, progress, failure)
            if prune:
                update.prune(named)
            return update.report

    def remove(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        wait: bool = False,
    ) -> RemoveReport:
        """Remove images from the index: those of these paths, and those below folders. No picture
        file is touched.

        Args:
            paths: as they are on disk or would be if they were still there.
            wait: wait while another process is writing.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        named = path_list(paths)
        with self.writer(wait) as writer:
            return remove(writer, named)

    def merge(self, *, wait: bool = False) -> None:
        """Fold all segments into one and drop what is deleted: the smallest and fastest form of an
        index.

        Adding folds small segments by itself (see `writer.mergeable_run`); this is for an index
        that is complete.

        Args:
            wait: wait while another process is writing.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        with self.writer(wait) as writer:
            writer.merge_all()

    def search(
        self,
        query: str | os.PathLike[str] | NDArray[Any],
        options: SearchOptions | None = None,
        *,
        box: Box | None = None,
        limits: Limits = LIMITS,
    ) -> SearchResult:
        """Find the images that show what the query shows.

        Args:
            query: a picture file, or pixels as OpenCV gives them: (h, w) grey, (h, w, 3) BGR, (h,
                w, 4) BGRA.
            options: see SearchOptions; `SearchOptions(crop=True)` for a query that is a part of
                what is sought.
            box: x, y, width, height of the part of the query to search with, in pixels.
            limits: what the query may cost, but for the time: nothing here can end a decoder that
                hangs.

        Raises:
            ImageError: the query cannot be used.
            ParameterError: an option or the box is out of range.
        """
        options = options or SearchOptions()
        snapshot, root = (
            self.snapshot,
            self.picture_root,
        )  # the same throughout, should another thread write or close meanwhile
        clock = Clock()
        picture = load_picture(query, self.spec, box, limits)
        clock.lap("read")
        features = extract(picture, self.spec)
        mirrored = mirror(features, picture, self.spec) if options.mirror else None
        clock.lap("extract")
        queries = encode_query(features, mirrored, self.vocabulary, options.words_per_feature)
        clock.lap("quantise")
        matches: list[Match] = []
        if len(features):
            ranking = rank(snapshot, queries, options, clock)
            matches = [
                replace(match, path=root.full(match.path))
                for match in describe(snapshot, queries, ranking, options)
            ]
            clock.lap("describe")
        name = ARRAY if isinstance(query, np.ndarray) else os.fspath(query)
        return SearchResult(name, picture.size, picture.box, len(features), clock.timings, matches)


def write_first(directory: Directory, vocabulary: Vocabulary, manifest: Manifest) -> None:
    """Write the first generation of an index, with its vocabulary."""
    directory.remove("vocabulary")
    directory.make("vocabulary")
    contents = vocabulary.files()
    for name, content in contents.items():
        directory.write(f"vocabulary/{name}", content)
    directory.sync("vocabulary")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifests.publish(directory, replace(manifest, vocabulary_files=digests))


def require_free(directory: Directory) -> None:
    """Raise IndexExistsError unless an index can be made in a folder: absent, empty, or left by a
    crash while making one.
    """
    if manifests.generations(directory):
        raise IndexExistsError(
            f"{directory.path}: there is an index already; open it, or choose another place"
        )
    if {name for name in directory.names() if not name.startswith("tmp-")} - {
        ".lock",
        "vocabulary",
        "segments",
    }:
        raise IndexExistsError(
            f"{directory.path}: the folder holds other things than an index; choose another place"
        )
