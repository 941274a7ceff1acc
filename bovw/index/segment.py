"""One immutable batch of images on disk, opened for reading. docs/format.md describes the files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..arrays import RunTable, bisect_lists, list_blocks, ranges, starts_of
from ..errors import IndexCorruptError, IndexVersionError
from ..storage.base import Storage
from .columns import Embedding, OptionalRows, all_columns, missing_name
from .manifest import SegmentEntry, is_file_name
from .record import ImageRecord, as_text, parse_record

__all__ = [
    "COUNT_TYPES",
    "FORMATS",
    "SCALE_OCTAVES",
    "SCALE_STEPS",
    "LiveSegment",
    "Segment",
    "document_frequencies",
    "has_counts",
    "id_hashes",
]

# What is read: the first had no ids, metadata and optional columns. The last is written.
FORMATS = ("bovw-segment-1", "bovw-segment-2")
# How metadata begin in a line; a text in it may look like that, too.
METADATA = rb'"metadata":'
SCALE_STEPS = 21.25
SCALE_OCTAVES = 12
COUNT_TYPES = ("|u1", "<u2", "<u4")
# Segments of at most so many features leave it to their reader to count the images with each word:
# that takes 10 ms.
COUNTED_FEATURES = 131_072
# The postings of an image are looked for in the list of each word where these are longer than this
# on average, and by going through all of them where they are shorter: by then both take 10 ms.
BISECTED_LIST = 256
# Postings that are gone through at a time, so that they stay in the processor's cache.
BLOCK = 1 << 16


@dataclass(frozen=True)
class SegmentHeader:
    """What segment.json says, beside what the manifest says as well.

    Attributes:
        format: one of FORMATS.
        files: lengths and checksums of the segment's other files, by name.
    """

    format: str
    files: dict[str, dict[str, Any]]


class Segment:
    """A segment opened for reading. Arrays are mapped, not read; they are never modified.

    Feature f of the segment belongs to the image i with feature_starts[i] <= f <
    feature_starts[i + 1].
    """

    def __init__(
        self,
        storage: Storage,
        entry: SegmentEntry,
        words: int,
        embeddings: Sequence[Embedding] = (),
    ) -> None:
        """Open the segment that a manifest names; its vocabulary has `words` words.

        Raises:
            IndexCorruptError, IndexVersionError: it cannot be used.
        """
        self.storage, self.entry, self.folder = storage, entry, f"segments/{entry.name}"
        self.image_count, self.feature_count = entry.image_count, entry.feature_count
        header = self.read_header(storage, entry)
        self.format, self.files = header.format, header.files
        self.rows = self._open_columns(embeddings)
        self.id_hashes, self.sizes = self.rows["path_hashes"], self.rows["sizes"]
        self.places, self.shapes = self.rows["places"], self.rows["shapes"]
        if not self.sizes.all():
            raise self.corrupt("sizes.npy", "has an image without pixels")
        self.line_starts = self._array("line_starts", ("<u8",), self.image_count + 1)
        starts = self._array("feature_starts", ("<u4",), self.image_count + 1)
        self.feature_starts = starts.astype(np.int64)
        packed = self._array("word_bits", ("|u1",), -(-words // 8))
        present = np.unpackbits(packed, count=words, bitorder="little").astype(bool)
        self.word_counts = self._word_counts("word_counts", present)
        self.posting_features = self._array("posting_features", ("<u4",), self.feature_count)
        self.posting_signatures = self._array("posting_signatures", ("<u8",), self.feature_count)
        self.lines = storage.map_bytes(f"{self.folder}/images.jsonl")
        self.word_starts = starts_of(self.word_counts)
        self._require_sums()
        if has_counts(self.feature_count):
            self.document_frequencies = self._word_counts("document_counts", present)
        else:
            self.document_frequencies = self.documents_of(np.ones(self.image_count, bool))

    def _array(self, file: str, dtypes: tuple[str, ...], *shape: int) -> NDArray[Any]:
        """One of the arrays, mapped."""
        return self.storage.array(f"{self.folder}/{file}.npy", dtypes, shape)

    def _open_columns(self, embeddings: Sequence[Embedding]) -> dict[str, NDArray[Any]]:
        """The columns that are there, and the flags of those that images lack; by name."""
        rows = {}
        for column in all_columns(embeddings):
            if column.optional and f"{column.name}.npy" not in self.files:
                continue
            count = self.image_count if column.axis == "image" else self.feature_count
            rows[column.name] = self._array(column.name, (column.dtype,), *column.shape(count))
            if f"{column.missing_name}.npy" in self.files:
                rows[column.missing_name] = self._array(column.missing_name, ("|b1",), count)
        return rows

    def _word_counts(self, file: str, present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """A count of each word (W,), of which the file has those that are not 0."""
        counts = np.zeros(len(present), np.int64)
        counts[present] = self._array(file, COUNT_TYPES, int(present.sum()))
        return counts

    def _require_sums(self) -> None:
        """Raise IndexCorruptError unless the counts add up to what there is."""
        line_bytes = self.files.get("images.jsonl", {"bytes": -1})["bytes"]
        for file, counted, starts in (
            ("word_counts.npy", self.feature_count, self.word_starts),
            ("feature_starts.npy", self.feature_count, self.feature_starts),
            ("line_starts.npy", line_bytes, self.line_starts.astype(np.int64)),
        ):
            if starts[0] != 0 or starts[-1] != counted or (np.diff(starts) < 0).any():
                raise self.corrupt(file, f"does not add up to {counted:,}")
        if len(self.lines) != self.line_starts[-1]:
            found, wanted = len(self.lines), int(self.line_starts[-1])
            raise self.corrupt("images.jsonl", f"has {found:,} bytes instead of {wanted:,}")

    def corrupt(self, file: str, what: str) -> IndexCorruptError:
        """The error about one of the segment's files."""
        return IndexCorruptError(self.storage.name_of(f"{self.folder}/{file}"), what)

    @staticmethod
    def read_header(storage: Storage, entry: SegmentEntry) -> SegmentHeader:
        """What a segment's segment.json says.

        Raises:
            IndexCorruptError, IndexVersionError: segment.json cannot be used.
        """
        name = f"segments/{entry.name}/segment.json"
        path = storage.name_of(name)
        try:
            content = storage.read(name)
        except FileNotFoundError:
            raise IndexCorruptError(path, "the file is missing") from None
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise IndexCorruptError(path, "damaged (its checksum is not the one in the manifest)")
        try:
            header = json.loads(content)
            if header["format"] not in FORMATS:
                known = " or ".join(FORMATS)
                raise IndexVersionError(f"{path}: not a segment that this version reads ({known})")
            if (header["images"], header["features"]) != (entry.image_count, entry.feature_count):
                raise IndexCorruptError(path, "its counts are not those of the manifest")
            if not all(map(is_file_name, header["files"])):
                raise IndexCorruptError(path, "names files that cannot be")
            files = {
                name: {"bytes": int(file["bytes"]), "sha256": str(file["sha256"])}
                for name, file in header["files"].items()
            }
            return SegmentHeader(header["format"], files)
        except (
            *(ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError),
        ) as error:
            raise IndexCorruptError(path, f"damaged ({error!r})") from error

    def record(self, ordinal: int) -> ImageRecord:
        """The record of one image."""
        first, last = self.line_starts[ordinal : ordinal + 2].tolist()
        try:
            return parse_record(self.lines[first:last].tobytes())
        except (ValueError, TypeError, RecursionError) as error:
            raise self.corrupt("images.jsonl", f"line {ordinal + 1}: {error!r}") from error

    def optional(self, name: str) -> OptionalRows | None:
        """An optional column; None if no image has it."""
        if name not in self.rows:
            return None
        missing = self.rows.get(missing_name(name), np.zeros(self.image_count, bool))
        return OptionalRows(self.rows[name], ~missing)

    def with_metadata(self, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
        """(images,) flags of the images that have all of some metadata. Values are compared as
        texts: a text as it is, all else as JSON, so that "3" is 3 and "true" is true.
        """
        found = np.ones(self.image_count, bool)
        for key, value in wanted.items():
            having = np.zeros(self.image_count, bool)
            having[self._by_metadata.get((key, as_text(value)), [])] = True
            found &= having
        return found

    @cached_property
    def _by_metadata(self) -> dict[tuple[str, str], list[int]]:
        """The ordinals of the images by what is said of them. Lines that say nothing are not
        parsed.
        """
        marks = [mark.start() for mark in re.finditer(METADATA, self.lines.data)]
        ordinals = np.searchsorted(self.line_starts, np.array(marks, np.uint64), side="right") - 1
        found: dict[tuple[str, str], list[int]] = {}
        for ordinal in dict.fromkeys(ordinals.tolist()):
            for key, value in self.record(ordinal).metadata.items():
                found.setdefault((key, as_text(value)), []).append(ordinal)
        return found

    def verify(self) -> None:
        """Compare all files with their checksums. Raises IndexCorruptError."""
        for name, file in self.files.items():
            self.storage.verify(f"{self.folder}/{name}", file["sha256"], file["bytes"])

    @cached_property
    def _by_hash(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The id hashes ascending, and the ordinals that they belong to."""
        order = np.argsort(self.id_hashes, kind="stable")
        return self.id_hashes[order], order

    def with_hashes(
        self, hashes: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of a wanted hash (n,), by its place in `hashes`, and an image of that hash, by
        its ordinal.
        """
        ordered, order = self._by_hash
        low = np.searchsorted(ordered, hashes)
        counts = np.searchsorted(ordered, hashes, side="right") - low
        wanted, row = ranges(low, counts)
        return wanted, order[row]

    @cached_property
    def _runs(self) -> RunTable:
        """To find the image of a feature."""
        return RunTable(self.feature_starts)

    def image_of(self, features: NDArray[np.integer]) -> NDArray[np.int64]:
        """The ordinals of the images that features (n,) belong to."""
        return self._runs.owner_of(features)

    def features_at(self, postings: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """The features of some postings.

        Raises:
            IndexCorruptError: one names a feature that is not there.
        """
        if not isinstance(postings, slice):
            kernel.read_ahead(self.posting_features, postings)
        features = self.posting_features[postings]
        if features.max(initial=0) >= max(self.feature_count, 1):
            raise self.corrupt("posting_features.npy", "names features that are not there")
        return features.astype(np.int64)

    def geometry(
        self, features: NDArray[np.integer], ordinals: NDArray[np.int64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
        """Where features (n,) of images (n,) are: position x + iy and scale in pixels of the
        original, angle in radians.
        """
        kernel.read_ahead(self.places, features)
        kernel.read_ahead(self.shapes, features)
        side = self.sizes[ordinals].max(axis=1).astype(np.float64)
        positions = self.places[features].astype(np.float64) * (side / 65_535)[:, None] - 0.5
        shapes = self.shapes[features].astype(np.float64)
        scale = np.exp2(shapes[:, 0] / SCALE_STEPS - SCALE_OCTAVES) * side
        return positions[:, 0] + 1j * positions[:, 1], scale, shapes[:, 1] * (2 * np.pi / 256)

    def geometry_of_image(
        self, ordinal: int
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
        """Where the features of one image are, as `geometry`."""
        features = np.arange(*self.feature_starts[ordinal : ordinal + 2].tolist())
        return self.geometry(features, np.full(len(features), ordinal))

    def read_postings(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The postings of words first .. last - 1 as (word, feature).

        Raises:
            IndexCorruptError: a posting names a feature that is not there.
        """
        word = np.repeat(np.arange(first, last), self.word_counts[first:last])
        return word, self.features_at(slice(*self.word_starts[[first, last]].tolist()))

    def encoding_of(self, ordinal: int) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
        """The words (n,) and signatures (n,) of the features of one image, in their order. Nothing
        lists them by image, so its postings are searched for.

        Raises:
            IndexCorruptError: a feature of it has no posting, or several.
        """
        first, last = self.feature_starts[ordinal : ordinal + 2].tolist()
        if self.feature_count > BISECTED_LIST * len(self.word_counts):
            low, high = (
                bisect_lists(self.posting_features, self.word_starts, bound)
                for bound in (first, last)
            )
            _, posting = ranges(low, high - low)
        else:
            found = []
            for start in range(0, self.feature_count, BLOCK):
                # what comes before the first wraps around and is large
                place = self.posting_features[start : start + BLOCK] - np.uint32(first)
                found.append((place < last - first).nonzero()[0] + start)
            posting = np.concatenate(found)
        place = self.posting_features[posting].astype(np.int64) - first
        order = np.argsort(place)
        if not np.array_equal(place[order], np.arange(last - first)):
            raise self.corrupt("posting_features.npy", "does not name each feature once")
        posting = posting[order]
        words = np.searchsorted(self.word_starts, posting, side="right") - 1
        return words.astype(np.int32), self.posting_signatures[posting]

    def documents_of(self, images: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of some images, given as (images,) flags, have each word: (W,)."""
        documents = np.zeros(len(self.word_counts), np.int64)
        # runs of wanted images are runs of features: odd gaps between the bounds are inside
        flags = np.concatenate(([False], images, [False])).astype(np.int8)
        bounds = self.feature_starts[np.flatnonzero(np.diff(flags))]
        for first, last in list_blocks(self.word_starts):
            word, feature = self.read_postings(first, last)
            inside = np.flatnonzero(np.searchsorted(bounds, feature, side="right") % 2)
            documents += document_frequencies(
                word[inside], self.image_of(feature[inside]), len(documents)
            )
        return documents


@dataclass(frozen=True)
class LiveSegment:
    """A segment and what of it is alive.

    Attributes:
        alive: (images,) flags.
        documents: (W,) how many of the live images have each word.
    """

    segment: Segment
    alive: NDArray[np.bool_]
    documents: NDArray[np.int64]

    @property
    def feature_counts(self) -> NDArray[np.int64]:
        """(images,) features of each image."""
        return np.diff(self.segment.feature_starts)

    @property
    def whole(self) -> bool:
        """Whether all images are alive."""
        return bool(self.alive.all())


def has_counts(feature_count: int) -> bool:
    """Whether the document frequencies of a segment of so many features are in a file."""
    return feature_count > COUNTED_FEATURES


def document_frequencies(
    word: NDArray[np.int64], image: NDArray[np.int64], words: int
) -> NDArray[np.int64]:
    """How many images have each word (W,), of postings sorted by word and image."""
    is_first = (np.diff(word) != 0) | (np.diff(image) != 0)
    first = np.concatenate(([True], is_first))[: len(word)]
    return np.bincount(word[first], minlength=words)


def id_hashes(ids: Sequence[str]) -> NDArray[np.uint64]:
    """(n,) the first 8 bytes of the SHA-256 of each id, to find an image by its id without reading
    all records.
    """
    encoded = (name.encode(errors="surrogateescape") for name in ids)
    digests = b"".join(hashlib.sha256(name).digest()[:8] for name in encoded)
    return np.frombuffer(digests, "<u8").astype(np.uint64)
