"""Images of an index as queries of their own: what is stored of them is all that is needed, so no
picture is read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import starts_of
from ..features.encoding import EncodedImage
from ..features.local import MIRRORED
from ..features.vocabulary import Vocabulary
from ..index.segment import Segment
from ..index.snapshot import Snapshot

__all__ = ["mirrored_encoding", "stored_encodings"]

# Postings that are gone through at a time.
BLOCK = 1 << 18
# What it takes to go through a posting for many images, and for one, and to bisect the lists of all
# words for one: nanoseconds.
PASS_COST, SEARCH_COST, BISECTION_COST = 8.0, 2.5, 1e7


def stored_encodings(snapshot: Snapshot, images: NDArray[np.int64]) -> dict[int, EncodedImage]:
    """The words, signatures and geometry of some images of a snapshot, by their numbers.

    Memory: some 30 bytes a feature of these.

    Raises:
        IndexCorruptError: a feature of them has no posting, or several.
    """
    found = {}
    wanted = np.unique(images)
    owner = np.searchsorted(snapshot.first_image, wanted, side="right") - 1
    for number in np.unique(owner).tolist():
        segment, first = snapshot.segments[number], int(snapshot.first_image[number])
        ordinals = wanted[owner == number] - first
        for ordinal, words, signatures in encodings_of(segment, ordinals):
            found[first + ordinal] = encoded(segment, ordinal, words, signatures)
    return found


def encodings_of(
    segment: Segment, ordinals: NDArray[np.int64]
) -> list[tuple[int, NDArray[np.int32], NDArray[np.uint64]]]:
    """As `Segment.encoding_of` for several images of a segment: their ordinals, words, signatures.
    Where they are many, its postings are gone through only once.
    """
    one_by_one = min(BISECTION_COST, SEARCH_COST * segment.feature_count)
    if len(ordinals) * one_by_one < PASS_COST * segment.feature_count:
        return [(each, *segment.encoding_of(each)) for each in ordinals.tolist()]
    is_wanted = np.zeros(segment.image_count, bool)
    is_wanted[ordinals] = True
    found = [np.zeros(0, np.int64)]
    for start in range(0, segment.feature_count, BLOCK):
        feature = segment.features_at(slice(start, start + BLOCK))
        found.append(np.flatnonzero(is_wanted[segment.image_of(feature)]) + start)
    posting = np.concatenate(found)
    feature = segment.features_at(posting)
    order = np.argsort(feature, kind="stable")
    posting, feature = posting[order], feature[order]
    starts = segment.feature_starts
    bounds = starts_of(starts[ordinals + 1] - starts[ordinals])
    words = np.searchsorted(segment.word_starts, posting, side="right") - 1
    signatures = segment.posting_signatures[posting]
    if len(feature) != bounds[-1] or (np.diff(feature) == 0).any():
        raise segment.corrupt("posting_features.npy", "does not name each feature once")
    return [
        (ordinal, words[first:last].astype(np.int32), signatures[first:last])
        for ordinal, first, last in zip(
            ordinals.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
        )
    ]


def encoded(
    segment: Segment, ordinal: int, words: NDArray[np.int32], signatures: NDArray[np.uint64]
) -> EncodedImage:
    """An image of a segment with its geometry."""
    position, scale, angle = segment.geometry_of_image(ordinal)
    width, height = segment.sizes[ordinal].tolist()
    return EncodedImage(
        words=words[:, None],
        signatures=np.asarray(signatures, np.uint64)[:, None],
        xy=np.column_stack([position.real, position.imag]).astype(np.float32),
        scale=scale.astype(np.float32),
        angle=angle.astype(np.float32),
        size=(width, height),
        box=(0, 0, width, height),
    )


def mirrored_encoding(stored: EncodedImage, vocabulary: Vocabulary) -> EncodedImage | None:
    """The mirror image of a stored picture, left and right swapped; None for ORB, whose
    descriptors cannot be mirrored.

    The words are the mirrored ones. A signature tells on which side of its word a descriptor lies
    along 64 directions; so the sum of these directions with their signs, mirrored, lies about where
    the mirrored descriptor does, and is signed again. That is right for two of three bits: close
    enough for a match (64 bits of which a third is wrong by chance differ in about 20).
    """
    if vocabulary.spec.kind != "rootsift":
        return None
    bits = np.unpackbits(
        np.ascontiguousarray(stored.signatures).view(np.uint8).reshape(len(stored), 8),
        axis=1,
        bitorder="little",
    )
    # whole numbers, whose sums are exact in double precision, in whatever order
    directions = vocabulary.directions.T.astype(np.float64)
    sides = (bits * 2.0 - 1) @ (directions[:, MIRRORED] @ directions.T)
    packed = np.packbits(sides > 0, axis=1, bitorder="little")
    signatures = np.ascontiguousarray(packed).view("<u8").reshape(-1, 1)
    width = stored.size[0]
    return EncodedImage(
        words=vocabulary.mirrored(stored.words),
        signatures=signatures.astype(np.uint64, copy=False),
        xy=(stored.xy * (-1, 1) + (width - 1, 0)).astype(np.float32),
        scale=stored.scale,
        angle=((np.float32(np.pi) - stored.angle) % np.float32(2 * np.pi)).astype(np.float32),
        size=stored.size,
        box=stored.box,
    )
