"""Fold several segments into one, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import list_blocks, starts_of
from ..storage import Directory, NewFile
from .manifest import SegmentEntry
from .segment import Segment, SegmentFiles

__all__ = ["Part", "merge_segments"]


@dataclass(frozen=True)
class Part:
    """A segment and what of it is alive.

    Attributes:
        alive: (images,) flags.
        documents: (W,) how many of the live images have each word.
    """

    segment: Segment
    alive: NDArray[np.bool_]
    documents: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(images,) features of each image."""
        return np.diff(self.segment.feature_starts)

    @property
    def whole(self) -> bool:
        """Whether all images are alive."""
        return bool(self.alive.all())


def merge_segments(directory: Directory, name: str, parts: Sequence[Part], words: int) -> SegmentEntry:
    """Write one segment with the live images of several, in order: the same bytes as if they had been written in one go."""
    sizes = np.concatenate([part.sizes[part.alive] for part in parts])
    features = int(sizes.sum())
    files = SegmentFiles(directory, name)
    with files.create("images.jsonl") as file:
        for part in parts:
            write_lines(file, part)
    lengths = np.concatenate([np.diff(part.segment.line_starts.astype(np.int64))[part.alive] for part in parts])
    files.array("line_starts", starts_of(lengths), "<u8")
    files.array("path_hashes", np.concatenate([part.segment.path_hashes[part.alive] for part in parts]), "<u8")
    files.array("sizes", np.concatenate([part.segment.sizes[part.alive] for part in parts]), "<u4")
    files.array("feature_starts", starts_of(sizes), "<u4")
    for array, dtype in (("places", "<u2"), ("shapes", "|u1")):
        with files.stream(array, dtype, (features, 2)) as file:
            for part in parts:
                write_rows(file, part, getattr(part.segment, array))
    counts = np.zeros(words, np.int64)
    with (
        files.stream("posting_features", "<u4", (features,)) as feature_file,
        files.stream("posting_signatures", "<u8", (features,)) as signature_file,
    ):
        for word, feature, signature in merged_postings(parts):
            counts += np.bincount(word, minlength=words)
            feature_file.write(feature.astype("<u4").tobytes())
            signature_file.write(signature.astype("<u8").tobytes())
    files.words(counts, np.sum([part.documents for part in parts], axis=0))
    return files.finish(len(sizes), features)


def write_lines(file: NewFile, part: Part) -> None:
    """Append the records of the live images."""
    starts = part.segment.line_starts.astype(np.int64)
    for first, last in list_blocks(starts):
        block = part.segment.lines[starts[first] : starts[last]]
        if not part.whole:
            block = block[np.repeat(part.alive[first:last], np.diff(starts[first : last + 1]))]
        file.write(block.tobytes())


def write_rows(file: NewFile, part: Part, values: NDArray[Any]) -> None:
    """Append the rows of an array by feature that belong to live images."""
    starts = part.segment.feature_starts
    for first, last in list_blocks(starts):
        rows = values[starts[first] : starts[last]]
        if not part.whole:
            rows = rows[np.repeat(part.alive[first:last], part.sizes[first:last])]
        file.write(rows.tobytes())


def merged_postings(parts: Sequence[Part]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]]:
    """All postings of live images by word, as blocks of (word, feature, signature); features are numbered anew."""
    starts = [starts_of(np.where(part.alive, part.sizes, 0)) for part in parts]
    before = np.cumsum([0, *(each[-1] for each in starts)])
    for first, last in list_blocks(np.sum([part.segment.word_starts for part in parts], axis=0)):
        words, features, signatures = [], [], []
        for part, moved, start in zip(parts, before.tolist(), starts, strict=False):
            segment = part.segment
            word, feature = segment.read_postings(first, last)
            signature = segment.posting_signatures[segment.word_starts[first] : segment.word_starts[last]]
            if not part.whole:
                owner = segment.image_of(feature)
                live = part.alive[owner]
                # features move by the number of dropped ones before them: a constant for each image
                feature = (feature + (start[:-1] - segment.feature_starts[:-1])[owner])[live]
                word, signature = word[live], signature[live]
            words.append(word)
            features.append(feature + moved)
            signatures.append(signature)
        word = np.concatenate(words)
        order = np.argsort(word, kind="stable")
        yield word[order], np.concatenate(features)[order], np.concatenate(signatures)[order]
