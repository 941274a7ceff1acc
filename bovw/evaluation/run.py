"""How well a searcher answers queries whose answers are known: search for all of them, and score
what is found.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from itertools import islice

import numpy as np

from ..errors import EvaluationError
from ..pictures.reading import LIMITS, Limits
from ..reporting import Failure, Progress
from ..search.match import NO_CORRESPONDENCES, Match
from ..search.options import SearchOptions
from ..search.result import SearchResult
from ..searcher import Searcher, SearchRequest
from .metrics import measured, ns_score, require_library
from .scores import FALSE_ALARM, NS, PLACED, VERIFIED, Evaluation, Outcome
from .truth import GroundTruth, PathNames, Query, names_by_id

__all__ = ["absent_images", "evaluate", "evaluate_settings", "score", "score_answer"]

# So many of the first images are looked at for what is called verified, and where the query lies in
# them.
LOOKED_AT = 10
# A place is right if the mean error of its four corners is below this share of the longer side of
# the image.
CORNER_ERROR = 0.03


def evaluate(
    searcher: Searcher,
    truth: GroundTruth,
    options: SearchOptions | None = None,
    *,
    crop: bool | None = None,
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> Evaluation:
    """Search for all queries of a ground truth and score what is found.

    Args:
        searcher: an index, or what else answers queries. Images are known by the paths of their
            files; those without a file by their ids.
        options: of the search; `k` says how deep the ranking is that is scored (1,000 by default,
            not 10). Their `crop` and `instances` are not used: the first is said below, and an
            image counts once.
        crop: whether the queries are parts of what they seek; by default those are that have an
            outline.
        jobs: queries that are answered at a time, in processes of their own; 0: in this one.
        limits: what a query may cost; the seconds are for reading and searching together.
        progress: called with (stage, done, total).

    Raises:
        EvaluationError: none of the relevant images can be found: the folder of the answers is
            hardly the right one.
        ImageIndexError: the index was written to meanwhile.
        MissingLibraryError: see `metrics.measured`.

    Example:
        >>> from bovw import ImageIndex, evaluate, make_synthetic_queries
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth, _ = make_synthetic_queries(index, "queries", sample=1)
        ...     evaluation = evaluate(index, truth)
        >>> evaluation.outcomes[0].values["Success@1"]
        1.0
    """
    settings = [options or SearchOptions(k=1000)]
    (evaluation,) = evaluate_settings(
        searcher, truth, settings, crop=crop, jobs=jobs, limits=limits, progress=progress
    )
    return evaluation


def evaluate_settings(
    searcher: Searcher,
    truth: GroundTruth,
    settings: Sequence[SearchOptions],
    *,
    crop: bool | None = None,
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> list[Evaluation]:
    """As `evaluate`, for several options that share the extraction, whose time counts for each. A
    query that fails with one of them fails.
    """
    require_library()
    names = names_by_id(searcher.records(), truth.folder)
    present = frozenset(names.values())
    absent = absent_images(searcher, truth, present)
    outcomes: list[list[Outcome]] = [[] for _ in settings]
    failed: list[Failure] = []
    requests = requests_of(truth.queries, settings, crop)
    with closing(searcher.search_many(requests, jobs=jobs, limits=limits)) as answers:
        for done, query in enumerate(truth.queries, 1):
            scored = list[Outcome]()
            failures = list[Failure]()
            for answer in islice(answers, len(settings)):
                if isinstance(answer, Failure):
                    failures.append(answer)
                else:
                    scored.append(score_answer(query, answer, names, present))
            failed += failures[:1]
            if not failures:
                for kept, outcome in zip(outcomes, scored, strict=True):
                    kept.append(outcome)
            if progress:
                progress("search", done, len(truth.queries))
    return [
        Evaluation(kept, truth.folder, failed, absent, options, crop, truth.revisitop)
        for kept, options in zip(outcomes, settings, strict=True)
    ]


def requests_of(
    queries: Iterable[Query], settings: Sequence[SearchOptions], crop: bool | None
) -> Iterator[SearchRequest]:
    """What is asked: each query with each of the settings, one after the other."""
    for query in queries:
        part = query.outline is not None if crop is None else crop
        for options in settings:
            asked = replace(options, crop=part, instances=1)
            yield SearchRequest(query.path, asked, query.box)


def absent_images(searcher: Searcher, truth: GroundTruth, present: Set[str]) -> list[str]:
    """The relevant images that are not there, by name. Raises EvaluationError if that is all."""
    relevant = frozenset().union(*(query.relevant for query in truth.queries))
    absent = sorted(relevant - present)
    if relevant and len(absent) == len(relevant):
        raise EvaluationError(
            f"the index of the pictures in {searcher.info().picture_root} holds none of the "
            f"{len(relevant):,} relevant images, such as {os.path.join(truth.folder, absent[0])}: "
            f"name the folder that they are relative to (--images), or the right index"
        )
    return absent


def score(truth: GroundTruth, rankings: Mapping[str, Sequence[str]]) -> Evaluation:
    """Score rankings that are there, of any system. What a query is to ignore is dropped; a query
    without a ranking found nothing.

    Args:
        rankings: by the id of the query; images by their path relative to the folder of the ground
            truth.

    Raises:
        EvaluationError: no ranking is of a query that the ground truth has.
        MissingLibraryError: see `metrics.measured`.
    """
    if not any(query.id in rankings for query in truth.queries):
        raise EvaluationError(
            f"the run has none of the queries of the ground truth, such as {truth.queries[0].id}"
        )
    named = PathNames(truth.folder)
    queries = [query for query in truth.queries if query.relevant]
    kept = {
        query.id: counted_names(map(named, rankings.get(query.id, ())), query.ignore)
        for query in queries
    }
    values = measured(kept, {query.id: query.relevant for query in queries})
    outcomes = [Outcome(query, values[query.id], kept[query.id]) for query in queries]
    return Evaluation(outcomes, truth.folder, revisitop=truth.revisitop)


def score_answer(
    query: Query, answer: SearchResult, names: Mapping[str, str], present: Set[str]
) -> Outcome:
    """The outcome of a query that was answered.

    Args:
        names: of the images by their ids.
        present: the same names as a set.

    Raises:
        EvaluationError: an image has no name.
    """
    try:
        found = [names[match.id] for match in answer.matches]
    except KeyError as unknown:
        raise EvaluationError(
            f"{unknown}: the index got this image during the evaluation; start it again"
        ) from unknown
    ranking = counted_names(found, query.ignore)
    first = dict[str, Match]()
    for name, match in zip(found, answer.matches[:LOOKED_AT], strict=False):
        first.setdefault(name, match)
    # the first images of the ranking, in its order
    looked_at = {name: match for name, match in first.items() if name not in query.ignore}
    yes = {name for name, match in looked_at.items() if match.verified}
    values = measured({query.id: ranking}, {query.id: query.relevant}).get(query.id, {})
    values[FALSE_ALARM] = float(bool(yes - query.relevant))
    error = None
    if query.relevant:
        values[VERIFIED] = float(bool(yes & query.relevant))
        if ranking and ranking[0] in query.relevant & looked_at.keys():
            error = corner_error(query, looked_at[ranking[0]])
        if query.outline:
            values[PLACED] = float(error is not None and error < CORNER_ERROR)
        values.update(views_found(query, found, present))
    return Outcome(
        query=query,
        values=values,
        ranking=ranking,
        # the places that agree are many, and nobody asks for them
        matches=[
            replace(match, correspondences=NO_CORRESPONDENCES) for match in looked_at.values()
        ],
        corner_error=error,
        feature_count=answer.feature_count,
        seconds=sum(answer.timings.values()),
        cpu_seconds=answer.cpu_seconds,
    )


def counted_names(names: Iterable[str], ignore: Collection[str]) -> list[str]:
    """A ranking without what is to be ignored; an image that is there under several names counts
    where it comes first.
    """
    return [name for name in dict.fromkeys(names) if name not in ignore]


def corner_error(query: Query, match: Match) -> float | None:
    """Mean distance of the corners of a right match from the true ones, over the longer side of the
    image; None if one of both is not known.
    """
    if query.outline is None or match.outline is None:
        return None
    distances = np.hypot(*(match.outline - np.array(query.outline)).T)
    error = float(distances.mean() / max(match.size))
    return error if np.isfinite(error) else None


def views_found(query: Query, found: Sequence[str], present: Set[str]) -> dict[str, float]:
    """UKBench's score, if the query and its three answers are four of the images."""
    views = query.relevant | {query.own}
    if len(views) != 4 or not views <= present:
        return {}
    return {NS: ns_score(counted_names(found, query.ignore - views), views)}
