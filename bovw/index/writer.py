"""The one writer of an index: it commits generations, deletes, folds segments, and removes what no
manifest names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..features.encoding import EncodedImage
from ..storage import Directory, array_bytes
from . import manifest as manifests
from .manifest import Deletion, Manifest, SegmentEntry
from .merge import LiveSegment, merge_segments
from .segment import COUNTED_FEATURES, ImageRecord, narrow, write_segment
from .snapshot import Snapshot, deletion_files, newest_snapshot

__all__ = ["Writer", "remove_garbage"]

# Images of the smallest size class of segments, and how many segments of one class are folded into
# one of the next.
SMALL = 2048
FAN_IN = 8
# Features of a segment are numbered in 32 bits.
MAX_FEATURES = 2**32


class Writer:
    """Changes an index whose lock is held. Every change is a commit: a generation that is there as
    a whole or not at all.

    Attributes:
        snapshot: the generation that this writer has committed or found last.
        picture_root: the root that the next commit records.
    """

    def __init__(
        self, directory: Directory, snapshot: Snapshot, on_commit: Callable[[Snapshot], None]
    ) -> None:
        """Args: `on_commit` is called with every new generation."""
        self.directory, self.snapshot, self.on_commit = directory, snapshot, on_commit
        self.picture_root = snapshot.manifest.picture_root

    @property
    def manifest(self) -> Manifest:
        """The manifest of the current generation."""
        return self.snapshot.manifest

    def commit(self, batch: Sequence[tuple[ImageRecord, EncodedImage]]) -> int:
        """Add images; those that are there under the same paths are replaced in the same stroke.
        Returns how many were.
        """
        replaced = [
            number
            for number, _ in self.snapshot.find([record.path for record, _ in batch]).values()
        ]
        entries = self.with_deleted(replaced)
        entries.append(
            write_segment(self.directory, self.next_name(), batch, len(self.snapshot.idf))
        )
        self.publish(entries)
        self.merge_small()
        return len(replaced)

    def delete(self, images: Sequence[int]) -> None:
        """Remove images of the snapshot, given by their numbers."""
        if images:
            self.publish(self.with_deleted(images))
            self.merge_small()

    def set_root(self, root: str | None) -> None:
        """Record another root."""
        self.picture_root = root
        self.publish(self.manifest.segments)

    def merge_all(self) -> None:
        """Fold everything into one segment without deletions, or into as few as can hold it."""
        first = 0
        while first < len(self.manifest.segments):
            features = np.cumsum(
                [int(live.sizes[live.alive].sum()) for live in self.snapshot.live_segments[first:]]
            )
            run = max(1, int(np.searchsorted(features, MAX_FEATURES)))
            if run > 1 or self.manifest.segments[first].deletion:
                self.merge(slice(first, first + run))
            first += 1

    def merge_small(self) -> None:
        """Fold what the policy says (see `mergeable_run`)."""
        while run := mergeable_run(self.manifest.segments):
            self.merge(run)

    def merge(self, run: slice) -> None:
        """Replace a run of segments by one with their live images; not if one is damaged, which
        nobody could find out then.
        """
        entries, live_segments = list(self.manifest.segments), self.snapshot.live_segments[run]
        for live in live_segments:
            live.segment.verify()
        merged = (
            [
                merge_segments(
                    self.directory, self.next_name(), live_segments, len(self.snapshot.idf)
                )
            ]
            if has_live(live_segments)
            else []
        )
        entries[run] = merged
        self.publish(entries)

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
        if live.segment.feature_count > COUNTED_FEATURES:
            counts = (
                live.segment.document_frequencies
                - live.documents
                + live.segment.documents_of(newly)
            )
            contents[documents] = array_bytes(*narrow(counts))
        self.directory.make("deleted")
        for file, content in contents.items():
            self.directory.write(file, content)
        self.directory.sync("deleted")
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
        )
        manifests.publish(self.directory, manifest)
        self.snapshot = newest_snapshot(self.directory, len(self.snapshot.idf), self.snapshot)
        self.on_commit(self.snapshot)
        remove_garbage(self.directory, manifest)


def remove_garbage(directory: Directory, manifest: Manifest) -> None:
    """Remove what the current manifest does not name: older generations, and what a crash left
    behind.
    """
    names = garbage(directory, manifest)
    if names:
        directory.sync()  # only when the manifest is on the disk for certain, nobody needs them
    for name in names:
        directory.remove(name)


def garbage(directory: Directory, manifest: Manifest) -> list[str]:
    """What no reader of the current manifest needs."""
    deletions = [entry.deletion.name for entry in manifest.segments if entry.deletion]
    needed = {
        manifests.file_name(manifest.generation),
        *(f"segments/{entry.name}" for entry in manifest.segments),
        *(file for name in deletions for file in deletion_files(name)),
    }
    found = [name for name in directory.names() if name.startswith(("manifest-", "tmp-"))]
    found += [
        f"{folder}/{name}" for folder in ("segments", "deleted") for name in directory.names(folder)
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
