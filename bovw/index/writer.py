"""The one writer of an index: it commits generations, deletes, merges segments, and removes what no
manifest names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageIndexError, IndexExistsError
from ..features.vocabulary import Vocabulary
from ..storage.base import Storage, array_bytes
from . import manifest as manifests
from .manifest import Deletion, Manifest, SegmentEntry
from .record import FailedFile, ImageRecord
from .segment import LiveSegment, has_counts
from .segment_writer import IndexedImage, merge_segments, narrow, write_segment
from .snapshot import Snapshot, deletion_files, newest_snapshot

__all__ = ["Writer", "create_index", "garbage", "remove_garbage"]

# Images of the smallest size class of segments, and how many segments of one class are merged into
# one of the next.
SMALL = 2048
FAN_IN = 8
# Features of a segment are numbered in 32 bits.
MAX_FEATURES = 2**32
# So many files that could not be used are remembered: all of them are in each manifest.
MOST_FAILED = 10_000


class Writer:
    """Changes an index whose lock is held. Every change is a commit: a generation that is there as
    a whole or not at all.

    Attributes:
        snapshot: the generation that this writer has committed or found last.
        picture_root: the root that the next commit records.
        exclude, removed: what it records of what is passed over (see `Manifest`).
        embeddings: those that it records.
        failed: the files that could not be used, by their stored paths.
    """

    def __init__(
        self, storage: Storage, snapshot: Snapshot, on_commit: Callable[[Snapshot], None]
    ) -> None:
        """Args: `on_commit` is called with every new generation."""
        self.storage, self.snapshot, self.on_commit = storage, snapshot, on_commit
        self.picture_root = snapshot.manifest.picture_root
        self.exclude, self.removed = snapshot.manifest.exclude, snapshot.manifest.removed
        self.embeddings = snapshot.manifest.embeddings
        self.failed = {each.file.path: each for each in snapshot.manifest.failed}

    @property
    def words(self) -> int:
        """The size of the vocabulary."""
        return len(self.snapshot.document_frequencies)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the current generation."""
        return self.snapshot.manifest

    def commit(self, batch: Sequence[IndexedImage]) -> int:
        """Add images; those that are there under the same ids are replaced in the same stroke.
        Returns how many were.
        """
        known = self.snapshot.find([image.record.id for image in batch])
        entries = self.with_deleted([number for number, _ in known.values()])
        entries.append(self.written(batch))
        self.publish(entries)
        self.merge_small()
        return len(known)

    def delete(self, images: Sequence[int]) -> None:
        """Remove images of the snapshot, given by their numbers."""
        if images:
            self.publish(self.with_deleted(images))
            self.merge_small()

    def describe(self, records: Mapping[int, ImageRecord]) -> None:
        """Give some images of the snapshot, by their numbers, new records: nothing is extracted.

        Each segment that they are in is a commit of its own.
        """
        bounds = self.snapshot.first_image.tolist()
        for number in reversed(range(len(self.snapshot.live_segments))):  # the others keep numbers
            live, first = self.snapshot.live_segments[number], bounds[number]
            ordinals = np.cumsum(live.alive) - 1
            new = {
                int(ordinals[image - first]): record
                for image, record in records.items()
                if first <= image < bounds[number + 1]
            }
            if new:
                live.segment.verify()
                entries = list(self.manifest.segments)
                entries[number] = self.merged([live], new)
                self.publish(entries)

    def rename(self, records: Mapping[int, ImageRecord]) -> None:
        """As `describe`, in one commit, which merges all segments from the first to the last that
        they are in; a commit for each segment if these are too large for one.
        """
        segments, bounds = self.snapshot.live_segments, self.snapshot.first_image
        if not records:
            self.publish(self.manifest.segments)
            return
        first, last = np.searchsorted(bounds, [min(records), max(records)], side="right") - 1
        run = slice(int(first), int(last) + 1)
        if sum(int(live.feature_counts.sum()) for live in segments[run]) >= MAX_FEATURES:
            self.describe(records)
            return
        entries, start = list(self.manifest.segments), int(bounds[first])
        ordinals = np.cumsum(np.concatenate([live.alive for live in segments[run]])) - 1
        for live in segments[run]:
            live.segment.verify()
        new = {int(ordinals[image - start]): record for image, record in records.items()}
        entries[run] = [self.merged(segments[run], new)]
        self.publish(entries)

    def set_root(self, root: str | None) -> None:
        """Record another root."""
        self.picture_root = root
        self.publish(self.manifest.segments)

    def remember(
        self,
        *,
        exclude: Sequence[str] = (),
        removed: Sequence[str] = (),
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> None:
        """Remember more of what later runs pass over.

        Args:
            exclude: patterns; one that is known comes last now.
            removed: what was removed from the index, as it is stored.
            forget: what no longer counts as removed.
            commit: at once, instead of with what comes next.
        """
        if exclude:
            self.exclude = (*(each for each in self.exclude if each not in exclude), *exclude)
        if removed or forget:
            self.removed = tuple(sorted({*self.removed, *removed} - {*forget}))
        known = self.manifest.exclude, self.manifest.removed, self.manifest.failed
        if commit and known != (self.exclude, self.removed, self.failed_files):
            self.publish(self.manifest.segments)

    @property
    def failed_files(self) -> tuple[FailedFile, ...]:
        """The files that could not be used, by path; of very many, the first."""
        return tuple(self.failed[path] for path in sorted(self.failed)[:MOST_FAILED])

    def merge_all(self) -> None:
        """Merge everything into one segment without deletions, or into as few as can hold it."""
        first = 0
        while first < len(self.manifest.segments):
            features = np.cumsum(
                [
                    int(live.feature_counts[live.alive].sum())
                    for live in self.snapshot.live_segments[first:]
                ]
            )
            run = max(1, int(np.searchsorted(features, MAX_FEATURES)))
            if run > 1 or self.manifest.segments[first].deletion:
                self.merge(slice(first, first + run))
            first += 1

    def merge_small(self) -> None:
        """Merge what the policy says (see `mergeable_run`)."""
        while run := mergeable_run(self.manifest.segments):
            self.merge(run)

    def merge(self, run: slice) -> None:
        """Replace a run of segments by one with their live images; not if one is damaged, which
        nobody could find out then.
        """
        entries, live_segments = list(self.manifest.segments), self.snapshot.live_segments[run]
        for live in live_segments:
            live.segment.verify()
        merged = [self.merged(live_segments)] if has_live(live_segments) else []
        entries[run] = merged
        self.publish(entries)

    def written(self, batch: Sequence[IndexedImage]) -> SegmentEntry:
        """A new segment of some images."""
        return write_segment(self.storage, self.next_name(), batch, self.words, self.embeddings)

    def merged(
        self, live_segments: Sequence[LiveSegment], records: Mapping[int, ImageRecord] | None = None
    ) -> SegmentEntry:
        """A new segment of the live images of some segments (see `merge_segments`)."""
        name = self.next_name()
        return merge_segments(
            self.storage, name, live_segments, self.words, records, self.embeddings
        )

    def next_name(self) -> str:
        """The name of the next generation's segment."""
        return f"{self.manifest.generation + 1:08d}"

    def with_deleted(self, images: Sequence[int]) -> list[SegmentEntry]:
        """The segment entries after deleting images of the snapshot; writes the files that they
        name, drops what is empty.
        """
        gone = np.zeros(len(self.snapshot.alive), bool)
        gone[list(images)] = True
        entries = []
        bounds = self.snapshot.first_image.tolist()
        for number, (entry, live) in enumerate(
            zip(self.manifest.segments, self.snapshot.live_segments, strict=True)
        ):
            newly = gone[bounds[number] : bounds[number + 1]] & live.alive
            if not newly.any():
                entries.append(entry)
            elif (newly != live.alive).any():
                entries.append(replace(entry, deletion=self.write_deletion(live, newly)))
        return entries

    def write_deletion(self, live: LiveSegment, newly: NDArray[np.bool_]) -> Deletion:
        """Write which images of a segment are deleted when some more are, and how many of the
        deleted have each word.
        """
        gone, name = ~live.alive | newly, f"{live.segment.entry.name}-{self.next_name()}"
        flags, documents = deletion_files(name)
        contents = {flags: array_bytes(gone, "|b1")}
        if has_counts(live.segment.feature_count):
            counts = (
                live.segment.document_frequencies
                - live.documents
                + live.segment.documents_of(newly)
            )
            contents[documents] = array_bytes(*narrow(counts))
        self.storage.make("deleted")
        for file, content in contents.items():
            self.storage.write(file, content)
        self.storage.sync("deleted")
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        return Deletion(name, int(gone.sum()), digests[flags], digests.get(documents))

    def publish(self, entries: Iterable[SegmentEntry]) -> None:
        """Commit a generation with these segments, move on to it, and remove what it no longer
        names.
        """
        manifest = replace(
            self.manifest,
            generation=self.manifest.generation + 1,
            segments=tuple(entries),
            picture_root=self.picture_root,
            exclude=self.exclude,
            removed=self.removed,
            failed=self.failed_files,
            embeddings=self.embeddings,
        )
        manifests.publish(self.storage, manifest)
        self.snapshot = newest_snapshot(self.storage, self.words, self.snapshot)
        self.on_commit(self.snapshot)
        remove_garbage(self.storage, manifest)


def create_index(storage: Storage, vocabulary: Vocabulary, manifest: Manifest) -> None:
    """Make an empty index: its vocabulary, and its first generation.

    Raises:
        IndexExistsError: there is an index, or the folder holds other things.
    """
    require_free(storage)
    storage.make("segments")
    with storage.lock():
        require_free(storage)  # another process may have made one meanwhile
        try:
            write_first(storage, vocabulary, manifest)
        except BaseException:
            with suppress(ImageIndexError):
                storage.remove(f"tmp-{manifests.file_name(1)}")
                if not manifests.generations(storage):
                    storage.remove("vocabulary")
            raise


def write_first(storage: Storage, vocabulary: Vocabulary, manifest: Manifest) -> None:
    """Write the first generation of an index, with its vocabulary."""
    storage.remove("vocabulary")
    storage.make("vocabulary")
    contents = vocabulary.files()
    for name, content in contents.items():
        storage.write(f"vocabulary/{name}", content)
    storage.sync("vocabulary")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifests.publish(storage, replace(manifest, vocabulary_files=digests))


def require_free(storage: Storage) -> None:
    """Raise IndexExistsError unless an index can be made in a folder: absent, empty, or left by a
    crash while making one.
    """
    if manifests.generations(storage):
        raise IndexExistsError(
            f"{storage.name_of()}: there is an index already; open it, or choose another place"
        )
    if {name for name in storage.names() if not name.startswith("tmp-")} - {
        ".lock",
        "vocabulary",
        "segments",
    }:
        raise IndexExistsError(
            f"{storage.name_of()}: the folder holds other things than an index; "
            f"choose another place"
        )


def remove_garbage(storage: Storage, manifest: Manifest) -> None:
    """Remove what the current manifest does not name: older generations, and what a crash left
    behind.
    """
    names = garbage(storage, manifest)
    if names:
        storage.sync()  # only when the manifest is on the disk for certain, nobody needs them
    for name in names:
        storage.remove(name)


def garbage(storage: Storage, manifest: Manifest) -> list[str]:
    """What no reader of the current manifest needs."""
    deletions = [entry.deletion.name for entry in manifest.segments if entry.deletion]
    needed = {
        manifests.file_name(manifest.generation),
        *(f"segments/{entry.name}" for entry in manifest.segments),
        *(file for name in deletions for file in deletion_files(name)),
    }
    found = [name for name in storage.names() if name.startswith(("manifest-", "tmp-"))]
    found += [
        f"{folder}/{name}" for folder in ("segments", "deleted") for name in storage.names(folder)
    ]
    return [name for name in found if name not in needed]


def has_live(live_segments: Sequence[LiveSegment]) -> bool:
    """Whether any image of some segments is alive."""
    return any(live.alive.any() for live in live_segments)


def mergeable_run(entries: Sequence[SegmentEntry]) -> slice | None:
    """The run of segments that should become one, if any.

    First a segment of which more than half is deleted. Then the newest segments, when eight of one
    size class have gathered and none after them is of a higher class: so n images lie in about 7
    log8(n / 256) segments, and each was written about log8(n / 256) times.
    """
    for number, entry in enumerate(entries):
        if 2 * entry.live_count < entry.image_count:
            return slice(number, number + 1)
    classes = [size_class(entry.live_count) for entry in entries]
    for largest in sorted(set(classes)):
        run = next((n for n, kind in enumerate(reversed(classes)) if kind > largest), len(classes))
        first = len(classes) - run
        if (
            classes[first:].count(largest) >= FAN_IN
            and sum(entry.feature_count for entry in entries[first:]) < MAX_FEATURES
        ):
            return slice(first, len(classes))
    return None


def size_class(images: int) -> int:
    """0 below SMALL images, and one more for each factor of FAN_IN."""
    full, kind = images // SMALL, 0
    while full:
        full, kind = full // FAN_IN, kind + 1
    return kind
