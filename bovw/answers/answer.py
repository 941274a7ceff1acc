"""The answer to a query whose features are known: its variants, looked for and described."""

from __future__ import annotations

from collections.abc import Callable

from ..features.vocabulary import Vocabulary
from ..search.collection import Collection
from ..search.match import Match
from ..search.options import SearchOptions
from ..search.query import Clock, QueryFeatures, encode_variants
from ..search.ranking import answer_part, describe, merge_parts
from .expansion import expand

__all__ = ["answer"]


def answer(
    collection: Collection,
    vocabulary: Vocabulary,
    query: QueryFeatures,
    options: SearchOptions,
    full_path: Callable[[str], str],
    clock: Clock,
) -> list[Match]:
    """What a collection says of a query, best first.

    Args:
        full_path: gives the path of an image's file for the one that is stored.
        clock: is told the steps.
    """
    if not len(query.features):
        return []
    variants = encode_variants(query, vocabulary, options)
    clock.lap("quantise")
    answers = [answer_part(collection, variants, options, clock)]
    ranking = merge_parts(answers, options)
    clock.lap("verify")
    matches = describe(answers, ranking, variants, options, full_path)
    clock.lap("describe")
    if options.expand and not options.crop:
        return expand([collection], variants, matches, options, full_path, clock)
    return matches
