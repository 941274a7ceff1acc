"""Postings whose signatures are close to those of a query: the innermost loop of a search."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..arrays import ranges, starts_of
from ..index.segment import Segment

__all__ = ["MATCH_DISTANCE", "close_postings"]

# A posting counts as a match up to this Hamming distance of its signature: 1.6 % of random ones do.
MATCH_DISTANCE = 23
# Postings that are looked at together, so that what is worked out of them stays in the processor's
# cache.
BLOCK = 1 << 16
# Posting lists of at least this length, on average over a block, are read where they lie; shorter
# ones are copied together first, and the shortest number by number.
LONG_LIST, TINY_LIST = 1024, 48


@dataclass(frozen=True)
class Pieces:
    """Posting lists laid end to end on a line, and cut where a list or a block ends: p pieces.

    The postings 10, 11, 12 of one list and 40, 41 of another, in blocks of two, are four pieces:

        line       0  1   2   3   4      cuts         0  2  3  4  5
        posting   10 11  12  40  41      list_number  0  0  1  1
        block      0  0   1   1   2      starts      10 12 40 41

    Attributes:
        cuts: (p + 1,) int64, where each piece begins on the line, and where the last ends.
        list_number: (p,) int64, which list it is of.
        starts: (p,) int64, its first posting.
        blocks: the pieces of each block: the first, and the first after it.
    """

    cuts: NDArray[np.int64]
    list_number: NDArray[np.int64]
    starts: NDArray[np.int64]
    blocks: list[tuple[int, int]]


def cut_lists(starts: NDArray[np.int64], lengths: NDArray[np.int64], block: int) -> Pieces:
    """Lay posting lists of some first postings and lengths end to end, and cut them into blocks of
    `block` postings.
    """
    line = starts_of(lengths)
    first_block, last_block = line[:-1] // block, (line[1:] - 1) // block
    list_number, block_number = ranges(
        first_block, np.where(lengths > 0, last_block - first_block + 1, 0)
    )
    begin = np.maximum(line[list_number], block_number * block)
    block_count = -(-int(line[-1]) // block)
    bounds = np.searchsorted(block_number, np.arange(block_count + 1)).tolist()
    return Pieces(
        cuts=np.append(begin, line[-1]),
        list_number=list_number,
        starts=begin + (starts - line[:-1])[list_number],
        blocks=list(pairwise(bounds)),
    )


def close_postings(
    segment: Segment, words: NDArray[np.integer], signatures: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """For each (word, signature), words ascending, the postings of the word within MATCH_DISTANCE.

    Returns flat arrays: the number of the word among these, the posting, at what distance; in the
    order in which the postings lie in the segment.
    """
    starts, lengths = segment.word_starts[words], segment.word_counts[words]
    if kernel.is_there():
        return kernel.close_postings(
            segment.posting_signatures, starts, lengths, signatures, MATCH_DISTANCE
        )
    pieces = cut_lists(starts, lengths, BLOCK)
    if not pieces.blocks:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    own = signatures[pieces.list_number]
    size = min(BLOCK, int(pieces.cuts[-1]))
    differing, distance = np.empty(size, np.uint64), np.empty(size, np.uint8)
    is_close = np.empty(size, bool)
    found, distances = [], []
    for first, last in pieces.blocks:
        at = pieces.cuts[first : last + 1] - pieces.cuts[first]
        filled = slice(0, int(at[-1]))
        compare_pieces(
            segment.posting_signatures,
            pieces.starts[first:last],
            own[first:last],
            at,
            differing[filled],
        )
        np.bitwise_count(differing[filled], out=distance[filled])
        np.less_equal(distance[filled], MATCH_DISTANCE, out=is_close[filled])
        rows = is_close[filled].nonzero()[0]
        distances.append(distance[rows])
        found.append(rows + pieces.cuts[first])
    close = np.concatenate(found)
    line = starts_of(lengths)
    of_each_list = np.diff(np.searchsorted(close, line))
    posting = close + np.repeat(starts - line[:-1], of_each_list)
    return np.repeat(np.arange(len(words)), of_each_list), posting, np.concatenate(distances)


def compare_pieces(
    signatures: NDArray[np.uint64],
    starts: NDArray[np.int64],
    own: NDArray[np.uint64],
    at: NDArray[np.int64],
    out: NDArray[np.uint64],
) -> None:
    """In which bits pieces of `signatures` differ from one signature each: those from starts[i] on
    from own[i], to out[at[i] : at[i + 1]].
    """
    if len(out) >= LONG_LIST * len(starts):
        for start, (first, last), one in zip(
            starts.tolist(), pairwise(at.tolist()), own, strict=True
        ):
            np.bitwise_xor(signatures[start : start + last - first], one, out=out[first:last])
        return
    lengths = at[1:] - at[:-1]
    if len(out) >= TINY_LIST * len(starts):
        lists = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
        np.concatenate([signatures[first:last] for first, last in lists], out=out)
    else:
        posting = np.arange(len(out)) + np.repeat(starts - at[:-1], lengths)
        np.take(signatures, posting, out=out, mode="clip")
    out ^= np.repeat(own, lengths)
