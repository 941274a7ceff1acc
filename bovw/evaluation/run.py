"""How well an index answers queries whose answers are known: search for all of them, and score what
is found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError, ImageError, ParameterError
from ..features.encoding import encode_query, load_picture
from ..features.local import extract, mirror
from ..image_index import ImageIndex
from ..pictures.reading import LIMITS, Box, Limits
from ..reporting import Failure, Progress
from ..search.match import Match
from ..search.ranking import SearchOptions, describe, rank
from ..workers.pool import run_in_processes
from ..workers.process import Work
from .metrics import measured, ns_score, require_library
from .truth import GroundTruth, PathNames, Query

__all__ = [
    "FALSE_ALARM",
    "NS",
    "PLACED",
    "VERIFIED",
    "Evaluation",
    "Outcome",
    "evaluate",
    "evaluate_settings",
    "names_of",
    "score",
]

# Measures beside those of `metrics`; `Outcome` explains them.
VERIFIED, FALSE_ALARM, PLACED, NS = "Verified", "FalseAlarm", "Placed", "N-S"
# So many of the first images are looked at for what is called verified, and where the query lies in
# them.
LOOKED_AT = 10
# A place is right if the mean error of its four corners is below this share of the longer side of
# the image.
CORNER_ERROR = 0.03
NO_PLACES = np.zeros((0, 4))
# Queries that a process answers together.
CHUNK = 10


@dataclass(frozen=True)
class Outcome:
    """What became of one query.

    Attributes:
        query: the query.
        values: measures by name: those of `metrics.measured` and, if an index was searched,
            "Verified" (the right image is among the first 10 and called verified), "FalseAlarm" (a
            wrong one among them is called verified), "Placed" (the first image is right and so is
            its place) and "N-S". A query that has no answer has only "FalseAlarm".
        ranking: the images found, best first, without those to ignore.
        matches: the first 10 of them as the search described them; empty for a run that was read.
            Without matched places.
        corner_error: mean distance of the four corners from the true ones if the first image is
            right and has a place, as a share of the longer side of the image; None otherwise.
        feature_count: of the query.
        seconds: what the search took, reading and extraction included, as many being answered at a
            time as there are jobs.
        processor: the same in seconds of processor time, which other programs on the machine hardly
            change.
    """

    query: Query
    values: dict[str, float]
    ranking: list[str]
    matches: list[Match] = field(default_factory=list)
    corner_error: float | None = None
    feature_count: int = 0
    seconds: float | None = None
    processor: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The outcomes of the queries of a ground truth.

    Attributes:
        outcomes: in the order of the queries.
        failed: query pictures that cannot be used; they are not scored.
        folder: the folder that the names of images are relative to.
        absent: relevant images that are not in the index; they cannot be found, and count as
            missed.
        options: of the search; None for a run that was read.
        crop: whether the queries were searched as parts, whatever `options` says; None: those that
            have an outline.
        revisitop: the queries are those of Revisited Oxford or Paris.
    """

    outcomes: list[Outcome]
    folder: str
    failed: list[Failure] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    options: SearchOptions | None = None
    crop: bool | None = None
    revisitop: bool = False

    def rankings(self) -> dict[str, list[str]]:
        """The images found for each query: a run, without what is to be ignored, so that any
        program scores it alike.
        """
        return {outcome.query.id: outcome.ranking for outcome in self.outcomes}


@dataclass(frozen=True)
class Answer:
    """The answer to one query: image numbers, best first; of the first of them the description and
    the longer side; costs.
    """

    image_ids: NDArray[np.int32]
    matches: list[Match]
    sides: list[int]
    feature_count: int
    seconds: float
    processor: float


def evaluate(
    index: ImageIndex,
    truth: GroundTruth,
    options: SearchOptions | None = None,
    *,
    crop: bool | None = None,
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> Evaluation:
    """Search an index for all queries of a ground truth and score what is found.

    Args:
        options: of the search; `k` says how deep the ranking is that is scored (1,000 by default,
            not 10). Their `crop` and `instances` are not used: the first is said below, and an
            image counts once.
        crop: whether the queries are parts of what they seek; by default those are that have an
            outline.
        jobs: queries that are answered at a time, in processes of their own; 0: in this one.
        limits: what a query may cost; the seconds are for reading it, and again for each search.
        progress: called with (stage, done, total).

    Raises:
        EvaluationError: none of the relevant images is in the index: the folder of the answers is
            hardly the right one; or the index was written to meanwhile.
        MissingLibraryError: see `metrics.measured`.
    """
    settings = [options or SearchOptions(k=1000)]
    (evaluation,) = evaluate_settings(
        index, truth, settings, crop=crop, jobs=jobs, limits=limits, progress=progress
    )
    return evaluation


def evaluate_settings(
    index: ImageIndex,
    truth: GroundTruth,
    settings: Sequence[SearchOptions],
    *,
    crop: bool | None = None,
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> list[Evaluation]:
    """As `evaluate`, for several options that share the extraction, whose time counts for each."""
    require_library()
    names, absent = names_of(index, truth)
    place = (
        os.fspath(index.directory.path),
        index.picture_root.real,
        index.snapshot.manifest.generation,
    )
    answers: list[list[Answer] | Failure] = []
    work = Work(partial(answer_query, place=place, settings=settings, limits=limits))
    # what else a query has, such as long lists of answers, is not sent to other processes
    tasks = (
        (query.path, query.box, query.outline is not None if crop is None else crop)
        for query in truth.queries
    )
    try:
        with closing(
            run_in_processes(work, tasks, CHUNK, jobs, limits.seconds * (1 + len(settings)))
        ) as results:
            for query, answer in zip(truth.queries, results, strict=True):
                answers.append(
                    Failure(query.path, answer.reason) if isinstance(answer, Failure) else answer
                )
                if progress:
                    progress("search", len(answers), len(truth.queries))
    finally:
        opened.cache_clear()
    failed = [answer for answer in answers if isinstance(answer, Failure)]
    usable = [
        (query, answer)
        for query, answer in zip(truth.queries, answers, strict=True)
        if not isinstance(answer, Failure)
    ]
    evaluations = []
    for number, options in enumerate(settings):
        found = {query.id: answer[number] for query, answer in usable}
        outcomes = outcomes_of([query for query, _ in usable], found, names)
        evaluations.append(
            Evaluation(outcomes, truth.folder, failed, absent, options, crop, truth.revisitop)
        )
    return evaluations


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
    kept = {}
    for query in truth.queries:
        if query.relevant:
            kept[query.id] = counted_names(map(named, rankings.get(query.id, ())), query.ignore)
    values = measured(kept, {query.id: query.relevant for query in truth.queries})
    outcomes = [
        Outcome(query, values[query.id], kept[query.id])
        for query in truth.queries
        if query.relevant
    ]
    return Evaluation(outcomes, truth.folder, revisitop=truth.revisitop)


def counted_names(names: Iterable[str], ignore: Set[str]) -> list[str]:
    """A ranking without what is to be ignored; an image that is there under several names counts
    where it comes first.
    """
    return [name for name in dict.fromkeys(names) if name not in ignore]


def names_of(index: ImageIndex, truth: GroundTruth) -> tuple[list[str], list[str]]:
    """The names of all images of an index by their numbers, and the relevant images that are not
    among them.
    """
    named = PathNames(truth.folder)
    names = [""] * len(index.snapshot.alive)
    for image, record in index.snapshot.live_records():
        names[image] = named(index.picture_root.absolute(record.path))
    relevant = frozenset().union(*(query.relevant for query in truth.queries))
    absent = sorted(relevant.difference(names))
    if relevant and len(absent) == len(relevant):
        raise EvaluationError(
            f"{index.directory.path}: holds none of the {len(relevant):,} relevant images, such as "
            f"{os.path.join(truth.folder, absent[0])}: name the folder that they are relative to (--images), or the right index"
        )
    return names, absent


@lru_cache(maxsize=1)
def opened(path: str, root: str, generation: int) -> ImageIndex:
    """The index of a process, opened once."""
    index = ImageIndex.open(path, picture_root=root)
    if index.snapshot.manifest.generation != generation:
        raise EvaluationError(f"{path}: was written to during the evaluation; start it again")
    return index


def answer_query(
    task: tuple[str, Box | None, bool],
    place: tuple[str, str, int],
    settings: Sequence[SearchOptions],
    limits: Limits,
) -> list[Answer] | Failure:
    """The answers to a query with each of the settings, or why it cannot be used; given as its
    path, its box, and whether it is a part.
    """
    path, box, crop = task
    try:
        index = opened(*place)
        return found_by(
            index,
            path,
            box,
            [replace(options, crop=crop, instances=1) for options in settings],
            limits,
        )
    except ParameterError as error:  # its box
        return Failure(path, str(error))
    except ImageError as error:
        return Failure.of(error)


def found_by(
    index: ImageIndex, path: str, box: Box | None, settings: Sequence[SearchOptions], limits: Limits
) -> list[Answer]:
    """What a query finds with each of the settings."""
    start, start_processor = time.perf_counter(), time.process_time()
    picture = load_picture(path, index.spec, box, limits)
    features = extract(picture, index.spec)
    shared, shared_processor = time.perf_counter() - start, time.process_time() - start_processor
    results = []
    for options in settings:
        start, start_processor = time.perf_counter(), time.process_time()
        images, matches = np.zeros(0, np.int32), list[Match]()
        if len(features):
            mirrored = mirror(features, picture, index.spec) if options.mirror else None
            encoded = encode_query(features, mirrored, index.vocabulary, options.words_per_feature)
            ranking = rank(index.snapshot, encoded, options)
            top = replace(
                ranking, image_ids=ranking.image_ids[:LOOKED_AT], scores=ranking.scores[:LOOKED_AT]
            )
            # the places that agree are many, and nobody asks for them
            matches = [
                replace(match, correspondences=NO_PLACES)
                for match in describe(index.snapshot, encoded, top, options)
            ]
            images = np.array(ranking.image_ids, np.int32)
        seconds, processor = time.perf_counter() - start, time.process_time() - start_processor
        sides = [
            int(segment.sizes[ordinal].max())
            for segment, ordinal in map(index.snapshot.locate, images[: len(matches)].tolist())
        ]
        results.append(
            Answer(
                images,
                matches,
                sides,
                len(features),
                shared + seconds,
                shared_processor + processor,
            )
        )
    return results


def outcomes_of(
    queries: Sequence[Query], found: Mapping[str, Answer], names: Sequence[str]
) -> list[Outcome]:
    """The outcomes of queries whose answers are there.

    Args:
        names: of all images by their numbers.
    """
    rankings = {
        query.id: counted_names(map(names.__getitem__, found[query.id].image_ids), query.ignore)
        for query in queries
    }
    values = measured(rankings, {query.id: query.relevant for query in queries})
    outcomes, present = [], frozenset(names)
    for query in queries:
        answer, own = found[query.id], values.get(query.id, {})
        first = [names[image] for image in answer.image_ids[: len(answer.matches)]]
        rows = zip(first, answer.matches, answer.sides, strict=True)
        by_name = {name: (name, match, side) for name, match, side in reversed(list(rows))}
        counted = [by_name[name] for name in counted_names(first, query.ignore)]
        own[FALSE_ALARM] = float(
            any(match.verified for name, match, _ in counted if name not in query.relevant)
        )
        error = None
        if query.relevant:
            own[VERIFIED] = float(
                any(match.verified for name, match, _ in counted if name in query.relevant)
            )
            error = corner_error(query, *counted[0]) if counted else None
            if query.outline:
                own[PLACED] = float(error is not None and error < CORNER_ERROR)
            own.update(views_found(query, answer, names, present))
        matches = [replace(match, path=name) for name, match, _ in counted]
        outcomes.append(
            Outcome(
                query,
                own,
                rankings[query.id],
                matches,
                error,
                answer.feature_count,
                answer.seconds,
                answer.processor,
            )
        )
    return outcomes


def corner_error(query: Query, name: str, match: Match, side: int) -> float | None:
    """Mean distance of the corners of a right first match from the true ones, over the longer side
    of the image.
    """
    if query.outline is None or name not in query.relevant or match.outline is None:
        return None
    error = float(np.hypot(*(match.outline - np.array(query.outline)).T).mean() / side)
    return error if np.isfinite(error) else None


def views_found(
    query: Query, answer: Answer, names: Sequence[str], present: Set[str]
) -> dict[str, float]:
    """UKBench's score, if the query and its three answers are four images of the index."""
    views = query.relevant | {query.own}
    if len(views) != 4 or not views <= present:
        return {}
    ranking = counted_names(map(names.__getitem__, answer.image_ids), query.ignore - views)
    return {NS: ns_score(ranking, views)}
