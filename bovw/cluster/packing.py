"""What travels to a shard: a query in few bytes, which say all of it to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.encoding import EncodedImage
from ..features.local import mirrored_places
from ..features.vocabulary import mirrored_words
from ..search.query import Variant

__all__ = ["Outline", "pack", "unpack"]

# Ray sends an argument of more than 100 KB by way of its object store, which takes longer than all
# the rest of a call.
PIECE = 64_000
ARRAYS = ("words", "signatures", "xy", "scale", "angle")


@dataclass(frozen=True)
class Outline:
    """A variant of a query without its arrays.

    Attributes:
        variant: it, without features.
        shape: of its words.
        reflects: whether it is the mirror image of the variant before, so that only its signatures
            are sent.
    """

    variant: Variant
    shape: tuple[int, int]
    reflects: bool


def pack(variants: Sequence[Variant], word_count: int) -> tuple[list[Outline], list[bytes]]:
    """The variants of a query as bytes, in pieces that travel with a call.

    Args:
        word_count: of the vocabulary.
    """
    outlines, content = list[Outline](), list[bytes]()
    before: EncodedImage | None = None
    for variant in variants:
        encoded = variant.encoded
        reflects = before is not None and is_alike(reflected(before, word_count), encoded)
        nothing = emptied(encoded)
        outlines.append(Outline(replace(variant, encoded=nothing), encoded.words.shape, reflects))
        present = encoded.words >= 0
        if not reflects:
            content.append(np.packbits(present).tobytes())
            content.append(encoded.words[present].astype(word_type(word_count)).tobytes())
            for array in (encoded.xy, encoded.scale, encoded.angle):
                content.append(array.astype("<f4").tobytes())
        content.append(encoded.signatures[present].astype("<u8").tobytes())
        before = encoded
    packed = b"".join(content)
    return outlines, [packed[low : low + PIECE] for low in range(0, len(packed), PIECE)]


def unpack(outlines: Sequence[Outline], pieces: Sequence[bytes], word_count: int) -> list[Variant]:
    """The variants that were packed."""
    packed, place, variants = b"".join(pieces), 0, list[Variant]()

    def taken(count: int, kind: str) -> NDArray[Any]:
        """The next values."""
        nonlocal place
        values = np.frombuffer(packed, kind, count, place).copy()  # aligned, as arrays are
        place += values.nbytes
        return values

    for outline in outlines:
        rows, columns = outline.shape
        if outline.reflects:
            encoded = reflected(variants[-1].encoded, word_count)
        else:
            flags = np.unpackbits(taken(-(-rows * columns // 8), "u1"), count=rows * columns)
            words = np.full(outline.shape, -1, np.int32)
            words[flags.reshape(outline.shape) > 0] = taken(int(flags.sum()), word_type(word_count))
            encoded = replace(
                outline.variant.encoded,
                words=words,
                xy=taken(2 * rows, "<f4").reshape(rows, 2),
                scale=taken(rows, "<f4"),
                angle=taken(rows, "<f4"),
            )
        present = encoded.words >= 0
        signatures = np.zeros(outline.shape, np.uint64)
        signatures[present] = taken(int(present.sum()), "<u8")
        variants.append(replace(outline.variant, encoded=replace(encoded, signatures=signatures)))
    return variants


def word_type(word_count: int) -> str:
    """How words of a vocabulary are written."""
    return "<u2" if word_count <= 1 << 16 else "<u4"


def emptied(encoded: EncodedImage) -> EncodedImage:
    """The same without features."""
    return replace(encoded, **{name: getattr(encoded, name)[:0] for name in ARRAYS})


def reflected(encoded: EncodedImage, word_count: int) -> EncodedImage:
    """The mirror image of an encoded picture, but for its signatures."""
    xy, angle = mirrored_places(encoded.xy, encoded.angle, encoded.box)
    words = mirrored_words(encoded.words, word_count)
    words[encoded.words < 0] = -1
    return replace(encoded, words=words, xy=xy, angle=angle)


def is_alike(one: EncodedImage, other: EncodedImage) -> bool:
    """Whether two encoded pictures differ in nothing but their signatures."""
    return (one.size, one.box) == (other.size, other.box) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ARRAYS
        if name != "signatures"
    )
