"""One search in three phases: propose candidates, verify them, merge what the parts say.

One index is a collection of one part. Several parts, each searched by itself with the statistics of
the whole, give the same answer to the last bit: `merge_parts` decides by what is global (votes,
scores, ids), never by where an image lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import sorted_unique, starts_of
from ..geometry.certainty import is_certain, log_false_alarms
from ..geometry.verification import GeometricFit, Matches, Tolerances, verify_candidates
from ..index.record import ImageRecord
from ..pictures.working import working_area
from .collection import Collection
from .match import (
    CandidateFit,
    FeatureGeometry,
    Match,
    Target,
    describe_match,
    find_instances,
    matches_of,
)
from .options import SearchOptions
from .query import Clock, Variant
from .scan import VoteTable, cosine_scores, least_of, scan

__all__ = [
    "PartAnswer",
    "Proposal",
    "Ranking",
    "answer_part",
    "describe",
    "first_rows",
    "fit_candidates",
    "may_be_among_first",
    "merge_parts",
    "propose",
    "verify",
]

# How much an image's votes count beside the votes of its inliers.
VOTE_SHARE = 0.2
# When both sides count, scores are divided by features^power, before and after verification.
VOTE_POWER, VERIFIED_POWER = 0.4, 0.3


@dataclass(frozen=True)
class Proposal:
    """What the votes of a part propose.

    Attributes:
        table: the votes.
        shortlist: (s,) the candidates to verify, ascending (see `Hits.candidate`).
    """

    table: VoteTable
    shortlist: NDArray[np.int64]


@dataclass(frozen=True)
class PartAnswer:
    """What a part of a collection says of a query: n candidates, each a variant of the query in an
    image. An image may be there with several variants.

    Attributes:
        record_of: gives the record of an image of the part by its number.
        numbers: image numbers of the part are below this.
        image_count: live images of the whole collection.
        max_side: the working size.
        images: (n,) int64, their numbers.
        variants: (n,) int64, which variant of the query.
        votes: (n,) float64, votes or TF-IDF cosine.
        vote_scores: (n,) float64, the same over the length norm before verification.
        norms: (n,) float64, the length norm after it.
        shortlisted: (n,) whether the candidate was verified, being among the first of its part.
        fits: the geometric fit of each; None where nothing agreed, or nothing was looked for.
        weights: (n,) float64, those of the fits; 0 where there is none.
        log_false_alarms: (n,) float64, how many images would agree as well by chance; infinite
            where nothing was looked for.
        matches: the tentative matches that the fits refer to.
    """

    record_of: Callable[[int], ImageRecord]
    numbers: int
    image_count: int
    max_side: int
    images: NDArray[np.int64]
    variants: NDArray[np.int64]
    votes: NDArray[np.float64]
    vote_scores: NDArray[np.float64]
    norms: NDArray[np.float64]
    shortlisted: NDArray[np.bool_]
    fits: list[GeometricFit | None]
    weights: NDArray[np.float64]
    log_false_alarms: NDArray[np.float64]
    matches: Matches

    def id_of(self, candidate: int) -> str:
        """The id of a candidate's image."""
        return self.record_of(int(self.images[candidate])).id


@dataclass(frozen=True)
class Ranking:
    """The best candidates of all parts, best first: the verified ones, then the others, each by
    score; ties go by id. Each image is there once.

    Attributes:
        parts: (n,) which part.
        candidates: (n,) which of its candidates.
        scores: (n,) float64.
        fitted: (n,) whether the fit counts.
    """

    parts: NDArray[np.int64]
    candidates: NDArray[np.int64]
    scores: NDArray[np.float64]
    fitted: NDArray[np.bool_]


def powers_of(options: SearchOptions) -> tuple[float, float]:
    """The powers of the length norm before and after verification."""
    if options.crop or options.scoring == "tfidf":
        return 0.0, 0.0
    return VOTE_POWER, VERIFIED_POWER if options.verify_top else VOTE_POWER


def propose(
    collection: Collection,
    variants: Sequence[Variant],
    options: SearchOptions,
    clock: Clock | None = None,
) -> Proposal:
    """Scan the postings of a part, count the votes and choose the candidates to verify."""
    clock = clock or Clock()
    encoded, scores = [each.encoded for each in variants], None
    if options.scoring == "tfidf":
        scores = np.concatenate([cosine_scores(collection, query.words[:, 0]) for query in encoded])
    hits = scan(collection, encoded) if options.scoring == "hamming" or options.verify_top else []
    clock.lap("scan")
    table = VoteTable(collection, encoded, hits, scores)
    norm = collection.length_norm(powers_of(options)[0])
    shortlist = table.best(norm, options.depth)
    clock.lap("rank")
    return Proposal(table, shortlist)


def verify(
    collection: Collection,
    variants: Sequence[Variant],
    proposal: Proposal,
    options: SearchOptions,
    clock: Clock | None = None,
) -> PartAnswer:
    """Verify the shortlist of a part, and add what else may be among the first k by its votes."""
    clock = clock or Clock()
    table, shortlist = proposal.table, proposal.shortlist
    image_count = max(len(collection.searchable), 1)
    matches = tentative_matches(collection, variants, table, shortlist)
    sizes = collection.snapshot.sizes_of(shortlist % image_count)
    areas = working_area(sizes, collection.snapshot.max_side)
    fits, alarms = fit_candidates(matches, areas, collection.statistics.image_count)
    candidates = shortlist
    before, after = powers_of(options)
    # by the same measure nothing beside the shortlist can come before it; an image may be there as
    # it is and mirrored
    if before != after or len(sorted_unique(shortlist % image_count)) < options.k:
        wanted = options.k * len(variants) + len(shortlist)
        candidates = np.union1d(shortlist, table.best(collection.length_norm(after), wanted))
    place = np.searchsorted(candidates, shortlist)
    shortlisted = np.zeros(len(candidates), bool)
    shortlisted[place] = True
    all_alarms = np.full(len(candidates), np.inf)
    all_alarms[place] = alarms
    all_fits: list[GeometricFit | None] = [None] * len(candidates)
    for row, fit in zip(place.tolist(), fits, strict=True):
        all_fits[row] = fit
    images, votes = candidates % image_count, table.exact(candidates)
    clock.lap("verify")
    return PartAnswer(
        record_of=collection.snapshot.record,
        numbers=len(collection.searchable),
        image_count=collection.statistics.image_count,
        max_side=collection.snapshot.max_side,
        images=images,
        variants=candidates // image_count,
        votes=votes,
        vote_scores=votes / collection.length_norm(before)[images],
        norms=collection.length_norm(after)[images],
        shortlisted=shortlisted,
        fits=all_fits,
        weights=np.array([fit.weight if fit else 0.0 for fit in all_fits]),
        log_false_alarms=all_alarms,
        matches=matches,
    )


def fit_candidates(
    matches: Matches, areas: NDArray[np.float64], image_count: int
) -> tuple[list[GeometricFit | None], NDArray[np.float64]]:
    """The geometric fit of each candidate, and its false alarms among so many images (log10).

    Args:
        areas: (count,) of the candidates in square working pixels.
    """
    fits = verify_candidates(matches, Tolerances())
    return fits, log_false_alarms(matches, fits, areas, image_count)


def answer_part(
    collection: Collection,
    variants: Sequence[Variant],
    options: SearchOptions,
    clock: Clock | None = None,
) -> PartAnswer:
    """What a part says of a query, given as its variants: propose, then verify."""
    clock = clock or Clock()
    proposal = propose(collection, variants, options, clock)
    return verify(collection, variants, proposal, options, clock)


def merge_parts(answers: Sequence[PartAnswer], options: SearchOptions) -> Ranking:
    """The k best images of all parts.

    A fit counts only if its candidate is among the `depth` first of all parts by its votes, or
    ties with the last of them: so it does not matter how many parts there are.
    """
    first_image = starts_of([answer.numbers for answer in answers])
    first_row = starts_of([len(answer.images) for answer in answers])
    parts = np.repeat(np.arange(len(answers)), np.diff(first_row))
    image = joined(answers, "images") + first_image[parts]
    vote_scores, shortlisted = joined(answers, "vote_scores"), joined(answers, "shortlisted")
    least = least_of(vote_scores[shortlisted], options.depth)
    fitted = shortlisted & (vote_scores >= least)
    score = np.concatenate(
        [scores_of(each, options, fitted[parts == part]) for part, each in enumerate(answers)]
    )
    verified = fitted & is_certain(joined(answers, "log_false_alarms"), options.false_alarms)
    best = best_of_each(image, joined(answers, "variants"), verified, score)

    def id_of(row: int) -> str:
        part = int(parts[row])
        return answers[part].id_of(row - int(first_row[part]))

    rows = first_rows(best, verified, score, options.k, id_of)
    return Ranking(
        parts=parts[rows],
        candidates=rows - first_row[parts[rows]],
        scores=score[rows],
        fitted=fitted[rows],
    )


def scores_of(
    answer: PartAnswer, options: SearchOptions, fitted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The scores (n,) of the candidates of a part, of which the fits of some count."""
    share = VOTE_SHARE if options.verify_top and options.scoring == "hamming" else 1.0
    score = share * answer.votes + np.where(fitted, answer.weights, 0.0)
    return np.asarray(score / answer.norms)


def may_be_among_first(answer: PartAnswer, options: SearchOptions) -> NDArray[np.bool_]:
    """Which candidates (n,) of a part may be among the k first of the whole, whatever the other
    parts say.

    Those that may be verified do; and of the others those of which fewer than k images of this part
    are better even if none of their fits counts.
    """
    least = scores_of(answer, options, np.zeros(len(answer.images), bool))
    most = scores_of(answer, options, answer.shortlisted)
    best_of = np.zeros(0)
    if len(least):
        order = np.lexsort((-least, answer.images))
        first = np.concatenate(([True], np.diff(answer.images[order]) > 0))
        best_of = least[order][first]
    bar = np.partition(best_of, -options.k)[-options.k] if len(best_of) > options.k else -np.inf
    certain = answer.shortlisted & is_certain(answer.log_false_alarms, options.false_alarms)
    return np.asarray(certain | (most >= bar))


def joined(answers: Sequence[PartAnswer], name: str) -> NDArray[Any]:
    """A column of all answers."""
    return np.concatenate([getattr(answer, name) for answer in answers])


def best_of_each(
    images: NDArray[np.int64],
    variants: NDArray[np.int64],
    verified: NDArray[np.bool_],
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The best row of each image: verified, then of higher score, then of the lower variant."""
    order = np.lexsort((variants, -scores, ~verified, images))
    return order[np.concatenate(([True], np.diff(images[order]) > 0))] if len(order) else order


def first_rows(
    rows: NDArray[np.int64],
    verified: NDArray[np.bool_],
    scores: NDArray[np.float64],
    k: int,
    id_of: Callable[[int], str],
) -> NDArray[np.int64]:
    """The k best of some rows, best first: verified, then of higher score; ties go by id."""
    order = rows[np.lexsort((-scores[rows], ~verified[rows]))]
    if len(order) > k:
        last = order[k - 1]
        tied = (verified[order] == verified[last]) & (scores[order] >= scores[last])
        order = order[(verified[order] > verified[last]) | tied]
    first = list[int]()
    for _, tied_rows in groupby(order.tolist(), lambda row: (verified[row], scores[row])):
        several = list(tied_rows)
        first += sorted(several, key=id_of) if len(several) > 1 else several
    return np.array(first[:k], np.int64)


def tentative_matches(
    collection: Collection,
    variants: Sequence[Variant],
    table: VoteTable,
    shortlist: NDArray[np.int64],
) -> Matches:
    """The matches that the scan found for the shortlisted candidates, with the geometry of both
    sides.

    Args:
        shortlist: ascending; candidate c of the result is shortlist[c].
    """
    hits = table.hits_of(shortlist)
    candidate, weight = np.searchsorted(shortlist, hits.candidate), table.weights(hits)
    order = np.lexsort((-weight, candidate))
    candidate, hits, weight = candidate[order], hits[order], weight[order]
    query_feature = (hits.word_slot // table.words).astype(np.int64)
    feature = hits.feature.astype(np.int64)
    image = hits.candidate.astype(np.int64) % max(len(collection.searchable), 1)
    position, scale, angle, unit = collection.snapshot.geometry_of(image, feature)
    max_side = collection.snapshot.max_side
    geometry = FeatureGeometry(position, scale, angle, unit)
    encoded = [each.encoded for each in variants]
    return matches_of(
        encoded, geometry, max_side, candidate, len(shortlist), query_feature, feature, weight
    )


def describe(
    answers: Sequence[PartAnswer],
    ranking: Ranking,
    variants: Sequence[Variant],
    options: SearchOptions,
    full_path: Callable[[str], str] = str,
) -> list[Match]:
    """The matches of a ranking with their places, in pixels of the original pictures.

    An image that shows the query several times gives up to `options.instances` matches, one after
    the other, the best first.

    Args:
        full_path: gives the path of a match for the one that is stored; not called for none.
    """
    described = list[Match]()
    columns = (ranking.parts, ranking.candidates, ranking.scores, ranking.fitted)
    for part, candidate, score, fitted in zip(*(each.tolist() for each in columns), strict=True):
        answer = answers[part]
        image = int(answer.images[candidate])
        record = answer.record_of(image)
        match = Match(
            id=record.id,
            score=score,
            path=record.path and full_path(record.path),
            metadata=record.metadata,
            size=(record.width, record.height),
            checked=bool(fitted),
        )
        fit = answer.fits[candidate] if fitted else None
        if fit is None:
            described.append(match)
            continue
        target = Target(
            found=match,
            size=np.array([record.width, record.height], np.float64),
            image_count=answer.image_count,
            max_side=answer.max_side,
            false_alarms=options.false_alarms,
        )
        variant = variants[int(answer.variants[candidate])]
        found = CandidateFit(score, fit, float(answer.log_false_alarms[candidate]))
        match = describe_match(variant, target, found, answer.matches)
        described += find_instances(variant, target, match, fit, answer.matches, options.instances)
    return described
