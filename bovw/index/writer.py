"""The one writer of an index: it commits generations, deletes, folds segments, and removes what no manifest names."""

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
from .merge import Part, merge_segments
from .segment import COUNTED_FEATURES, ImageRecord, narrow, write_segment
from .snapshot import Snapshot, deletion_files, newest_snapshot

__all__ = ["Writer", "remove_rubbish"]

# Images of the smallest size class of segments, and how many segments of one class are folded into one of the next.
SMALL = 2048
FAN_IN = 8
# Features of a segment are numbered in 32 bits.
MAX_FEATURES = 2**32


class Writer:
    """Changes an index whose lock is held. Every change is a commit: a generation that is there as a whole or not at all.

    Attributes:
        snapshot: the generation that this writer has committed or found last.
        root: the root that the next commit records.
    """

    def __init__(self, directory: Directory, snapshot: Snapshot, moved: Callable[[Snapshot], None]) -> None:
        """Args: `moved` is called with every new generation."""
        self.directory, self.snapshot, self.moved = directory, snapshot, moved
        self.root = snapshot.manifest.root

    @property
    def manifest(self) -> Manifest:
        """The manifest of the current generation."""
        return self.snapshot.manifest

    def commit(self, batch: Sequence[tuple[ImageRecord, EncodedImage]]) -> int:
        """Add images; those that are there under the same paths are replaced in the same stroke. Returns how many were."""
        replaced = [number for number, _ in self.snapshot.find([record.path for record, _ in batch]).values()]
        entries = self.with_deleted(replaced)
        entries.append(write_segment(self.directory, self.next_name(), batch, len(self.snapshot.idf)))
        self.publish(entries)
        self.fold_small()
        return len(replaced)

    def delete(self, images: Sequence[int]) -> None:
        """Remove images of the snapshot, given by their numbers."""
        if images:
            self.publish(self.with_deleted(images))
            self.fold_small()

    def move_root(self, root: str | None) -> None:
        """Record another root."""
        self.root = root
        self.publish(self.manifest.segments)

    def fold_all(self) -> None:
        """Fold everything into one segment without deletions, or into as few as can hold it."""
        first = 0
        while first < len(self.manifest.segments):
            features = np.cumsum([int(part.sizes[part.alive].sum()) for part in self.snapshot.parts[first:]])
            run = max(1, int(np.searchsorted(features, MAX_FEATURES)))
            if run > 1 or self.manifest.segments[first].deletion:
                self.fold(slice(first, first + run))
            first += 1

    def fold_small(self) -> None:
        """Fold what the policy says (see `foldable`)."""
        while run := foldable(self.manifest.segments):
            self.fold(run)

    def fold(self, run: slice) -> None:
        """Replace a run of segments by one with their live images; not if one is damaged, which nobody could find out then."""
        entries, parts = list(self.manifest.segments), self.snapshot.parts[run]
        for part in parts:
            part.segment.verify()
        merged = [merge_segments(self.directory, self.next_name(), parts, len(self.snapshot.idf))] if has_live(parts) else []
        entries[run] = merged
        self.publish(entries)

    def next_name(self) -> str:
        """The name of the next generation's segment."""
        return f"{self.manifest.generation + 1:08d}"

    def with_deleted(self, images: Sequence[int]) -> list[SegmentEntry]:
        """The segment entries after deleting images of the snapshot; writes the files that they name, drops what is empty."""
        gone = np.zeros(len(self.snapshot.alive), bool)
        gone[list(images)] = True
        entries = []
        bounds = self.snapshot.first_image.tolist()
        for number, (entry, part) in enumerate(zip(self.manifest.segments, self.snapshot.parts, strict=True)):
            newly = gone[bounds[number] : bounds[number + 1]] & part.alive
            if not newly.any():
                entries.append(entry)
            elif (newly != part.alive).any():
                entries.append(replace(entry, deletion=self.write_deletion(part, newly)))
        return entries

    def write_deletion(self, part: Part, newly: NDArray[np.bool_]) -> Deletion:
        """Write which images of a segment are deleted when some more are, and how many of the deleted have each word."""
        gone, name = ~part.alive | newly, f"{part.segment.entry.name}-{self.next_name()}"
        flags, documents = deletion_files(name)
        contents = {flags: array_bytes(gone, "|b1")}
        if part.segment.features > COUNTED_FEATURES:
            counts = part.segment.document_counts - part.documents + part.segment.documents_of(newly)
            contents[documents] = array_bytes(*narrow(counts))
        self.directory.make("deleted")
        for file, content in contents.items():
            self.directory.write(file, content)
        self.directory.sync("deleted")
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        return Deletion(name, int(gone.sum()), digests[flags], digests.get(documents))

    def publish(self, entries: Iterable[SegmentEntry]) -> None:
        """Commit a generation with these segments, move on to it, and remove what it no longer names."""
        manifest = replace(self.manifest, generation=self.manifest.generation + 1, segments=tuple(entries), root=self.root)
        manifests.publish(self.directory, manifest)
        self.snapshot = newest_snapshot(self.directory, len(self.snapshot.idf), self.snapshot)
        self.moved(self.snapshot)
        remove_rubbish(self.directory, manifest)


def remove_rubbish(directory: Directory, manifest: Manifest) -> None:
    """Remove what the current manifest does not name: older generations, and what a crash left behind."""
    names = rubbish(directory, manifest)
    if names:
        directory.sync()  # only when the manifest is on the disk for certain, nobody needs them
    for name in names:
        directory.remove(name)


def rubbish(directory: Directory, manifest: Manifest) -> list[str]:
    """What no reader of the current manifest needs."""
    deletions = [entry.deletion.name for entry in manifest.segments if entry.deletion]
    needed = {
        manifests.file_name(manifest.generation),
        *(f"segments/{entry.name}" for entry in manifest.segments),
        *(file for name in deletions for file in deletion_files(name)),
    }
    found = [name for name in directory.names() if name.startswith(("manifest-", "tmp-"))]
    found += [f"{folder}/{name}" for folder in ("segments", "deleted") for name in directory.names(folder)]
    return [name for name in found if name not in needed]


def has_live(parts: Sequence[Part]) -> bool:
    """Whether any image of some parts is alive."""
    return any(part.alive.any() for part in parts)


def foldable(entries: Sequence[SegmentEntry]) -> slice | None:
    """The run of segments that should become one, if any.

    First a segment of which more than half is deleted. Then the newest segments, when eight of one size class have
    gathered and none after them is of a higher class: so n images lie in about 7 log8(n / 256) segments, and each was
    written about log8(n / 256) times.
    """
    for number, entry in enumerate(entries):
        if 2 * entry.live < entry.images:
            return slice(number, number + 1)
    classes = [size_class(entry.live) for entry in entries]
    for largest in sorted(set(classes)):
        run = next((n for n, kind in enumerate(reversed(classes)) if kind > largest), len(classes))
        first = len(classes) - run
        if classes[first:].count(largest) >= FAN_IN and sum(entry.features for entry in entries[first:]) < MAX_FEATURES:
            return slice(first, len(classes))
    return None


def size_class(images: int) -> int:
    """0 below SMALL images, and one more for each factor of FAN_IN."""
    full, kind = images // SMALL, 0
    while full:
        full, kind = full // FAN_IN, kind + 1
    return kind
