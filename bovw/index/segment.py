"""One immutable batch of images on disk: its writer and its memory-mapped reader. docs/format.md
describes the files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import list_blocks, ranges, starts_of
from ..errors import IndexCorruptError, IndexVersionError
from ..features.encoding import EncodedImage
from ..storage import Directory, NewFile, array_header
from .manifest import SegmentEntry, is_file_name

__all__ = [
    "COUNTED_FEATURES",
    "COUNT_TYPES",
    "ImageRecord",
    "Segment",
    "SegmentFiles",
    "narrow",
    "path_hashes",
    "write_segment",
]

FORMAT = "bovw-segment-1"
SCALE_STEPS = 21.25
SCALE_OCTAVES = 12
COUNT_TYPES = ("|u1", "<u2", "<u4")
# Features in a run, and the mark of a run in which several images begin.
RUN, MIXED = 256, 511
# Segments of at most so many features leave it to their reader to count the images with each word:
# that takes 10 ms.
COUNTED_FEATURES = 131_072


@dataclass(frozen=True)
class ImageRecord:
    """An image as a segment knows it.

    Attributes:
        path: relative to the root of the index with forward slashes, or absolute.
        size_bytes: size of the file.
        mtime: modification time of the file, nanoseconds since 1970.
        sha256: of the content of the file, hexadecimal.
        width, height: pixels, upright.
    """

    path: str
    size_bytes: int
    mtime: int
    sha256: str
    width: int
    height: int


class Segment:
    """A segment opened for reading. Arrays are mapped, not read; they are never modified.

    Feature f of the segment belongs to the image i with feature_starts[i] <= f < feature_starts[i +
    1].
    """

    def __init__(self, directory: Directory, entry: SegmentEntry, words: int) -> None:
        """Open the segment that a manifest names; its vocabulary has `words` words.

        Raises:
            IndexCorruptError, IndexVersionError: it cannot be used.
        """
        self.directory, self.entry, self.folder = directory, entry, f"segments/{entry.name}"
        self.image_count, self.feature_count = images, features = (
            entry.image_count,
            entry.feature_count,
        )
        self.files = self.read_files(directory, entry)

        def array(file: str, dtypes: tuple[str, ...], *shape: int) -> NDArray[Any]:
            return directory.array(f"{self.folder}/{file}.npy", dtypes, shape)

        self.line_starts = array("line_starts", ("<u8",), images + 1)
        self.path_hashes = array("path_hashes", ("<u8",), images)
        self.sizes = array("sizes", ("<u4",), images, 2)
        self.feature_starts = array("feature_starts", ("<u4",), images + 1).astype(np.int64)
        if not self.sizes.all():
            raise self.corrupt("sizes.npy", "has an image without pixels")
        self.places = array("places", ("<u2",), features, 2)
        self.shapes = array("shapes", ("|u1",), features, 2)
        present = np.unpackbits(
            array("word_bits", ("|u1",), -(-words // 8)), count=words, bitorder="little"
        ).astype(bool)
        self.word_counts = np.zeros(words, np.int64)
        self.word_counts[present] = array("word_counts", COUNT_TYPES, int(present.sum()))
        self.posting_features = array("posting_features", ("<u4",), features)
        self.posting_signatures = array("posting_signatures", ("<u8",), features)
        self.lines = directory.map_bytes(f"{self.folder}/images.jsonl")
        self.word_starts = starts_of(self.word_counts)
        for file, counted, starts in (
            ("word_counts.npy", features, self.word_starts),
            ("feature_starts.npy", features, self.feature_starts),
            (
                "line_starts.npy",
                self.files.get("images.jsonl", {"bytes": -1})["bytes"],
                self.line_starts.astype(np.int64),
            ),
        ):
            if starts[0] != 0 or starts[-1] != counted or (np.diff(starts) < 0).any():
                raise self.corrupt(file, f"does not add up to {counted:,}")
        if len(self.lines) != self.line_starts[-1]:
            raise self.corrupt(
                "images.jsonl",
                f"has {len(self.lines):,} bytes instead of {int(self.line_starts[-1]):,}",
            )
        if features > COUNTED_FEATURES:
            self.document_frequencies = np.zeros(words, np.int64)
            self.document_frequencies[present] = array(
                "document_counts", COUNT_TYPES, int(present.sum())
            )
        else:
            self.document_frequencies = self.documents_of(np.ones(images, bool))

    def corrupt(self, file: str, what: str) -> IndexCorruptError:
        """The error about one of the segment's files."""
        return IndexCorruptError(self.directory.path / self.folder / file, what)

    @staticmethod
    def read_files(directory: Directory, entry: SegmentEntry) -> dict[str, dict[str, Any]]:
        """The lengths and checksums of a segment's files by name, as its segment.json has them.

        Raises:
            IndexCorruptError, IndexVersionError: segment.json cannot be used.
        """
        path = directory.path / "segments" / entry.name / "segment.json"
        try:
            content = directory.read(f"segments/{entry.name}/segment.json")
        except FileNotFoundError:
            raise IndexCorruptError(path, "the file is missing") from None
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise IndexCorruptError(path, "damaged (its checksum is not the one in the manifest)")
        try:
            header = json.loads(content)
            if header["format"] != FORMAT:
                raise IndexVersionError(f"{path}: not a segment that this version reads ({FORMAT})")
            if (header["images"], header["features"]) != (entry.image_count, entry.feature_count):
                raise IndexCorruptError(path, "its counts are not those of the manifest")
            if not all(map(is_file_name, header["files"])):
                raise IndexCorruptError(path, "names files that cannot be")
            return {
                name: {"bytes": int(file["bytes"]), "sha256": str(file["sha256"])}
                for name, file in header["files"].items()
            }
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:
            raise IndexCorruptError(path, f"damaged ({error!r})") from error

    def record(self, ordinal: int) -> ImageRecord:
        """The record of one image."""
        first, last = self.line_starts[ordinal : ordinal + 2].tolist()
        try:
            record = ImageRecord(**record_values(json.loads(self.lines[first:last].tobytes())))
            if not os.fsencode(record.path) or "\0" in record.path:
                raise ValueError("no path")
            return record
        except (ValueError, TypeError, RecursionError) as error:
            raise self.corrupt("images.jsonl", f"line {ordinal + 1}: {error!r}") from error

    def verify(self) -> None:
        """Compare all files with their checksums. Raises IndexCorruptError."""
        for name, file in self.files.items():
            self.directory.verify(f"{self.folder}/{name}", file["sha256"], file["bytes"])

    @cached_property
    def by_hash(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The path hashes ascending, and the ordinals that they belong to."""
        order = np.argsort(self.path_hashes, kind="stable")
        return self.path_hashes[order], order

    def with_hashes(
        self, hashes: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of a wanted hash (n,), by its place in `hashes`, and an image of that hash, by
        its ordinal.
        """
        ordered, order = self.by_hash
        low = np.searchsorted(ordered, hashes)
        counts = np.searchsorted(ordered, hashes, side="right") - low
        wanted, row = ranges(low, counts)
        return wanted, order[row]

    @cached_property
    def runs(self) -> NDArray[np.unsignedinteger]:
        """Where to look for the image of a feature, for each run of 256 features: one number, so
        that it is one look.

        Its upper bits are the image of the run's first feature, the lower 9 how many features come
        before the next image begins: 256 if none does, MIXED if several do.
        """
        firsts = np.append(np.arange(0, self.feature_count, RUN), max(self.feature_count - 1, 0))
        images = np.searchsorted(self.feature_starts, firsts, side="right") - 1
        begun = np.diff(images)
        edge = np.minimum(self.feature_starts[images[:-1] + 1] - firsts[:-1], RUN)
        packed = images[:-1] << 9 | np.where(begun > 1, MIXED, edge)
        return packed.astype(np.uint32 if self.image_count < 1 << 23 else np.uint64)

    def image_of(self, features: NDArray[np.integer]) -> NDArray[np.int64]:
        """The ordinals of the images that features (n,) belong to."""
        packed = self.runs[features >> 8]
        edge = packed & 511
        image = np.asarray((packed >> 9) + ((features & 255).astype(np.uint32) >= edge), np.int64)
        mixed = np.flatnonzero(edge == MIXED)
        image[mixed] = np.searchsorted(self.feature_starts, features[mixed], side="right") - 1
        return image

    def features_at(self, postings: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """The features of some postings.

        Raises:
            IndexCorruptError: one names a feature that is not there.
        """
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
        side = self.sizes[ordinals].max(axis=1).astype(np.float64)
        positions = self.places[features].astype(np.float64) * (side / 65_535)[:, None] - 0.5
        shapes = self.shapes[features].astype(np.float64)
        scale = np.exp2(shapes[:, 0] / SCALE_STEPS - SCALE_OCTAVES) * side
        return positions[:, 0] + 1j * positions[:, 1], scale, shapes[:, 1] * (2 * np.pi / 256)

    def read_postings(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The postings of words first .. last - 1 as (word, feature).

        Raises:
            IndexCorruptError: a posting names a feature that is not there.
        """
        word = np.repeat(np.arange(first, last), self.word_counts[first:last])
        return word, self.features_at(slice(*self.word_starts[[first, last]].tolist()))

    def documents_of(self, images: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of some images, given as (images,) flags, have each word: (W,)."""
        documents = np.zeros(len(self.word_counts), np.int64)
        # runs of wanted images are runs of features: odd gaps between the bounds are inside
        turns = np.flatnonzero(np.diff(np.concatenate(([False], images, [False])).astype(np.int8)))
        bounds = self.feature_starts[turns]
        for first, last in list_blocks(self.word_starts):
            word, feature = self.read_postings(first, last)
            inside = np.flatnonzero(np.searchsorted(bounds, feature, side="right") % 2)
            documents += documents_of(word[inside], self.image_of(feature[inside]), len(documents))
        return documents


def packed_geometry(image: EncodedImage) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Positions (n, 2) uint16 in 65535ths of the long side; shapes (n, 2) uint8: log2 of the
    relative scale, angle.
    """
    side = max(image.size)
    positions = (
        np.rint((image.xy.astype(np.float64) + 0.5) * (65_535 / side))
        .clip(0, 65_535)
        .astype(np.uint16)
    )
    scale = (
        np.log2(np.maximum(image.scale.astype(np.float64), 1e-6) / side) + SCALE_OCTAVES
    ) * SCALE_STEPS
    angle = image.angle.astype(np.float64) * (256 / (2 * np.pi))
    return positions, np.column_stack([np.rint(scale).clip(0, 255), np.rint(angle) % 256]).astype(
        np.uint8
    )


def write_segment(
    directory: Directory, name: str, images: Sequence[tuple[ImageRecord, EncodedImage]], words: int
) -> SegmentEntry:
    """Write a segment of some images under a temporary name, and rename it when all of it has
    reached the disk.
    """
    sizes = np.array([len(image) for _, image in images], np.int64)
    word = np.concatenate([image.words[:, 0] for _, image in images]).astype(np.int64)
    owner = np.repeat(np.arange(len(images)), sizes)
    order = np.argsort(
        word.astype(np.uint16) if words <= 1 << 16 else word, kind="stable"
    )  # 16 bits are sorted by radix
    geometry = [packed_geometry(image) for _, image in images]
    lines = [record_line(record) for record, _ in images]
    files = SegmentFiles(directory, name)
    with files.create("images.jsonl") as file:
        file.write(b"".join(lines))
    files.array("line_starts", starts_of([len(line) for line in lines]), "<u8")
    files.array("path_hashes", path_hashes([record.path for record, _ in images]), "<u8")
    files.array("sizes", np.array([(record.width, record.height) for record, _ in images]), "<u4")
    files.array("feature_starts", starts_of(sizes), "<u4")
    files.array("places", np.concatenate([positions for positions, _ in geometry]), "<u2")
    files.array("shapes", np.concatenate([shapes for _, shapes in geometry]), "|u1")
    files.words(np.bincount(word, minlength=words), documents_of(word[order], owner[order], words))
    files.array("posting_features", order, "<u4")
    files.array(
        "posting_signatures",
        np.concatenate([image.signatures[:, 0] for _, image in images])[order],
        "<u8",
    )
    return files.finish(len(images), int(sizes.sum()))


def documents_of(
    word: NDArray[np.int64], image: NDArray[np.int64], words: int
) -> NDArray[np.int64]:
    """How many images have each word (W,), of postings sorted by word and image."""
    first = np.concatenate(([True], (np.diff(word) != 0) | (np.diff(image) != 0)))[: len(word)]
    return np.bincount(word[first], minlength=words)


def narrow(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], str]:
    """Counts, and the narrowest type that holds them."""
    largest = int(counts.max(initial=0))
    return counts, next(dtype for dtype in COUNT_TYPES if largest <= np.iinfo(dtype).max)


def record_facts(record: ImageRecord) -> dict[str, Any]:
    """A record as JSON values; `record_values` reads it back."""
    return {
        ("bytes" if name == "size_bytes" else name): value for name, value in asdict(record).items()
    }


def record_values(facts: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record from its JSON values."""
    return {("size_bytes" if name == "bytes" else name): value for name, value in facts.items()}


def record_line(record: ImageRecord) -> bytes:
    """A record as a line of images.jsonl; undecodable bytes of a path survive as escaped
    surrogates.
    """
    return (json.dumps(record_facts(record), separators=(",", ":"), sort_keys=True) + "\n").encode()


def path_hashes(paths: Sequence[str]) -> NDArray[np.uint64]:
    """(n,) the first 8 bytes of the SHA-256 of each path, to find an image by its path without
    reading all records.
    """
    digests = b"".join(hashlib.sha256(os.fsencode(path)).digest()[:8] for path in paths)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


class SegmentFiles:
    """The files of a segment that is being written: under a temporary name, until `finish`."""

    def __init__(self, directory: Directory, name: str) -> None:
        self.directory, self.name = directory, name
        self.temporary = f"segments/tmp-{name}"
        self.files: dict[str, dict[str, Any]] = {}
        directory.remove(self.temporary)
        directory.make(self.temporary)

    @contextmanager
    def create(self, file: str) -> Iterator[NewFile]:
        """A new file of the segment; its length and SHA-256 go into segment.json."""
        with self.directory.create(f"{self.temporary}/{file}") as new:
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

    def words(
        self, word_counts: NDArray[np.int64], document_frequencies: NDArray[np.int64]
    ) -> None:
        """How many postings and images have each word: which words are present as bits, and counts
        of these alone.
        """
        present = word_counts > 0
        self.array("word_bits", np.packbits(present, bitorder="little"), "|u1")
        self.array("word_counts", *narrow(word_counts[present]))
        if word_counts.sum() > COUNTED_FEATURES:
            self.array("document_counts", *narrow(document_frequencies[present]))

    def finish(self, images: int, features: int) -> SegmentEntry:
        """Write segment.json and give the segment its name."""
        header = {"format": FORMAT, "images": images, "features": features, "files": self.files}
        content = (json.dumps(header, indent=1, sort_keys=True) + "\n").encode()
        self.directory.write(f"{self.temporary}/segment.json", content)
        self.directory.sync(self.temporary)
        self.directory.rename(self.temporary, f"segments/{self.name}")
        return SegmentEntry(self.name, images, features, hashlib.sha256(content).hexdigest())
