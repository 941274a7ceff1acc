"""Query expansion: what the verified images show where the query lies asks once more.

Chum et al., Total recall, ICCV 2007; with signatures: Tolias and Jegou, Visual query expansion with
or without geometry, Pattern Recognition 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..features.encoding import EncodedImage
from ..geometry.transform import move_features
from ..search.match import Match
from ..search.options import SearchOptions
from ..search.query import Clock, Variant
from ..search.ranking import describe, merge_parts
from .parts import Parts, StoredFeatures

__all__ = ["SOURCES", "expand"]

# So many of the first images that are verified or expanded lend a query their features.
SOURCES = 40
# How often a query is asked again at most, each time with what it found before.
ROUNDS = 6


def expand(
    parts: Parts,
    variants: Sequence[Variant],
    matches: Sequence[Match],
    options: SearchOptions,
    full_path: Callable[[str], str],
    clock: Clock,
) -> list[Match]:
    """An answer, best first, with what is found when the query is asked again together with the
    features that its verified images show where it lies.

    Verified matches stay as they are and first. Of the others each image keeps the better of what
    was said of it; those that are certain with respect to the expanded query come before the rest
    (see `Match.expanded`). Each time of asking is a test of its own, so the false alarms of the
    n-th are multiplied with n.

    Args:
        parts: of the collection.
        variants: of the query; the expanded ones have its features, too.
        matches: what was found, best first.
    """
    answer, sources = list(matches), list[Match]()
    for test in range(2, ROUNDS + 2):
        known = {match.id for match in sources}
        sources = [each for each in firsts(answer) if each.verified or each.expanded][:SOURCES]
        if {match.id for match in sources} <= known:
            break
        wider = expanded_variants(parts, variants, sources)
        if not wider:
            break
        asked = replace(options, false_alarms=options.false_alarms / test)
        clock.lap("expand")
        answers = parts.ask(wider, asked, clock)
        found = describe(answers, merge_parts(answers, asked), wider, asked, full_path)
        clock.lap("verify")
        answer = better_of_both(answer, [as_expanded(match, test) for match in found], options.k)
    clock.lap("expand")
    return answer


def as_expanded(match: Match, tests: int) -> Match:
    """A match of an expanded query, the last of some tests: its false alarms count them all."""
    return replace(
        match,
        verified=False,
        expanded=match.verified,
        log_false_alarms=match.log_false_alarms + float(np.log10(tests)),
    )


def firsts(matches: Sequence[Match]) -> list[Match]:
    """The first match of each image."""
    return [next(group) for _, group in groupby(matches, key=lambda match: match.id)]


def better_of_both(first: Sequence[Match], second: Sequence[Match], k: int) -> list[Match]:
    """Of each image the better of what two answers say, in the order of answers; k images."""
    best = dict[str, list[Match]]()
    for matches in (first, second):
        for image, group in groupby(matches, key=lambda match: match.id):
            places = list(group)
            if image not in best or order_of(places[0]) < order_of(best[image][0]):
                best[image] = places
    ordered = sorted(best.values(), key=lambda places: order_of(places[0]))
    return [match for places in ordered[:k] for match in places]


def order_of(match: Match) -> tuple[bool, bool, float, str]:
    """By which matches are ordered: verified, expanded, of higher score; ties go by id."""
    return not match.verified, not match.expanded, -match.score, match.id


def expanded_variants(
    parts: Parts, variants: Sequence[Variant], sources: Sequence[Match]
) -> list[Variant]:
    """The variants of a query that agreed with some sources, with the features of these."""
    stored = parts.features_of([source.id for source in sources])
    expanded = []
    for variant in variants:
        added = [
            source_features(stored[source.id], source, variant)
            for source in sources
            if (source.mirrored, source.negative) == (variant.mirrored, variant.negative)
        ]
        if any(map(len, added)):
            expanded.append(replace(variant, encoded=joined([variant.encoded, *added])))
    return expanded


def source_features(stored: StoredFeatures, match: Match, variant: Variant) -> EncodedImage:
    """The features of an image that lie where a variant of the query does, in pixels of that."""
    assert match.homography is not None
    position, scale, angle = move_features(
        variant.matrix @ np.linalg.inv(match.homography),
        stored.position,
        stored.scale,
        stored.angle,
    )
    inside = np.flatnonzero(lies_in(position, variant.encoded.box) & (scale > 0))
    return EncodedImage(
        words=stored.words[inside, None],
        signatures=stored.signatures[inside, None],
        xy=np.column_stack([position.real, position.imag])[inside].astype(np.float32),
        scale=scale[inside].astype(np.float32),
        angle=angle[inside].astype(np.float32),
        size=variant.encoded.size,
        box=variant.encoded.box,
    )


def lies_in(position: NDArray[np.complex128], box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Whether points (n,) x + iy lie in a box of pixels."""
    x, y, width, height = box
    right, down = position.real - x + 0.5, position.imag - y + 0.5
    return (right >= 0) & (right < width) & (down >= 0) & (down < height)


def joined(images: Sequence[EncodedImage]) -> EncodedImage:
    """Encoded features of one picture as one. The first have most words; the others get none (-1)
    beside theirs.
    """
    first = images[0]
    words = first.words.shape[1]

    def filled(values: NDArray[np.generic], nothing: int) -> NDArray[np.generic]:
        missing = ((0, 0), (0, words - values.shape[1]))
        return np.pad(values, missing, constant_values=nothing)

    return replace(
        first,
        words=np.concatenate([filled(each.words, -1) for each in images]),
        signatures=np.concatenate([filled(each.signatures, 0) for each in images]),
        xy=np.concatenate([each.xy for each in images]),
        scale=np.concatenate([each.scale for each in images]),
        angle=np.concatenate([each.angle for each in images]),
    )
