"""One generation of an index, opened: its segments as one collection."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import starts_of
from ..errors import IndexCorruptError
from ..pictures.working import working_unit
from ..storage.base import Storage
from .columns import Embedding, OptionalRows, all_columns, optional_columns
from .manifest import Manifest, SegmentEntry, read_latest
from .record import ImageRecord
from .segment import COUNT_TYPES, LiveSegment, Segment, id_hashes

__all__ = ["Snapshot", "deletion_files", "newest_snapshot", "opened_snapshot"]

# What `record.image_key` gives.
IMAGE_KEY = re.compile("[0-9a-f]{16}")


class Snapshot:
    """The segments of a generation as one collection: image g of it is image g - first_image[s] of
    segment s.

    Attributes:
        live_segments: the segments, and what is alive in each.
        alive: (all images,) flags.
        image_count: how many are alive.
        document_frequencies: (W,) how many of these have each word.
        feature_counts: (all images,) features of each.
        max_side: long side of the pictures at extraction (see `working.working_unit`).
    """

    def __init__(
        self, manifest: Manifest, live_segments: Sequence[LiveSegment], words: int
    ) -> None:
        """Args: `words`, the size W of the vocabulary."""
        self.manifest, self.max_side = manifest, manifest.features.max_side
        self.live_segments = list(live_segments)
        self.segments = [live.segment for live in live_segments]
        self.first_image = starts_of([segment.image_count for segment in self.segments])
        self.alive = np.concatenate([np.zeros(0, bool), *(live.alive for live in live_segments)])
        self.image_count = int(self.alive.sum())
        documents = [np.zeros(words, np.int64), *(live.documents for live in live_segments)]
        self.document_frequencies = np.sum(documents, axis=0)
        counts = [np.zeros(0, np.int64), *(live.feature_counts for live in live_segments)]
        self.feature_counts = np.concatenate(counts)

    @cached_property
    def live_images(self) -> NDArray[np.int64]:
        """(live images,) their numbers, in the order in which they were added."""
        return np.flatnonzero(self.alive)

    def locate(self, image: int) -> tuple[Segment, int]:
        """The segment and the ordinal in it of an image of the collection."""
        number = int(np.searchsorted(self.first_image, image, side="right")) - 1
        return self.segments[number], image - int(self.first_image[number])

    def sizes_of(self, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """Width and height of some images in pixels: (n, 2)."""
        sizes = np.empty((len(images), 2))
        for rows, segment, ordinals in self._by_segment(images):
            sizes[rows] = segment.sizes[ordinals]
        return sizes

    def optional(self, name: str) -> OptionalRows:
        """An optional column of all images, deleted ones included. Raises KeyError for a name that
        is no such column.
        """
        declared = all_columns(self.manifest.embeddings)
        column = next((column for column in declared if column.name == name), None)
        if column is None or not column.optional:
            raise KeyError(name)
        rows = [(segment.optional(name), segment.image_count) for segment in self.segments]
        values = [np.zeros(column.shape(0), column.dtype)]
        values += [
            each.values if each else np.zeros(column.shape(n), column.dtype) for each, n in rows
        ]
        known = [np.zeros(0, bool)]
        known += [each.known if each else np.zeros(n, bool) for each, n in rows]
        return OptionalRows(np.concatenate(values), np.concatenate(known))

    def with_metadata(self, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
        """(all images,) flags of the images that have all of some metadata (see
        `Segment.with_metadata`).
        """
        return np.concatenate(
            [np.zeros(0, bool), *(segment.with_metadata(wanted) for segment in self.segments)]
        )

    def _by_segment(
        self, images: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], Segment, NDArray[np.int64]]]:
        """Some images (n,) by the segment that they are in: which rows, the segment, the ordinals
        in it.
        """
        owner = np.searchsorted(self.first_image, images, side="right") - 1
        for number in np.flatnonzero(np.bincount(owner)).tolist():
            rows = np.flatnonzero(owner == number)
            yield rows, self.segments[number], images[rows] - self.first_image[number]

    def record(self, image: int) -> ImageRecord:
        """The record of an image."""
        segment, ordinal = self.locate(image)
        return segment.record(ordinal)

    def live_records(self) -> Iterator[tuple[int, ImageRecord]]:
        """The live images with their records, in the order in which they were added."""
        return ((image, self.record(image)) for image in self.live_images.tolist())

    def incomplete_records(
        self, embeddings: Sequence[Embedding] = ()
    ) -> Iterator[tuple[int, ImageRecord]]:
        """The live images that lack an optional column, or one of some embeddings, as
        `live_records`.
        """
        lacking = np.zeros(len(self.alive), bool)
        known = set(self.manifest.embeddings)
        for column in optional_columns(self.manifest.features, known & set(embeddings)):
            lacking |= ~self.optional(column.name).known
        lacking |= not known.issuperset(embeddings)
        numbers = np.flatnonzero(lacking & self.alive).tolist()
        return ((image, self.record(image)) for image in numbers)

    def find(self, ids: Sequence[str]) -> dict[str, tuple[int, ImageRecord]]:
        """Those of some ids that are live images, with number and record. Takes no memory for all
        the others.
        """
        hashes = id_hashes(ids)
        found = {}
        for first, segment in zip(self.first_image.tolist(), self.segments, strict=False):
            wanted, ordinals = segment.with_hashes(hashes)
            for row, ordinal in zip(wanted.tolist(), ordinals.tolist(), strict=True):
                if self.alive[first + ordinal]:
                    record = segment.record(ordinal)
                    if record.id == ids[row]:
                        found[record.id] = first + ordinal, record
        return found

    def find_key(self, key: str) -> ImageRecord | None:
        """The first live image of an `image_key`; None if there is none, or it is no key."""
        if not IMAGE_KEY.fullmatch(key):
            return None
        hashes = np.frombuffer(bytes.fromhex(key), "<u8").astype(np.uint64)
        for first, segment in zip(self.first_image.tolist(), self.segments, strict=False):
            for ordinal in segment.with_hashes(hashes)[1].tolist():
                if self.alive[first + ordinal]:
                    return segment.record(ordinal)
        return None

    def geometry_of(
        self, images: NDArray[np.int64], features: NDArray[np.int64]
    ) -> tuple[
        NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
    ]:
        """Position, scale and angle of features (n,) of images (n,) of the collection, in pixels of
        the original, and how many of these a working pixel has.
        """
        count = len(images)
        position, scale = np.empty(count, np.complex128), np.empty(count)
        angle, unit = np.empty(count), np.empty(count)
        for rows, segment, ordinals in self._by_segment(images):
            position[rows], scale[rows], angle[rows] = segment.geometry(features[rows], ordinals)
            width, height = segment.sizes[ordinals].T
            unit[rows] = working_unit(width, height, self.max_side)
        return position, scale, angle, unit


def newest_snapshot(storage: Storage, words: int, known: Snapshot | None = None) -> Snapshot:
    """The newest generation of an index; `known` itself if that is it.

    Raises:
        IndexMissingError, IndexVersionError, IndexCorruptError: it cannot be opened.
    """
    manifest = read_latest(storage)
    while True:
        try:
            return (
                known
                if known and known.manifest == manifest
                else opened_snapshot(storage, manifest, words, known)
            )
        except IndexCorruptError:
            newest = read_latest(storage)
            if newest.generation == manifest.generation:
                raise
            manifest = newest  # a writer has moved on and removed what the older generation names


def opened_snapshot(
    storage: Storage, manifest: Manifest, words: int, known: Snapshot | None
) -> Snapshot:
    """Open the segments of a generation; those that `known` has open are not opened anew."""
    opened = (
        {live.segment.entry.sha256: live.segment for live in known.live_segments} if known else {}
    )
    live_segments = []
    for entry in manifest.segments:
        segment = opened.get(entry.sha256)
        if segment is None or segment.entry.name != entry.name:
            segment = Segment(storage, entry, words, manifest.embeddings)
        live_segments.append(live_segment(storage, segment, entry, words))
    return Snapshot(manifest, live_segments, words)


def live_segment(
    storage: Storage, segment: Segment, entry: SegmentEntry, words: int
) -> LiveSegment:
    """What is alive in a segment."""
    if not entry.deletion:
        return LiveSegment(
            segment, np.ones(segment.image_count, bool), segment.document_frequencies
        )
    flags, documents = deletion_files(entry.deletion.name)
    gone = read_deletion(storage, flags, ("|b1",), segment.image_count, entry.deletion.flags)
    if entry.deletion.documents is None:
        return LiveSegment(segment, ~gone, segment.documents_of(~gone))
    gone_documents = read_deletion(storage, documents, COUNT_TYPES, words, entry.deletion.documents)
    return LiveSegment(segment, ~gone, segment.document_frequencies - gone_documents)


def read_deletion(
    storage: Storage, file: str, dtypes: tuple[str, ...], length: int, checksum: str
) -> NDArray[Any]:
    """One of the files of a deletion, all of it."""
    try:
        content = storage.read(file)
    except FileNotFoundError:
        raise IndexCorruptError(storage.name_of(file), "the file is missing") from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise IndexCorruptError(
            storage.name_of(file), "damaged (its checksum is not the one in the manifest)"
        )
    return storage.array(file, dtypes, (length,))


def deletion_files(name: str) -> tuple[str, str]:
    """The files of a deletion: the flags by image, and the numbers of deleted images by word."""
    return f"deleted/{name}.npy", f"deleted/{name}-documents.npy"
