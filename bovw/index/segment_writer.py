"""Write a segment: from encoded images, or from the live images of other segments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import list_blocks, starts_of
from ..features.encoding import EncodedImage
from ..storage.base import NewFile, Storage, array_header
from .columns import Column, Embedding, all_columns
from .manifest import SegmentEntry
from .record import ImageRecord, record_line
from .segment import (
    COUNT_TYPES,
    FORMATS,
    SCALE_OCTAVES,
    SCALE_STEPS,
    LiveSegment,
    document_frequencies,
    has_counts,
    id_hashes,
)

__all__ = ["IndexedImage", "merge_segments", "narrow", "write_segment"]


@dataclass(frozen=True)
class IndexedImage:
    """An image on its way into an index.

    Attributes:
        record: what is known of it.
        encoded: its features.
        values: its rows of optional columns, by the name of the column.
        note: what is to be said of its picture, as that it is cut off; not kept.
        unseen: how many pages its file has beside; not kept.
    """

    record: ImageRecord
    encoded: EncodedImage
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    note: str = ""
    unseen: int = 0


def write_segment(
    storage: Storage,
    name: str,
    images: Sequence[IndexedImage],
    words: int,
    embeddings: Sequence[Embedding] = (),
) -> SegmentEntry:
    """Write a segment of some images under a temporary name, and rename it when all of it has
    reached the disk.
    """
    encoded = [image.encoded for image in images]
    sizes = np.array([len(each) for each in encoded], np.int64)
    word = np.concatenate([each.words[:, 0] for each in encoded]).astype(np.int64)
    owner = np.repeat(np.arange(len(images)), sizes)
    # 16 bits are sorted by radix
    order = np.argsort(word.astype(np.uint16) if words <= 1 << 16 else word, kind="stable")
    signatures = np.concatenate([each.signatures[:, 0] for each in encoded])[order]
    lines = [record_line(image.record) for image in images]
    files = SegmentFiles(storage, name)
    with files.create("images.jsonl") as file:
        file.write(b"".join(lines))
    files.array("line_starts", starts_of([len(line) for line in lines]), "<u8")
    files.array("feature_starts", starts_of(sizes), "<u4")
    geometry = [packed_geometry(each) for each in encoded]
    rows: dict[str, NDArray[Any]] = {
        "path_hashes": id_hashes([image.record.id for image in images]),
        "sizes": np.array([(image.record.width, image.record.height) for image in images]),
        "places": np.concatenate([positions for positions, _ in geometry]),
        "shapes": np.concatenate([shapes for _, shapes in geometry]),
    }
    for column in all_columns(embeddings):
        if column.optional:
            write_optional(files, column, [image.values.get(column.name) for image in images])
        else:
            files.array(column.name, rows[column.name], column.dtype)
    documents = document_frequencies(word[order], owner[order], words)
    files.words(np.bincount(word, minlength=words), documents)
    files.array("posting_features", order, "<u4")
    files.array("posting_signatures", signatures, "<u8")
    return files.finish(len(images), int(sizes.sum()))


def write_optional(
    files: SegmentFiles, column: Column, rows: Sequence[NDArray[Any] | None]
) -> None:
    """Write an optional column of some images, None for one that lacks it."""
    known = np.array([row is not None for row in rows])
    if known.any():
        values = np.zeros(column.shape(len(rows)), column.dtype)
        values[known] = [row for row in rows if row is not None]
        files.array(column.name, values, column.dtype)
        if not known.all():
            files.array(column.missing_name, ~known, "|b1")


def packed_geometry(image: EncodedImage) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Positions (n, 2) uint16 in 65535ths of the long side; shapes (n, 2) uint8: log2 of the
    relative scale, angle.
    """
    side = max(image.size)
    positions = np.rint((image.xy.astype(np.float64) + 0.5) * (65_535 / side)).clip(0, 65_535)
    relative = np.maximum(image.scale.astype(np.float64), 1e-6) / side
    scale = np.rint((np.log2(relative) + SCALE_OCTAVES) * SCALE_STEPS).clip(0, 255)
    angle = np.rint(image.angle.astype(np.float64) * (256 / (2 * np.pi))) % 256
    return positions.astype(np.uint16), np.column_stack([scale, angle]).astype(np.uint8)


def merge_segments(
    storage: Storage,
    name: str,
    live_segments: Sequence[LiveSegment],
    words: int,
    records: Mapping[int, ImageRecord] | None = None,
    embeddings: Sequence[Embedding] = (),
) -> SegmentEntry:
    """Write one segment with the live images of several, in order: the same bytes as if they had
    been written in one go.

    Args:
        records: new ones of some images, by their numbers in the new segment.
    """
    records = records or {}
    sizes = np.concatenate([live.feature_counts[live.alive] for live in live_segments])
    features = int(sizes.sum())
    files = SegmentFiles(storage, name)
    lengths = [np.diff(live.segment.line_starts.astype(np.int64)) for live in live_segments]
    kept = [length[live.alive] for length, live in zip(lengths, live_segments, strict=True)]
    line_lengths: NDArray[np.int64] = np.concatenate(kept).astype(np.int64)
    with files.create("images.jsonl") as file:
        if records:
            line_lengths = write_new_lines(file, live_segments, records)
        else:
            for live in live_segments:
                write_lines(file, live)
    files.array("line_starts", starts_of(line_lengths), "<u8")
    files.array("feature_starts", starts_of(sizes), "<u4")
    for column in all_columns(embeddings):
        if column.optional:
            merge_optional(files, column, live_segments)
        elif column.axis == "image":
            rows = [live.segment.rows[column.name][live.alive] for live in live_segments]
            values = np.concatenate(rows)
            if records and column.name == "path_hashes":
                values[list(records)] = id_hashes([each.id for each in records.values()])
            files.array(column.name, values, column.dtype)
        else:
            with files.stream(column.name, column.dtype, column.shape(features)) as file:
                for live in live_segments:
                    write_rows(file, live, live.segment.rows[column.name])
    counts = np.zeros(words, np.int64)
    with (
        files.stream("posting_features", "<u4", (features,)) as feature_file,
        files.stream("posting_signatures", "<u8", (features,)) as signature_file,
    ):
        for word, feature, signature in merged_postings(live_segments):
            counts += np.bincount(word, minlength=words)
            feature_file.write(feature.astype("<u4").tobytes())
            signature_file.write(signature.astype("<u8").tobytes())
    files.words(counts, np.sum([live.documents for live in live_segments], axis=0))
    return files.finish(len(sizes), features)


def merge_optional(
    files: SegmentFiles, column: Column, live_segments: Sequence[LiveSegment]
) -> None:
    """Copy an optional column of the live images, as far as they have it."""
    known, values = [], []
    for live in live_segments:
        rows = live.segment.optional(column.name)
        count = int(live.alive.sum())
        known.append(rows.known[live.alive] if rows else np.zeros(count, bool))
        empty = np.zeros(column.shape(count), column.dtype)
        values.append(rows.values[live.alive] if rows else empty)
    flags = np.concatenate(known)
    if flags.any():
        files.array(column.name, np.concatenate(values), column.dtype)
        if not flags.all():
            files.array(column.missing_name, ~flags, "|b1")


def write_lines(file: NewFile, live: LiveSegment) -> None:
    """Append the records of the live images."""
    starts = live.segment.line_starts.astype(np.int64)
    for first, last in list_blocks(starts):
        block = live.segment.lines[starts[first] : starts[last]]
        if not live.whole:
            block = block[np.repeat(live.alive[first:last], np.diff(starts[first : last + 1]))]
        file.write(block.tobytes())


def write_new_lines(
    file: NewFile, live_segments: Sequence[LiveSegment], records: Mapping[int, ImageRecord]
) -> NDArray[np.int64]:
    """Append the records of the live images, some of which are new. Returns their lengths."""
    lengths: list[int] = []
    for live in live_segments:
        starts = live.segment.line_starts
        for ordinal in np.flatnonzero(live.alive).tolist():
            line = live.segment.lines[int(starts[ordinal]) : int(starts[ordinal + 1])].tobytes()
            if len(lengths) in records:
                line = record_line(records[len(lengths)])
            file.write(line)
            lengths.append(len(line))
    return np.array(lengths, np.int64)


def write_rows(file: NewFile, live: LiveSegment, values: NDArray[Any]) -> None:
    """Append the rows of a column by feature that belong to live images."""
    starts = live.segment.feature_starts
    for first, last in list_blocks(starts):
        rows = values[starts[first] : starts[last]]
        if not live.whole:
            rows = rows[np.repeat(live.alive[first:last], live.feature_counts[first:last])]
        file.write(rows.tobytes())


def merged_postings(
    live_segments: Sequence[LiveSegment],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]]:
    """All postings of live images by word, as blocks of (word, feature, signature); features are
    numbered anew.
    """
    starts = [starts_of(np.where(live.alive, live.feature_counts, 0)) for live in live_segments]
    offsets = np.cumsum([0, *(each[-1] for each in starts)])
    for first, last in list_blocks(
        np.sum([live.segment.word_starts for live in live_segments], axis=0)
    ):
        words, features, signatures = [], [], []
        for live, offset, start in zip(live_segments, offsets.tolist(), starts, strict=False):
            segment = live.segment
            word, feature = segment.read_postings(first, last)
            signature = segment.posting_signatures[
                segment.word_starts[first] : segment.word_starts[last]
            ]
            if not live.whole:
                owner = segment.image_of(feature)
                kept = live.alive[owner]
                # features move by the number of dropped ones before them: a constant for each image
                feature = (feature + (start[:-1] - segment.feature_starts[:-1])[owner])[kept]
                word, signature = word[kept], signature[kept]
            words.append(word)
            features.append(feature + offset)
            signatures.append(signature)
        word = np.concatenate(words)
        order = np.argsort(word, kind="stable")
        yield word[order], np.concatenate(features)[order], np.concatenate(signatures)[order]


class SegmentFiles:
    """The files of a segment that is being written: under a temporary name, until `finish`."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.temporary = f"segments/tmp-{name}"
        self.files: dict[str, dict[str, Any]] = {}
        storage.remove(self.temporary)
        storage.make(self.temporary)

    @contextmanager
    def create(self, file: str) -> Iterator[NewFile]:
        """A new file of the segment; its length and SHA-256 go into segment.json."""
        with self.storage.create(f"{self.temporary}/{file}") as new:
            yield new
        self.files[file] = {"bytes": new.length, "sha256": new.digest.hexdigest()}

    @contextmanager
    def stream(self, file: str, dtype: str, shape: tuple[int, ...]) -> Iterator[NewFile]:
        """An array whose content follows in pieces."""
        with self.create(f"{file}.npy") as new:
            new.write(array_header(dtype, shape))
            yield new

    def array(self, file: str, values: NDArray[Any], dtype: str) -> None:
        """A whole array."""
        with self.stream(file, dtype, values.shape) as new:
            new.write(np.ascontiguousarray(values, dtype).tobytes())

    def words(self, word_counts: NDArray[np.int64], document_counts: NDArray[np.int64]) -> None:
        """How many postings and images have each word: which words are present as bits, and counts
        of these alone.
        """
        present = word_counts > 0
        self.array("word_bits", np.packbits(present, bitorder="little"), "|u1")
        self.array("word_counts", *narrow(word_counts[present]))
        if has_counts(int(word_counts.sum())):
            self.array("document_counts", *narrow(document_counts[present]))

    def finish(self, images: int, features: int) -> SegmentEntry:
        """Write segment.json and give the segment its name."""
        header = {
            "format": FORMATS[-1],
            "images": images,
            "features": features,
            "files": self.files,
        }
        content = (json.dumps(header, indent=1, sort_keys=True) + "\n").encode()
        self.storage.write(f"{self.temporary}/segment.json", content)
        self.storage.sync(self.temporary)
        self.storage.rename(self.temporary, f"segments/{self.name}")
        return SegmentEntry(self.name, images, features, hashlib.sha256(content).hexdigest())


def narrow(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], str]:
    """Counts, and the narrowest type that holds them."""
    largest = int(counts.max(initial=0))
    return counts, next(dtype for dtype in COUNT_TYPES if largest <= np.iinfo(dtype).max)
