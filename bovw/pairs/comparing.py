"""Images of an index compared with one another, by what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..features.encoding import EncodedImage
from ..features.hashing import orientations
from ..reporting import Progress
from ..search.collection import Collection
from .agreement import Agreement, agreements
from .candidates import Hashed, hash_candidates, vector_candidates, word_candidates
from .evidence import HASH_RADIUS, Evidence, evidence_of, verdict
from .overlay import Thumbnail
from .stock import Stock
from .stored import mirrored_encoding

__all__ = ["compared", "found_pairs", "hashes_of"]

Numbers = NDArray[np.int64]
# Features of images that are held at a time, some 50 bytes each, and images that ask together.
HELD_FEATURES, BLOCK = 2_000_000, 256


def found_pairs(
    stock: Stock, asking: Numbers, asked: NDArray[np.bool_], thorough: bool, progress: Progress
) -> Iterator[tuple[int, list[Evidence]]]:
    """What some images, ascending, have in common with those before them: image by image.

    Args:
        asked: (all images,) flags of those that are looked at.
        thorough: look at all that have words in common with an image, not just at those whose
            hashes or vectors are close to its own.
    """
    hashed = hash_candidates(stock, asking, asked)
    by_words = thorough or stock.vectors is None
    near = (
        candidates_by_word(stock, asking, asked)
        if by_words
        else vector_candidates(stock, asking, asked)
    )
    done = 0
    for pack in packs_of(stock, near, hashed):
        needed = np.concatenate([np.array(list(pack), np.int64), *pack.values()])
        held = stock.encodings(np.unique(needed))
        for image, others in pack.items():
            yield image, list(compared(stock, image, others, hashed.get(image, {}), held))
            done += 1
            progress("comparing", done, len(asking))


def candidates_by_word(
    stock: Stock, asking: Numbers, asked: NDArray[np.bool_]
) -> Iterator[tuple[int, Numbers]]:
    """For each of some images the ones before it that words tell of."""
    collection, counts = Collection(stock.asked), stock.asked.feature_counts
    for block in blocks_of(stock, asking):
        encodings = stock.encodings(block)
        for image in block.tolist():
            own, near = encodings[image], np.zeros(0, np.int64)
            if len(own):
                searchable = asked[: len(counts)].copy()
                searchable[stock.limit(image) :] = False
                near = word_candidates(collection, variants_of(stock, own), searchable)
            yield image, near


def packs_of(
    stock: Stock,
    near: Iterator[tuple[int, Numbers]],
    hashed: Mapping[int, Mapping[int, Hashed]],
) -> Iterator[dict[int, Numbers]]:
    """Images with their candidates, so many together as have a bounded number of features."""
    pack, features = dict[int, Numbers](), 0
    for image, others in near:
        close = np.array(list(hashed.get(image, ())), np.int64)
        others = np.union1d(others, close).astype(np.int64)
        pack[image] = others
        features += int(stock.feature_counts[[image, *pack[image]]].sum())
        if features > HELD_FEATURES:
            yield pack
            pack, features = {}, 0
    if pack:
        yield pack


def blocks_of(stock: Stock, images: Numbers) -> Iterator[Numbers]:
    """Images in blocks of a bounded number of features."""
    block, features = list[int](), 0
    for image in images.tolist():
        count = int(stock.feature_counts[image])
        if block and (features + count > HELD_FEATURES // 4 or len(block) == BLOCK):
            yield np.array(block, np.int64)
            block, features = [], 0
        block.append(image)
        features += count
    if block:
        yield np.array(block, np.int64)


def variants_of(stock: Stock, own: EncodedImage) -> list[EncodedImage]:
    """An image as it is and mirrored."""
    mirrored = mirrored_encoding(own, stock.vocabulary)
    return [own] if mirrored is None else [own, mirrored]


def compared(
    stock: Stock,
    image: int,
    others: Numbers,
    hashed: Mapping[int, Hashed],
    held: Mapping[int, EncodedImage],
) -> Iterator[Evidence]:
    """What an image has in common with each of some others; nothing of those with which it agrees
    no better than by chance.

    Args:
        hashed: what is known of their hashes.
        held: the encodings of all of these.
    """
    own, size, thumbnail = held[image], stock.size_of(image), stock.thumbnail(image)
    shown = [held[each] for each in others.tolist()]
    found: Sequence[Agreement | None] = [None] * len(shown)
    if len(own) and shown:
        found = agreements(variants_of(stock, own), shown, stock.max_side)
    for other, agreement in zip(others.tolist(), found, strict=True):
        evidence = evidence_of(
            image,
            other,
            agreement,
            hashed.get(other),
            (size, stock.size_of(other)),
            pair_of(thumbnail, stock.thumbnail(other)),
        )
        if evidence and verdict(evidence, 1):
            yield evidence


def pair_of(
    first: Thumbnail | None, second: Thumbnail | None
) -> tuple[Thumbnail, Thumbnail] | None:
    """Two thumbnails, if there are two."""
    return None if first is None or second is None else (first, second)


def hashes_of(stock: Stock, image: int, others: Sequence[int]) -> dict[int, Hashed]:
    """In how many bits, and which orientation, the hashes of others differ from that of an image;
    of those that differ in few.
    """
    hashes, known = stock.hashes.values.astype(np.uint64), stock.hashes.known
    if not known[image]:
        return {}
    turned = orientations(hashes[[image]])[0]
    found = {}
    for other in others:
        bits = np.bitwise_count(turned ^ hashes[other])
        best = int(bits.argmin())
        if known[other] and bits[best] <= HASH_RADIUS:
            found[other] = int(bits[best]), best
    return found
