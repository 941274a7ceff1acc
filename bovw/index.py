"""The index: create, open, add, search."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from . import manifest as manifests
from .encoding import EncodedImage, encode, encode_all, encode_mirrored, load_picture
from .errors import ImageError, IncompatibleError, IndexCorruptError, IndexExistsError, IndexMissingError, ParameterError
from .features import Features, FeatureSpec, extract, mirror, one_opencv_thread
from .images import Box, find_images
from .manifest import Manifest, SegmentEntry
from .scan import Snapshot
from .search import Clock, Match, SearchOptions, describe, rank
from .segment import ImageRecord, Segment, merge_segments, write_segment
from .storage import Directory
from .vocabulary import Vocabulary, npy_bytes, shipped_vocabulary

__all__ = ["AddReport", "ImageIndex", "SearchResult"]

BATCH = 256
FAN_IN = 8
# Pictures that a worker encodes together.
CHUNK = 8
# Features of a segment are numbered in 32 bits.
MAX_FEATURES = 2**32
Progress = Callable[[int, int, "str | ImageError"], None]


@dataclass(frozen=True)
class AddReport:
    """What `ImageIndex.add` did.

    Attributes:
        added: images that are new in the index.
        changed: images that were in it, and were read again because their size or modification time had changed.
        unchanged: images that were in it and were left alone.
        failed: pictures that were left out, and why; those that could not even be found come first.
        absent: how many of `failed` could not be found.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: list[ImageError] = field(default_factory=list)
    absent: int = 0


@dataclass(frozen=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        query: its path, or "<array>".
        size: (width, height) of the query in pixels, upright.
        box: x, y, width, height of the part that was searched.
        features: local features of the query; without any there is nothing to search with.
        seconds: time of each step.
        matches: best first.
    """

    query: str
    size: tuple[int, int]
    box: Box
    features: int
    seconds: dict[str, float]
    matches: list[Match]


class ImageIndex:
    """An index of pictures in a folder on disk.

    A reader sees one generation, the newest when it was opened, and never changes under its user; `add` moves this one on.
    Safe to search from several threads. Use it as a context manager, or call `close`.
    """

    def __init__(self, directory: Directory, vocabulary: Vocabulary, manifest: Manifest) -> None:
        """Not to be called directly: see `create` and `open`."""
        self.directory, self.vocabulary = directory, vocabulary
        self.load(manifest)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        vocabulary: Vocabulary | None = None,
        *,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Make an empty index at `path`, which must not hold one.

        Args:
            path: the folder; it is created.
            vocabulary: copied into the index; the shipped RootSIFT one by default.
            max_features, max_side: limits of the extraction (see FeatureSpec); those of the vocabulary by default.

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
            directory.remove("vocabulary")
            directory.make("vocabulary")
            for name, content in vocabulary.files().items():
                directory.write(f"vocabulary/{name}", content)
            directory.sync("vocabulary")
            manifest = Manifest(1, spec, vocabulary.fingerprint)
            manifests.publish(directory, manifest)
        return cls(directory, vocabulary, manifest)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ImageIndex:
        """Open the newest generation of an index.

        Raises:
            IndexMissingError, IndexVersionError, IndexCorruptError, VocabularyError: it cannot be opened.
        """
        directory = Directory(path)
        if not directory.root.is_dir():
            raise IndexMissingError(f"{directory.root}: there is no index here; make one with `bovw index`")
        manifest = manifests.read_latest(directory)
        vocabulary = Vocabulary.load(directory.root / "vocabulary")
        while True:
            try:
                return cls.of_generation(directory, vocabulary, manifest)
            except IndexCorruptError:
                newest = manifests.read_latest(directory)
                if newest.generation == manifest.generation:
                    raise
                manifest = newest  # a writer has moved on and removed what the older generation names

    @classmethod
    def of_generation(cls, directory: Directory, vocabulary: Vocabulary, manifest: Manifest) -> ImageIndex:
        """One generation of an index whose vocabulary has been read."""
        if vocabulary.fingerprint != manifest.vocabulary:
            raise IncompatibleError(
                f"{directory.root}: the index was made with vocabulary {manifest.vocabulary[:12]}, its folder holds "
                f"{vocabulary.describe()}: put the right one back"
            )
        return cls(directory, vocabulary, manifest)

    def load(self, manifest: Manifest) -> None:
        """Open the segments of a generation."""
        self.manifest = manifest
        words = len(self.vocabulary)
        segments = [Segment(self.directory, entry.name, words) for entry in manifest.segments]
        deleted, documents = [], np.zeros(words, np.int64)
        for entry, segment in zip(manifest.segments, segments, strict=True):
            gone, gone_documents = self.read_deleted(entry, segment)
            deleted.append(gone)
            documents += segment.document_counts
            documents -= gone_documents
        self.snapshot = Snapshot(segments, deleted, documents, manifest.features.max_side)

    def read_deleted(self, entry: SegmentEntry, segment: Segment) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which images of a segment are deleted (images,), and how many of them have each word (W,)."""
        if not entry.deleted:
            return np.zeros(segment.images, bool), np.zeros(len(self.vocabulary), np.int64)
        name = f"deleted/{entry.name}-{entry.deleted:08d}"
        gone = self.directory.array(f"{name}.npy", ("|b1",), (segment.images,))
        documents = self.directory.array(f"{name}-documents.npy", ("<u4",), (len(self.vocabulary),))
        return np.asarray(gone), documents.astype(np.int64)

    def __enter__(self) -> ImageIndex:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the mapped files. The index is empty afterwards."""
        self.snapshot = Snapshot([], [], np.zeros(len(self.vocabulary), np.int64), self.spec.max_side)

    def __len__(self) -> int:
        """How many images are in the index."""
        return self.snapshot.images

    @property
    def spec(self) -> FeatureSpec:
        """How its images were extracted."""
        return self.manifest.features

    @property
    def path(self) -> Path:
        """The folder of the index."""
        return self.directory.root

    def require(
        self,
        features: str | None = None,
        vocabulary: Vocabulary | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> None:
        """Raise IncompatibleError unless the index was made with these features, vocabulary and limits; None is not checked."""
        if vocabulary is not None and vocabulary.fingerprint != self.vocabulary.fingerprint:
            raise IncompatibleError(
                f"{self.path}: the index was made with {self.vocabulary.describe()}, asked for is "
                f"{vocabulary.describe()}: make another index"
            )
        for name, ours, theirs in (
            ("features", self.spec.name, features),
            ("max_features", self.spec.max_features, max_features),
            ("max_side", self.spec.max_side, max_side),
        ):
            if theirs is not None and ours != theirs:
                raise IncompatibleError(f"{self.path}: the index was made with {name} {ours}, asked for is {theirs}: make another index")

    def add(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> AddReport:
        """Add pictures: files, and all image files below folders. What is in the index unchanged is left alone.

        Every 256 pictures are committed: an interrupted run keeps them. One unreadable picture never ends a run.

        Args:
            paths: files and folders.
            jobs: processes for the extraction.
            progress: called with (done, total, path or ImageError) after each picture.

        Raises:
            IndexLockedError: another process is writing to this index.
        """
        if jobs < 1:
            raise ParameterError(f"jobs: {jobs} is below 1")
        files, problems = find_images(paths)
        with self.directory.lock():
            self.load(manifests.read_latest(self.directory))
            self.remove_rubbish()
            return self.add_files(files, problems, jobs, progress)

    def add_files(self, files: Sequence[str], problems: list[ImageError], jobs: int, progress: Progress | None) -> AddReport:
        """Add picture files; the writer's lock is held."""
        known = self.known_images()
        failed = list(problems)
        todo = [path for path in files if path not in known or is_changed(path, known[path][1])]
        added = changed = 0
        batch: list[tuple[ImageRecord, EncodedImage]] = []
        chunks = [todo[first : first + CHUNK] for first in range(0, len(todo), CHUNK)]
        tasks = (joblib.delayed(encode_files)(chunk, str(self.path / "vocabulary"), self.spec) for chunk in chunks)
        results = chain.from_iterable(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks))
        for done, (path, result) in enumerate(zip(todo, results, strict=True), 1):
            if isinstance(result, ImageError):
                failed.append(result)
            else:
                batch.append(result)
                added, changed = added + (path not in known), changed + (path in known)
            if len(batch) == BATCH:
                self.commit(batch, known)
                batch = []
            if progress:
                progress(done, len(todo), result if isinstance(result, ImageError) else path)
        if batch:
            self.commit(batch, known)
        self.merge()
        return AddReport(added, changed, len(files) - len(todo), failed, len(problems))

    def known_images(self) -> dict[str, tuple[int, ImageRecord]]:
        """The live images by path, with their numbers in the snapshot."""
        known = {}
        for first, segment in zip(self.snapshot.first_image.tolist(), self.snapshot.segments, strict=False):
            for ordinal, record in enumerate(segment.records(), first):
                if self.snapshot.alive[ordinal]:
                    known[record.path] = ordinal, record
        return known

    def commit(self, batch: Sequence[tuple[ImageRecord, EncodedImage]], known: dict[str, tuple[int, ImageRecord]]) -> None:
        """Publish a generation with a new segment; older images of the same paths are deleted in the same stroke."""
        generation = self.manifest.generation + 1
        name = f"{generation:08d}"
        write_segment(self.directory, name, batch, len(self.vocabulary))
        changed = {record.path for record, _ in batch} & known.keys()
        # merging renumbers the images, so their numbers are looked up now
        live = self.known_images() if changed else {}
        replaced = [live[path][0] for path in sorted(changed)]
        entries = self.with_deleted(replaced, generation)
        entry = SegmentEntry(name, len(batch), sum(len(image) for _, image in batch))
        self.publish([*entries, entry])
        self.merge()

    def with_deleted(self, images: Sequence[int], generation: int) -> list[SegmentEntry]:
        """The segment entries after deleting images of the snapshot; writes the deletion files that they name."""
        gone = ~self.snapshot.alive
        gone[list(images)] = True
        entries = []
        for number, (entry, segment) in enumerate(zip(self.manifest.segments, self.snapshot.segments, strict=True)):
            block = slice(*self.snapshot.first_image[number : number + 2].tolist())
            if (gone[block] & self.snapshot.alive[block]).any():
                self.directory.make("deleted")
                file = f"deleted/{entry.name}-{generation:08d}"
                self.directory.write(f"{file}.npy", npy_bytes(gone[block]))
                self.directory.write(f"{file}-documents.npy", npy_bytes(segment.documents_of(gone[block]).astype("<u4")))
                self.directory.sync("deleted")
                entry = replace(entry, deleted=generation)
            entries.append(entry)
        return entries

    def merge(self) -> None:
        """Fold the newest segments together whenever eight of one size class have gathered.

        So n images lie in about 7 log8(n / 256) segments, and each was written about log8(n / 256) times.
        """
        while run := mergeable(self.manifest.segments):
            first = len(self.manifest.segments) - run
            segments = self.snapshot.segments[first:]
            bounds = self.snapshot.first_image[first:]
            kept = [self.snapshot.alive[low:high] for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
            name = f"{self.manifest.generation + 1:08d}"
            merged = []
            if any(keep.any() for keep in kept):
                merge_segments(self.directory, name, segments, kept, len(self.vocabulary))
                features = sum(int(np.diff(s.feature_starts)[keep].sum()) for s, keep in zip(segments, kept, strict=True))
                merged = [SegmentEntry(name, sum(int(keep.sum()) for keep in kept), features)]
            self.publish([*self.manifest.segments[:first], *merged])

    def publish(self, entries: Sequence[SegmentEntry]) -> None:
        """Commit a generation with these segments, move on to it, and remove what it no longer names."""
        manifest = replace(self.manifest, generation=self.manifest.generation + 1, segments=tuple(entries))
        manifests.publish(self.directory, manifest)
        self.load(manifest)
        self.remove_rubbish()

    def remove_rubbish(self) -> None:
        """Remove what the current manifest does not name: older generations, and what a crash left behind."""
        named = {entry.name for entry in self.manifest.segments}
        for name in self.directory.names("segments"):
            if name not in named:
                self.directory.remove(f"segments/{name}")
        deleted = {f"{e.name}-{e.deleted:08d}{tail}.npy" for e in self.manifest.segments if e.deleted for tail in ("", "-documents")}
        for name in self.directory.names("deleted"):
            if name not in deleted:
                self.directory.remove(f"deleted/{name}")
        current = manifests.file_name(self.manifest.generation)
        for name in self.directory.names():
            if name.startswith(("manifest-", "tmp-")) and name != current:
                self.directory.remove(name)

    def search(
        self,
        query: str | os.PathLike[str] | NDArray[Any],
        options: SearchOptions | None = None,
        *,
        box: Box | None = None,
    ) -> SearchResult:
        """Find the images that show what the query shows.

        Args:
            query: a picture file, or pixels as OpenCV gives them: (h, w) grey, (h, w, 3) BGR, (h, w, 4) BGRA.
            options: see SearchOptions; `SearchOptions(crop=True)` for a query that is a part of what is sought.
            box: x, y, width, height of the part of the query to search with, in pixels.

        Raises:
            ImageError: the query cannot be used.
            ParameterError: an option or the box is out of range.
        """
        options = options or SearchOptions()
        snapshot = self.snapshot  # one and the same throughout, should another thread add or close meanwhile
        clock = Clock()
        picture = load_picture(query, self.spec, box)
        clock.lap("read")
        features = extract(picture, self.spec)
        mirrored = mirror(features, picture, self.spec) if options.mirror else None
        clock.lap("extract")
        queries = [encode(features, self.vocabulary, min(options.words, len(self.vocabulary)))]
        if mirrored is not None:
            queries.append(encode_mirrored(mirrored, queries[0], self.vocabulary))
        clock.lap("quantise")
        matches: list[Match] = []
        if len(features):
            ranking = rank(snapshot, queries, options, clock)
            matches = describe(snapshot, queries, ranking)
            clock.lap("describe")
        name = "<array>" if isinstance(query, np.ndarray) else os.fspath(query)
        return SearchResult(name, picture.size, picture.box, len(features), clock.seconds, matches)


def require_free(directory: Directory) -> None:
    """Raise IndexExistsError unless an index can be made in a folder: absent, empty, or left by a crash while making one."""
    if manifests.generations(directory):
        raise IndexExistsError(f"{directory.root}: there is an index already; open it, or choose another place")
    if {name for name in directory.names() if not name.startswith("tmp-")} - {".lock", "vocabulary", "segments"}:
        raise IndexExistsError(f"{directory.root}: the folder holds other things than an index; choose another place")


def is_changed(path: str, record: ImageRecord) -> bool:
    """Whether a file differs in size or modification time from what was indexed."""
    try:
        status = os.stat(path)
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (record.bytes, record.mtime)


def mergeable(entries: Sequence[SegmentEntry]) -> int:
    """How many of the last segments should become one: 0, or a run with eight of one size class and none above it."""
    classes = [size_class(entry.images) for entry in entries]
    for largest in sorted(set(classes)):
        run = next((n for n, kind in enumerate(reversed(classes)) if kind > largest), len(classes))
        fits = sum(entry.features for entry in entries[len(entries) - run :]) < MAX_FEATURES
        if classes[len(classes) - run :].count(largest) >= FAN_IN and fits:
            return run
    return 0


def size_class(images: int) -> int:
    """0 below BATCH * 8 images, and one more for each factor of eight."""
    full, kind = images // (BATCH * FAN_IN), 0
    while full:
        full, kind = full // FAN_IN, kind + 1
    return kind


@lru_cache(maxsize=1)
def vocabulary_of(folder: str, _stamp: int) -> Vocabulary:
    """The vocabulary of an index, loaded once in a worker process and again when its file has changed."""
    return Vocabulary.load(folder)


def encode_files(paths: Sequence[str], vocabulary: str, spec: FeatureSpec) -> list[tuple[ImageRecord, EncodedImage] | ImageError]:
    """Read, extract and encode some picture files; a failure takes the place of its picture and does not end the batch."""
    with one_opencv_thread():
        extracted = [extract_file(path, spec) for path in paths]
    words = vocabulary_of(vocabulary, os.stat(os.path.join(vocabulary, "vocabulary.json")).st_mtime_ns)
    encoded = iter(encode_all([result[1] for result in extracted if not isinstance(result, ImageError)], words))
    return [result if isinstance(result, ImageError) else (result[0], next(encoded)) for result in extracted]


def extract_file(path: str, spec: FeatureSpec) -> tuple[ImageRecord, Features] | ImageError:
    """Read and extract one picture file, or say why not."""
    try:
        status = os.stat(path)
        features = extract(load_picture(path, spec), spec)
    except OSError as error:
        return ImageError(path, "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror))
    except ImageError as error:
        return error
    if not len(features):
        return ImageError(path, "has no features (it is blank or very smooth)")
    return ImageRecord(path, status.st_size, status.st_mtime_ns, *features.size), features
