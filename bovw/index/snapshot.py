"""One generation of an index, opened: its segments as one collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import list_blocks, starts_of
from ..errors import IndexCorruptError
from ..storage import Directory
from .manifest import Manifest, SegmentEntry, read_latest
from .merge import Part
from .segment import COUNT_TYPES, ImageRecord, Segment, path_hashes
from .weighting import idf, length_norm

__all__ = ["Snapshot", "deletion_files", "newest_snapshot"]


class Snapshot:
    """The segments of a generation as one collection: image g of it is image g - first_image[s] of segment s.

    Attributes:
        parts: the segments, and what is alive in each.
        alive: (all images,) flags.
        images: how many are alive; `all_alive`: whether these are all.
        idf: (W,) over the live images.
        features: (all images,) features of each.
        max_side: long side of the pictures at extraction.
    """

    def __init__(self, manifest: Manifest, parts: Sequence[Part], words: int) -> None:
        """Args: `words`, the size W of the vocabulary."""
        self.manifest, self.parts, self.max_side = manifest, list(parts), manifest.features.max_side
        self.segments = [part.segment for part in parts]
        self.first_image = starts_of([segment.images for segment in self.segments])
        self.alive = np.concatenate([np.zeros(0, bool), *(part.alive for part in parts)])
        self.images = int(self.alive.sum())
        self.all_alive = self.images == len(self.alive)
        self.norms: dict[float, NDArray[np.float64]] = {}
        self.idf = idf(np.sum([np.zeros(words, np.int64), *(part.documents for part in parts)], axis=0), self.images)
        self.features = np.concatenate([np.zeros(0, np.int64), *(part.sizes for part in parts)])

    def locate(self, image: int) -> tuple[Segment, int]:
        """The segment and the ordinal in it of an image of the collection."""
        number = int(np.searchsorted(self.first_image, image, side="right")) - 1
        return self.segments[number], image - int(self.first_image[number])

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """(images,) the Euclidean length of each image's TF-IDF vector."""
        squares = np.zeros(len(self.alive))
        for first, segment in zip(self.first_image, self.segments, strict=False):
            for words in list_blocks(segment.word_starts):
                word, feature = segment.read_postings(*words)
                key, count = np.unique(word * segment.images + segment.image_of(feature), return_counts=True)
                weight = (count * self.idf[key // segment.images]) ** 2
                squares += np.bincount(key % segment.images + first, weights=weight, minlength=len(squares))
        return np.sqrt(squares)

    def length_norm(self, power: float) -> NDArray[np.float64]:
        """(all images,) what scores are divided by (see `weighting.length_norm`), worked out once."""
        if power not in self.norms:
            self.norms[power] = length_norm(self.features, power)
        return self.norms[power]

    def record(self, image: int) -> ImageRecord:
        """The record of an image."""
        segment, ordinal = self.locate(image)
        return segment.record(ordinal)

    def live_records(self) -> Iterator[tuple[int, ImageRecord]]:
        """The live images with their records, in the order in which they were added."""
        return ((image, self.record(image)) for image in np.flatnonzero(self.alive).tolist())

    def find(self, paths: Sequence[str]) -> dict[str, tuple[int, ImageRecord]]:
        """Those of some stored paths that are live images, with number and record. Takes no memory for all the others."""
        hashes = path_hashes(paths)
        found = {}
        for first, segment in zip(self.first_image.tolist(), self.segments, strict=False):
            for place, ordinal in zip(*(part.tolist() for part in segment.with_hashes(hashes)), strict=True):
                if self.alive[first + ordinal]:
                    record = segment.record(ordinal)
                    if record.path == paths[place]:
                        found[record.path] = first + ordinal, record
        return found

    def places(
        self, image: NDArray[np.int64], feature: NDArray[np.int64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Position, scale and angle of features of images of the collection, and the long sides of these images."""
        place, scale = np.empty(len(image), np.complex128), np.empty(len(image))
        angle, side = np.empty(len(image)), np.empty(len(image))
        owner = np.searchsorted(self.first_image, image, side="right") - 1
        for number in np.unique(owner).tolist():
            here = np.flatnonzero(owner == number)
            segment, ordinal = self.segments[number], image[here] - self.first_image[number]
            place[here], scale[here], angle[here] = segment.geometry(feature[here], ordinal)
            side[here] = segment.sizes[ordinal].max(axis=1)
        return place, scale, angle, side


def newest_snapshot(directory: Directory, words: int, known: Snapshot | None = None) -> Snapshot:
    """The newest generation of an index; `known` itself if that is it.

    Raises:
        IndexMissingError, IndexVersionError, IndexCorruptError: it cannot be opened.
    """
    manifest = read_latest(directory)
    while True:
        try:
            return known if known and known.manifest == manifest else opened_snapshot(directory, manifest, words, known)
        except IndexCorruptError:
            newest = read_latest(directory)
            if newest.generation == manifest.generation:
                raise
            manifest = newest  # a writer has moved on and removed what the older generation names


def opened_snapshot(directory: Directory, manifest: Manifest, words: int, known: Snapshot | None) -> Snapshot:
    """Open the segments of a generation; those that `known` has open are not opened anew."""
    opened = {part.segment.entry.sha256: part.segment for part in known.parts} if known else {}
    parts = []
    for entry in manifest.segments:
        segment = opened.get(entry.sha256)
        if segment is None or segment.entry.name != entry.name:
            segment = Segment(directory, entry, words)
        parts.append(part_of(directory, segment, entry, words))
    return Snapshot(manifest, parts, words)


def part_of(directory: Directory, segment: Segment, entry: SegmentEntry, words: int) -> Part:
    """What is alive in a segment."""
    if not entry.deletion:
        return Part(segment, np.ones(segment.images, bool), segment.document_counts)
    flags, documents = deletion_files(entry.deletion.name)
    gone = read_deletion(directory, flags, ("|b1",), segment.images, entry.deletion.flags)
    if entry.deletion.documents is None:
        return Part(segment, ~gone, segment.documents_of(~gone))
    gone_documents = read_deletion(directory, documents, COUNT_TYPES, words, entry.deletion.documents)
    return Part(segment, ~gone, segment.document_counts - gone_documents)


def read_deletion(directory: Directory, file: str, dtypes: tuple[str, ...], length: int, checksum: str) -> NDArray[Any]:
    """One of the files of a deletion, all of it."""
    try:
        content = directory.read(file)
    except FileNotFoundError:
        raise IndexCorruptError(directory.root / file, "the file is missing") from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise IndexCorruptError(directory.root / file, "damaged (its checksum is not the one in the manifest)")
    return directory.array(file, dtypes, (length,))


def deletion_files(name: str) -> tuple[str, str]:
    """The files of a deletion: the flags by image, and the numbers of deleted images by word."""
    return f"deleted/{name}.npy", f"deleted/{name}-documents.npy"
