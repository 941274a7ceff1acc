"""One immutable batch of images on disk: its writer, its memory-mapped reader, and the merging of several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .encoding import EncodedImage
from .errors import IndexCorruptError, IndexVersionError
from .storage import Directory

__all__ = ["ImageRecord", "Segment", "merge_segments", "write_segment"]

FORMAT = "bovw-segment-1"
SCALE_STEPS = 21.25
SCALE_OCTAVES = 12
BLOCK = 8_000_000
COUNT_TYPES = ("|u1", "<u2", "<u4")


@dataclass(frozen=True)
class ImageRecord:
    """An image as a segment knows it.

    Attributes:
        path: as it was indexed.
        bytes: size of the file.
        mtime: modification time of the file, nanoseconds since 1970.
        width, height: pixels, upright.
    """

    path: str
    bytes: int
    mtime: int
    width: int
    height: int


class Segment:
    """A segment opened for reading. Arrays are mapped, not read; they are never modified.

    Feature f of the segment belongs to the image i with feature_starts[i] <= f < feature_starts[i + 1].
    """

    def __init__(self, directory: Directory, name: str, words: int) -> None:
        """Open the segment; its vocabulary has `words` words.

        Raises:
            IndexCorruptError, IndexVersionError: it cannot be used.
        """
        self.directory, self.name = directory, name
        folder = f"segments/{name}"
        try:
            header = json.loads(directory.read(f"{folder}/segment.json"))
        except FileNotFoundError:
            raise IndexCorruptError(f"{directory.root}/{folder}/segment.json: the file is missing") from None
        except ValueError as error:
            raise IndexCorruptError(f"{directory.root}/{folder}/segment.json: {error}") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise IndexVersionError(f"{directory.root}/{folder}: not a segment that this version reads ({FORMAT})")
        try:
            self.images, self.features = int(header["images"]), int(header["features"])
            lengths = {str(file): int(entry["bytes"]) for file, entry in header["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IndexCorruptError(f"{directory.root}/{folder}/segment.json: damaged ({error})") from error
        images, features = self.images, self.features
        for file, length in lengths.items():
            directory.require_length(f"{folder}/{file}", length)

        def array(file: str, dtype: tuple[str, ...], *shape: int | None) -> NDArray[Any]:
            return directory.array(f"{folder}/{file}.npy", dtype, shape)

        self.feature_starts = array("feature_starts", ("<u4",), images + 1).astype(np.int64)
        self.sizes = array("sizes", ("<u4",), images, 2)
        self.line_starts = array("line_starts", ("<u8",), images + 1)
        self.places = array("places", ("<u2",), features, 2)
        self.shapes = array("shapes", ("|u1",), features, 2)
        self.word_counts = array("word_counts", COUNT_TYPES, words)
        self.document_counts = array("document_counts", COUNT_TYPES, words)
        self.posting_features = array("posting_features", ("<u4",), features)
        self.posting_signatures = array("posting_signatures", ("<u8",), features)
        self.lines = directory.bytes(f"{folder}/images.jsonl")
        self.word_starts = np.concatenate(([0], np.cumsum(self.word_counts, dtype=np.int64)))
        ends_fit = self.word_starts[-1] == features and int(self.feature_starts[-1]) == features and int(self.feature_starts[0]) == 0
        if not ends_fit or (np.diff(self.feature_starts) < 0).any():
            raise IndexCorruptError(f"{directory.root}/{folder}: the counts of words and features contradict one another")

    def record(self, ordinal: int) -> ImageRecord:
        """The record of one image."""
        first, last = self.line_starts[ordinal : ordinal + 2].tolist()
        try:
            return ImageRecord(**json.loads(self.lines[first:last].tobytes()))
        except (ValueError, TypeError) as error:
            raise IndexCorruptError(f"{self.directory.root}/segments/{self.name}/images.jsonl: line {ordinal + 1}: {error}") from error

    def records(self) -> Iterator[ImageRecord]:
        """The records of all images, in order."""
        return (self.record(ordinal) for ordinal in range(self.images))

    def image_of(self, features: NDArray[np.integer]) -> NDArray[np.int64]:
        """The ordinals of the images that features (n,) belong to."""
        return np.searchsorted(self.feature_starts, features, side="right") - 1

    def geometry(
        self, features: NDArray[np.integer], ordinals: NDArray[np.int64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
        """Where features (n,) of images (n,) are: position x + iy and scale in pixels of the original, angle in radians."""
        side = self.sizes[ordinals].max(axis=1).astype(np.float64)
        places = self.places[features].astype(np.float64) * (side / 65_535)[:, None] - 0.5
        shapes = self.shapes[features].astype(np.float64)
        scale = np.exp2(shapes[:, 0] / SCALE_STEPS - SCALE_OCTAVES) * side
        return places[:, 0] + 1j * places[:, 1], scale, shapes[:, 1] * (2 * np.pi / 256)

    def postings(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The postings of words first .. last - 1 as (word, image)."""
        block = slice(self.word_starts[first], self.word_starts[last])
        word = np.repeat(np.arange(first, last), self.word_counts[first:last])
        return word, self.image_of(self.posting_features[block])

    def documents_of(self, images: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of some images, given as (images,) flags, have each word: (W,)."""
        documents = np.zeros(len(self.word_counts), np.int64)
        for first, last in word_blocks(self.word_starts):
            word, image = self.postings(first, last)
            key = np.unique((word * self.images + image)[images[image]])
            documents += np.bincount(key // self.images, minlength=len(documents))
        return documents


def packed_geometry(image: EncodedImage) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Places (n, 2) uint16 in 65535ths of the long side; shapes (n, 2) uint8: log2 of the relative scale, angle."""
    side = max(image.size)
    places = np.rint((image.xy.astype(np.float64) + 0.5) * (65_535 / side)).clip(0, 65_535).astype(np.uint16)
    scale = (np.log2(np.maximum(image.scale.astype(np.float64), 1e-6) / side) + SCALE_OCTAVES) * SCALE_STEPS
    angle = image.angle.astype(np.float64) * (256 / (2 * np.pi))
    return places, np.column_stack([np.rint(scale).clip(0, 255), np.rint(angle) % 256]).astype(np.uint8)


def write_segment(directory: Directory, name: str, images: Sequence[tuple[ImageRecord, EncodedImage]], words: int) -> None:
    """Write a segment of some images under a temporary name, and rename it when all of it has reached the disk."""
    sizes = np.array([len(image) for _, image in images], np.int64)
    word = np.concatenate([image.words[:, 0] for _, image in images]).astype(np.int64)
    owner = np.repeat(np.arange(len(images)), sizes)
    order = np.argsort(word, kind="stable")
    geometry = [packed_geometry(image) for _, image in images]
    lines = [record_line(record) for record, _ in images]
    seen = np.unique(word * len(images) + owner) // len(images)
    with SegmentFiles(directory, name) as files:
        files.write("images.jsonl", b"".join(lines))
        files.array("line_starts", starts_of([len(line) for line in lines]), np.uint64)
        files.array("feature_starts", starts_of(sizes), np.uint32)
        files.array("sizes", np.array([(record.width, record.height) for record, _ in images]), np.uint32)
        files.array("places", np.concatenate([places for places, _ in geometry]), np.uint16)
        files.array("shapes", np.concatenate([shapes for _, shapes in geometry]), np.uint8)
        files.counts("word_counts", np.bincount(word, minlength=words))
        files.counts("document_counts", np.bincount(seen, minlength=words))
        files.array("posting_features", order, np.uint32)
        files.array("posting_signatures", np.concatenate([image.signatures[:, 0] for _, image in images])[order], np.uint64)
        files.finish(len(images), int(sizes.sum()))


def merge_segments(directory: Directory, name: str, segments: Sequence[Segment], kept: Sequence[NDArray[np.bool_]], words: int) -> None:
    """Write one segment with the kept images of several, in order. Works through blocks, so memory stays bounded.

    Args:
        kept: for each segment which of its images (n,) go on.
    """
    renumbered = [renumbering(segment, keep) for segment, keep in zip(segments, kept, strict=True)]
    moved = np.cumsum([0] + [numbers[-1] for _, numbers in renumbered])
    alive = [np.repeat(keep, np.diff(segment.feature_starts)) for segment, keep in zip(segments, kept, strict=True)]
    sizes = np.concatenate([np.diff(s.feature_starts)[keep] for s, keep in zip(segments, kept, strict=True)])
    word_counts, document_counts = np.zeros(words, np.int64), np.zeros(words, np.int64)
    with SegmentFiles(directory, name) as files:
        lengths: list[int] = []
        with files.open("images.jsonl") as handle:
            for segment, keep in zip(segments, kept, strict=True):
                for ordinal in np.flatnonzero(keep).tolist():
                    line = record_line(segment.record(ordinal))
                    lengths.append(len(line))
                    handle.write(line)
        files.array("line_starts", starts_of(lengths), np.uint64)
        files.array("feature_starts", starts_of(sizes), np.uint32)
        files.array("sizes", np.concatenate([s.sizes[keep] for s, keep in zip(segments, kept, strict=True)]), np.uint32)
        for file, dtype in (("places", np.uint16), ("shapes", np.uint8)):
            with files.stream(file, dtype, (int(sizes.sum()), 2)) as handle:
                for segment, live in zip(segments, alive, strict=True):
                    source = getattr(segment, file)
                    for first in range(0, segment.features, BLOCK):
                        block = slice(first, first + BLOCK)
                        handle.write(np.ascontiguousarray(source[block][live[block]]).tobytes())
        with (
            files.stream("posting_features", np.uint32, (int(sizes.sum()),)) as features,
            files.stream("posting_signatures", np.uint64, (int(sizes.sum()),)) as signatures,
        ):
            for first, last in word_blocks(np.sum([segment.word_starts for segment in segments], axis=0)):
                word: list[NDArray[np.int64]] = []
                feature: list[NDArray[np.int64]] = []
                signature: list[NDArray[np.uint64]] = []
                image: list[NDArray[np.int64]] = []
                for number, segment in enumerate(segments):
                    block = slice(segment.word_starts[first], segment.word_starts[last])
                    found = segment.posting_features[block]
                    live = alive[number][found]
                    word.append(np.repeat(np.arange(first, last), segment.word_counts[first:last])[live])
                    # features move by the number of dropped ones before them: a constant for each image
                    owner = segment.image_of(found[live])
                    feature.append(renumbered[number][0][owner] + found[live] + moved[number])
                    signature.append(segment.posting_signatures[block][live])
                    image.append(owner + sum(s.images for s in segments[:number]))
                words_here = np.concatenate(word)
                order = np.argsort(words_here, kind="stable")
                features.write(np.concatenate(feature)[order].astype("<u4").tobytes())
                signatures.write(np.concatenate(signature)[order].astype("<u8").tobytes())
                word_counts += np.bincount(words_here, minlength=words)
                total = sum(s.images for s in segments)
                document_counts += np.bincount(np.unique(words_here * total + np.concatenate(image)) // max(total, 1), minlength=words)
        files.counts("word_counts", word_counts)
        files.counts("document_counts", document_counts)
        files.finish(len(lengths), int(sizes.sum()))


def renumbering(segment: Segment, keep: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each image the shift of its feature numbers, (images,); and the new feature starts of all images (images + 1,)."""
    sizes = np.diff(segment.feature_starts)
    starts = starts_of(np.where(keep, sizes, 0))
    return starts[:-1] - segment.feature_starts[:-1], starts


def word_blocks(word_starts: NDArray[np.int64], limit: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Cut the words into ranges (first, last + 1) of at most `limit` postings, or of one word."""
    first, words = 0, len(word_starts) - 1
    while first < words:
        last = int(np.searchsorted(word_starts, word_starts[first] + limit, side="right")) - 1
        last = min(max(last, first + 1), words)
        yield first, last
        first = last


def record_line(record: ImageRecord) -> bytes:
    """A record as a line of images.jsonl; undecodable bytes of a path survive as escaped surrogates."""
    return (json.dumps(asdict(record), separators=(",", ":"), sort_keys=True) + "\n").encode()


def starts_of(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of some runs begins when they are laid end to end, and where the last ends."""
    return np.concatenate(([0], np.cumsum(np.asarray(lengths, np.int64), dtype=np.int64)))


class SegmentFiles:
    """The files of a segment that is being written; they vanish unless `finish` was reached."""

    def __init__(self, directory: Directory, name: str) -> None:
        self.directory, self.name = directory, name
        self.temporary = f"segments/tmp-{name}"
        self.digests: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> SegmentFiles:
        self.directory.remove(self.temporary)
        self.directory.make(self.temporary)
        return self

    def __exit__(self, *_: object) -> None:
        self.directory.remove(self.temporary)

    def open(self, file: str) -> HashedFile:
        """A new file of the segment to write to."""
        return HashedFile(self, file)

    def write(self, file: str, content: bytes) -> None:
        """A whole file."""
        with self.open(file) as handle:
            handle.write(content)

    def array(self, file: str, values: NDArray[Any], dtype: Any) -> None:
        """A whole array."""
        with self.stream(file, dtype, values.shape) as handle:
            handle.write(np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).tobytes())

    def counts(self, file: str, values: NDArray[np.int64]) -> None:
        """An array of counts in the narrowest type that holds them."""
        self.array(file, values, np.min_scalar_type(int(values.max(initial=0))))

    def stream(self, file: str, dtype: Any, shape: tuple[int, ...]) -> HashedFile:
        """An array whose content follows in pieces."""
        handle = HashedFile(self, f"{file}.npy")
        handle.header = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False, "shape": shape}
        return handle

    def finish(self, images: int, features: int) -> None:
        """Write segment.json and give the segment its name."""
        header = {"format": FORMAT, "images": images, "features": features, "files": self.digests}
        self.directory.write(f"{self.temporary}/segment.json", (json.dumps(header, indent=1, sort_keys=True) + "\n").encode())
        self.directory.sync(self.temporary)
        self.directory.rename(self.temporary, f"segments/{self.name}")


class HashedFile:
    """A file being written whose length and SHA-256 go into segment.json when it is closed."""

    header: dict[str, Any] | None = None

    def __init__(self, files: SegmentFiles, file: str) -> None:
        self.files, self.file = files, file
        self.digest, self.length = hashlib.sha256(), 0
        self.context = files.directory.create(f"{files.temporary}/{file}")

    def __enter__(self) -> HashedFile:
        self.handle: BinaryIO = self.context.__enter__()
        if self.header is not None:
            np.lib.format.write_array_header_1_0(self, self.header)
        return self

    def write(self, content: bytes) -> int:
        """Append some bytes."""
        self.digest.update(content)
        self.length += len(content)
        return self.handle.write(content)

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)
        self.files.digests[self.file] = {"bytes": self.length, "sha256": self.digest.hexdigest()}
