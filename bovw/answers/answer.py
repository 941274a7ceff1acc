"""The answer to a query whose features are known: its variants, looked for and described; and what
is done beyond that, if it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..features.vocabulary import Vocabulary
from ..search.match import Match
from ..search.options import SearchOptions
from ..search.query import Clock, QueryFeatures, Variant, encode_variants
from ..search.ranking import describe, merge_parts
from .expansion import SOURCES, expand
from .parts import Parts
from .rematching import Rematching, rematch
from .sisters import LOOKED_AT, tell_sisters
from .thorough import attempts

__all__ = ["answer", "notes_of"]

# So many images are kept while a search looks harder: one of them may be verified in the end.
UNCERTAIN = 20


def answer(
    parts: Parts,
    vocabulary: Vocabulary,
    query: QueryFeatures,
    options: SearchOptions,
    full_path: Callable[[str], str],
    clock: Clock,
    unread: list[str],
) -> list[Match]:
    """What a collection says of a query, best first.

    Args:
        parts: of the collection.
        full_path: gives the path of an image's file for the one that is stored.
        clock: is told the steps.
        unread: is told the images whose pictures were to be looked at, and could not be.
    """

    def found(variants: Sequence[Variant], options: SearchOptions) -> list[Match]:
        clock.lap("quantise")
        if not any(len(each.encoded) for each in variants):
            return []
        answers = parts.ask(variants, options, clock)
        ranking = merge_parts(answers, options)
        clock.lap("verify")
        matches = describe(answers, ranking, variants, options, full_path)
        clock.lap("describe")
        return matches

    count = options.k
    expanding = options.expand and not options.crop
    looked_at = max(LOOKED_AT * options.sisters, SOURCES * expanding)
    options = replace(options, k=max(count, looked_at))
    variants = encode_variants(query, vocabulary, options)
    if options.thorough == "never":
        matches = found(variants, options)
    else:
        wider = replace(options, k=max(options.k, UNCERTAIN))
        matches = found(variants, wider)
        spec, tests = parts.spec, 1
        for attempt in attempts(query, vocabulary, spec, wider):
            if is_enough(matches, options):
                break
            tests += 1
            asked = replace(attempt.options, false_alarms=options.false_alarms / tests)
            tried = attempt.variants()
            clock.lap("extract")
            matches = with_attempt(matches, found(tried, asked), tests, wider.k)
        if not is_enough(matches, options):
            search = Rematching(options, spec, parts.image_count, tests + 1, unread)
            matches = rematch(query, matches, search)
            clock.lap("rematch")
        matches = of_first_images(matches, options.k)
    if expanding:
        matches = expand(parts, variants, matches, options, full_path, clock)
    if options.sisters:
        matches = tell_sisters(query, matches, vocabulary, options.false_alarms, unread)
        clock.lap("sisters")
    return of_first_images(matches, count)


def notes_of(
    query: QueryFeatures, image_count: int, unread: Sequence[str], searchable: bool = True
) -> Iterator[str]:
    """What is to be said of an answer that would else look like a no.

    Args:
        image_count: of the collection.
        unread: the images whose pictures were to be looked at, and could not be.
        searchable: whether any image has the metadata that were asked for.
    """
    if query.note:
        yield query.note
    if not len(query.features):
        yield "no features (blank or very smooth), so nothing can match"
    if not image_count:
        yield "the index has no images"
    elif not searchable:
        yield "no image has the metadata that were asked for"
    if unread:
        others = len(set(unread)) - 1
        shown = f"{unread[0]} and {others} more" if others else unread[0]
        yield f"not looked at, as gone, changed or unreadable: {shown}"


def is_enough(matches: Sequence[Match], options: SearchOptions) -> bool:
    """Whether nothing more has to be tried."""
    return options.thorough == "unsure" and any(match.verified for match in matches)


def of_first_images(matches: Sequence[Match], k: int) -> list[Match]:
    """The matches of the first k images."""
    images = set(list(dict.fromkeys(match.id for match in matches))[:k])
    return [match for match in matches if match.id in images]


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
    answer, seen = list[Match](), set[str]()
    for match in of_first_images(ordered, k):
        # several verified places in an image are several matches; of the unsure ones the best stays
        if match.verified or match.id not in seen:
            answer.append(match)
            seen.add(match.id)
    return answer
