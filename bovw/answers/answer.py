"""The answer to a query whose features are known: its variants, looked for and described; and what
is done beyond that, if it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from ..features.vocabulary import Vocabulary
from ..search.collection import Collection
from ..search.match import Match
from ..search.options import SearchOptions
from ..search.query import Clock, QueryFeatures, Variant, encode_variants
from ..search.ranking import answer_part, describe, merge_parts
from .expansion import expand
from .sisters import LOOKED_AT, tell_sisters
from .thorough import attempts

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

    def found(variants: Sequence[Variant], options: SearchOptions) -> list[Match]:
        clock.lap("quantise")
        if not any(len(each.encoded) for each in variants):
            return []
        answers = [answer_part(collection, variants, options, clock)]
        ranking = merge_parts(answers, options)
        clock.lap("verify")
        matches = describe(answers, ranking, variants, options, full_path)
        clock.lap("describe")
        return matches

    count = options.k
    if options.sisters:
        options = replace(options, k=max(count, LOOKED_AT))
    variants = encode_variants(query, vocabulary, options)
    matches = found(variants, options)
    if options.thorough != "never":
        spec = collection.snapshot.manifest.features
        for tests, attempt in enumerate(attempts(query, vocabulary, spec, options), 2):
            if options.thorough == "unsure" and any(match.verified for match in matches):
                break
            asked = replace(attempt.options, false_alarms=options.false_alarms / tests)
            again = found(attempt.variants(), asked)
            matches = with_attempt(matches, again, tests, options.k)
    if options.expand and not options.crop:
        matches = expand([collection], variants, matches, options, full_path, clock)
    if options.sisters:
        matches = tell_sisters(query, matches, vocabulary, options.false_alarms)
        matches = first_images(matches, count)
        clock.lap("sisters")
    return matches


def first_images(matches: list[Match], count: int) -> list[Match]:
    """The matches of the first images; those of an image lie one after the other."""
    blocks = [list(block) for _, block in groupby(matches, key=lambda match: match.id)]
    return [match for block in blocks[:count] for match in block]


def with_attempt(
    before: Sequence[Match], found: Sequence[Match], tests: int, k: int
) -> list[Match]:
    """An answer, best first, with what another attempt found; k images.

    Whatever was verified before stays, first. Then come the images that are verified only now, then
    those that agree better than chance would (less than one false alarm), the most certain first,
    then the others as they were.

    Args:
        tests: how many attempts there were. Each is one more chance for chance, so the false alarms
            of this one are multiplied with that.
    """
    counted = [
        replace(match, log_false_alarms=match.log_false_alarms + float(np.log10(tests)))
        for match in found
    ]
    kept = [match for match in before if match.verified]
    known = {match.id for match in kept}
    kept += [match for match in counted if match.verified and match.id not in known]
    known = {match.id for match in kept}
    rest = [match for match in (*before, *counted) if match.id not in known]
    likely = sorted(
        (match for match in rest if match.log_false_alarms < 0),
        key=lambda match: (match.log_false_alarms, match.id),
    )
    ordered = [*kept, *likely, *(match for match in rest if match.log_false_alarms >= 0)]
    images = list(dict.fromkeys(match.id for match in ordered))[:k]
    wanted, seen = set(images), set[tuple[str, bool]]()
    answer = []
    for match in ordered:
        # several verified places in an image are several matches; of the unsure ones the best stays
        if match.id in wanted and (match.verified or (match.id, False) not in seen):
            answer.append(match)
            seen.add((match.id, False))
    return answer
