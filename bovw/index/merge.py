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

__all__ = ["LiveSegment", "merge_segments"]


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
    def sizes(self) -> NDArray[np.int64]:
        """(images,) features of each image."""
        return np.diff(self.segment.feature_starts)

    @property
    def whole(self) -> bool:
        """Whether all images are alive."""
        return bool(self.alive.all())


def merge_segments(
    directory: Directory, name: str, live_segments: Sequence[LiveSegment], words: int
) -> SegmentEntry:
    """Write one segment with the live images of several, in order: the same bytes as if they had
    been written in one go.
    """
    sizes = np.concatenate([live.sizes[live.alive] for live in live_segments])
    features = int(sizes.sum())
    files = SegmentFiles(directory, name)
    with files.create("images.jsonl") as file:
        for live in live_segments:
            write_lines(file, live)
    lengths = np.concatenate(
        [np.diff(live.segment.line_starts.astype(np.int64))[live.alive] for live in live_segments]
    )
    files.array("line_starts", starts_of(lengths), "<u8")
    files.array(
        "path_hashes",
        np.concatenate([live.segment.path_hashes[live.alive] for live in live_segments]),
        "<u8",
    )
    files.array(
        "sizes", np.concatenate([live.segment.sizes[live.alive] for live in live_segments]), "<u4"
    )
    files.array("feature_starts", starts_of(sizes), "<u4")
    for array, dtype in (("places", "<u2"), ("shapes", "|u1")):
        with files.stream(array, dtype, (features, 2)) as file:
            for live in live_segments:
                write_rows(file, live, getattr(live.segment, array))
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


def write_lines(file: NewFile, live: LiveSegment) -> None:
    """Append the records of the live images."""
    starts = live.segment.line_starts.astype(np.int64)
    for first, last in list_blocks(starts):
        block = live.segment.lines[starts[first] : starts[last]]
        if not live.whole:
            block = block[np.repeat(live.alive[first:last], np.diff(starts[first : last + 1]))]
        file.write(block.tobytes())


def write_rows(file: NewFile, live: LiveSegment, values: NDArray[Any]) -> None:
    """Append the rows of an array by feature that belong to live images."""
    starts = live.segment.feature_starts
    for first, last in list_blocks(starts):
        rows = values[starts[first] : starts[last]]
        if not live.whole:
            rows = rows[np.repeat(live.alive[first:last], live.sizes[first:last])]
        file.write(rows.tobytes())


def merged_postings(
    live_segments: Sequence[LiveSegment],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]]:
    """All postings of live images by word, as blocks of (word, feature, signature); features are
    numbered anew.
    """
    starts = [starts_of(np.where(live.alive, live.sizes, 0)) for live in live_segments]
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
