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
from .merge import LiveSegment
from .segment import COUNT_TYPES, ImageRecord, Segment, path_hashes
from .weighting import idf, length_norm

__all__ = ["Snapshot", "deletion_files", "newest_snapshot"]


class Snapshot:
    """The segments of a generation as one collection: image g of it is image g - first_image[s] of
    segment s.

    Attributes:
        live_segments: the segments, and what is alive in each.
        alive: (all images,) flags.
        image_count: how many are alive; `all_alive`: whether these are all.
        idf: (W,) over the live images.
        feature_counts: (all images,) features of each.
        max_side: long side of the pictures at extraction.
    """

    def __init__(
        self, manifest: Manifest, live_segments: Sequence[LiveSegment], words: int
    ) -> None:
        """Args: `words`, the size W of the vocabulary."""
        self.manifest, self.live_segments, self.max_side = (
            manifest,
            list(live_segments),
            manifest.features.max_side,
        )
        self.segments = [live.segment for live in live_segments]
        self.first_image = starts_of([segment.image_count for segment in self.segments])
        self.alive = np.concatenate([np.zeros(0, bool), *(live.alive for live in live_segments)])
        self.image_count = int(self.alive.sum())
        self.all_alive = self.image_count == len(self.alive)
        self.norms: dict[float, NDArray[np.float64]] = {}
        self.idf = idf(
            np.sum(
                [np.zeros(words, np.int64), *(live.documents for live in live_segments)], axis=0
            ),
            self.image_count,
        )
        self.feature_counts = np.concatenate(
            [np.zeros(0, np.int64), *(live.sizes for live in live_segments)]
        )

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
                key, count = np.unique(
                    word * segment.image_count + segment.image_of(feature), return_counts=True
                )
                weight = (count * self.idf[key // segment.image_count]) ** 2
                squares += np.bincount(
                    key % segment.image_count + first, weights=weight, minlength=len(squares)
                )
        return np.sqrt(squares)

    def length_norm(self, power: float) -> NDArray[np.float64]:
        """(all images,) what scores are divided by (see `weighting.length_norm`), worked out once."""
        if power not in self.norms:
            self.norms[power] = length_norm(self.feature_counts, power)
        return self.norms[power]

    def record(self, image: int) -> ImageRecord:
        """The record of an image."""
        segment, ordinal = self.locate(image)
        return segment.record(ordinal)

    def live_records(self) -> Iterator[tuple[int, ImageRecord]]:
        """The live images with their records, in the order in which they were added."""
        return ((image, self.record(image)) for image in np.flatnonzero(self.alive).tolist())

    def find(self, paths: Sequence[str]) -> dict[str, tuple[int, ImageRecord]]:
        """Those of some stored paths that are live images, with number and record. Takes no memory
        for all the others.
        """
        hashes = path_hashes(paths)
        found = {}
        for first, segment in zip(self.first_image.tolist(), self.segments, strict=False):
            for wanted, ordinal in zip(
                *(each.tolist() for each in segment.with_hashes(hashes)), strict=True
            ):
                if self.alive[first + ordinal]:
                    record = segment.record(ordinal)
                    if record.path == paths[wanted]:
                        found[record.path] = first + ordinal, record
        return found

    def geometry_of(
        self, image: NDArray[np.int64], feature: NDArray[np.int64]
    ) -> tuple[
        NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
    ]:
        """Position, scale and angle of features of images of the collection, and the long sides of
        these images.
        """
        position, scale = np.empty(len(image), np.complex128), np.empty(len(image))
        angle, side = np.empty(len(image)), np.empty(len(image))
        owner = np.searchsorted(self.first_image, image, side="right") - 1
        for number in np.unique(owner).tolist():
            here = np.flatnonzero(owner == number)
            segment, ordinal = self.segments[number], image[here] - self.first_image[number]
            position[here], scale[here], angle[here] = segment.geometry(feature[here], ordinal)
            side[here] = segment.sizes[ordinal].max(axis=1)
        return position, scale, angle, side


def newest_snapshot(directory: Directory, words: int, known: Snapshot | None = None) -> Snapshot:
    """The newest generation of an index; `known` itself if that is it.

    Raises:
        IndexMissingError, IndexVersionError, IndexCorruptError: it cannot be opened.
    """
    manifest = read_latest(directory)
    while True:
        try:
            return (
                known
                if known and known.manifest == manifest
                else opened_snapshot(directory, manifest, words, known)
            )
        except IndexCorruptError:
            newest = read_latest(directory)
            if newest.generation == manifest.generation:
                raise
            manifest = newest  # a writer has moved on and removed what the older generation names


def opened_snapshot(
    directory: Directory, manifest: Manifest, words: int, known: Snapshot | None
) -> Snapshot:
    """Open the segments of a generation; those that `known` has open are not opened anew."""
    opened = (
        {live.segment.entry.sha256: live.segment for live in known.live_segments} if known else {}
    )
    live_segments = []
    for entry in manifest.segments:
        segment = opened.get(entry.sha256)
        if segment is None or segment.entry.name != entry.name:
            segment = Segment(directory, entry, words)
        live_segments.append(live_segment(directory, segment, entry, words))
    return Snapshot(manifest, live_segments, words)


def live_segment(
    directory: Directory, segment: Segment, entry: SegmentEntry, words: int
) -> LiveSegment:
    """What is alive in a segment."""
    if not entry.deletion:
        return LiveSegment(
            segment, np.ones(segment.image_count, bool), segment.document_frequencies
        )
    flags, documents = deletion_files(entry.deletion.name)
    gone = read_deletion(directory, flags, ("|b1",), segment.image_count, entry.deletion.flags)
    if entry.deletion.documents is None:
        return LiveSegment(segment, ~gone, segment.documents_of(~gone))
    gone_documents = read_deletion(
        directory, documents, COUNT_TYPES, words, entry.deletion.documents
    )
    return LiveSegment(segment, ~gone, segment.document_frequencies - gone_documents)


def read_deletion(
    directory: Directory, file: str, dtypes: tuple[str, ...], length: int, checksum: str
) -> NDArray[Any]:
    """One of the files of a deletion, all of it."""
    try:
        content = directory.read(file)
    except FileNotFoundError:
        raise IndexCorruptError(directory.path / file, "the file is missing") from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise IndexCorruptError(
            directory.path / file, "damaged (its checksum is not the one in the manifest)"
        )
    return directory.array(file, dtypes, (length,))


def deletion_files(name: str) -> tuple[str, str]:
    """The files of a deletion: the flags by image, and the numbers of deleted images by word."""
    return f"deleted/{name}.npy", f"deleted/{name}-documents.npy"
