"""The outcomes of the queries of an evaluation, and their means per set with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..reporting import Failure
from ..search.match import Match
from ..search.options import SearchOptions
from .bootstrap import Estimate, estimate
from .metrics import CLASSES_AP, attainable
from .truth import Query

__all__ = [
    "ALL",
    "FALSE_ALARM",
    "NS",
    "PLACED",
    "VERIFIED",
    "Evaluation",
    "Outcome",
    "SetScores",
    "mean_name",
]

# Measures beside those of `metrics`; `Outcome` explains them.
VERIFIED, FALSE_ALARM, PLACED, NS = "Verified", "FalseAlarm", "Placed", "N-S"
# The line over all sets, where they ask the same of the same pictures.
ALL = "all"
MEANS = {
    "AP": "mAP",
    "AP@100": "mAP@100",
    CLASSES_AP: f"m{CLASSES_AP}",
    "AP(revisitop)": "mAP(revisitop)",
    "RR": "MRR",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one query.

    Attributes:
        query: the query.
        values: measures by name: those of `metrics.measured` and, if there was a search,
            "Verified" (the right image is among the first 10 and called verified), "FalseAlarm" (a
            wrong one among them is called verified), "Placed" (the first image is right and so is
            its place) and "N-S". A query that has no answer has only "FalseAlarm".
        ranking: the names of the images found, best first, without those to ignore.
        matches: the first of them as the search described them, as far as they are among the first
            10 that it found; without correspondences. Empty for a run that was read.
        corner_error: mean distance of the four corners from the true ones if the first image is
            right and has a place, as a share of the longer side of the image; None otherwise.
        feature_count: of the query.
        seconds: what the search took, reading and extraction included, as many being answered at a
            time as there are jobs.
        cpu_seconds: the same in processor time, which other programs on the machine hardly change.
    """

    query: Query
    values: dict[str, float]
    ranking: list[str]
    matches: list[Match] = field(default_factory=list)
    corner_error: float | None = None
    feature_count: int = 0
    seconds: float | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class SetScores:
    """The scores of one set of queries.

    Attributes:
        set: its name.
        queries: how many; those without answers count for "FalseAlarm" alone.
        groups: how many are independent.
        means: by measure.
        best: the largest means that any ranking could have, of the measures that cannot reach 1.
        corner_error: median over the queries that have one, as a share of the longer side of the
            image; None if none has.
        seconds: median of a search; None for a run that was read.

    Example:
        >>> from bovw import ImageIndex, evaluate, make_synthetic_queries
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth, _ = make_synthetic_queries(index, "queries", sample=1)
        ...     scores = evaluate(index, truth).by_set()
        >>> scores[0].set, scores[0].queries
        ('crop 50 %', 1)
    """

    set: str
    queries: int
    groups: int
    means: dict[str, Estimate]
    best: dict[str, float]
    corner_error: float | None
    seconds: float | None


@dataclass(frozen=True)
class Evaluation:
    """The outcomes of the queries of a ground truth.

    Attributes:
        outcomes: in the order of the queries.
        folder: the folder that the names of images are relative to.
        failed: query pictures that cannot be used; they are not scored.
        absent: relevant images that were not searched; they cannot be found, and count as missed.
        options: of the search; None for a run that was read.
        crop: whether the queries were searched as parts, whatever `options` says; None: those that
            have an outline.
        revisitop: the queries are those of Revisited Oxford or Paris.

    Example:
        >>> from bovw import ImageIndex, evaluate, make_synthetic_queries
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth, _ = make_synthetic_queries(index, "queries", sample=1)
        ...     evaluation = evaluate(index, truth)
        >>> len(evaluation.outcomes), evaluation.failed
        (25, [])
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

    def by_set(self, *, resamples: int = 1000, seed: int = 0) -> list[SetScores]:
        """The scores of each set, in the order of the queries; and over all, if each set asks of
        the same groups.

        Args:
            resamples, seed: of the bootstrap for the intervals.
        """
        sets: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            sets[outcome.query.set].append(outcome)
        lines = [scores_of(name, members, resamples, seed) for name, members in sets.items()]
        with_answers = [
            [outcome for outcome in members if outcome.query.relevant] for members in sets.values()
        ]
        groups = [
            {outcome.query.group for outcome in members} for members in with_answers if members
        ]
        alike = len(groups) > 1 and all(each == groups[0] for each in groups)
        if alike and not self.revisitop:
            everything = [outcome for members in with_answers for outcome in members]
            lines.append(scores_of(ALL, everything, resamples, seed))
        return lines


def mean_name(measure: str) -> str:
    """What the mean of a measure over queries is called."""
    return MEANS.get(measure, measure)


def scores_of(name: str, outcomes: Sequence[Outcome], resamples: int, seed: int) -> SetScores:
    """The scores of some queries."""
    means, best = {}, {}
    for measure in dict.fromkeys(measure for outcome in outcomes for measure in outcome.values):
        known = [outcome for outcome in outcomes if measure in outcome.values]
        if measure == NS and len(known) < len(outcomes):
            continue
        groups = [outcome.query.group for outcome in known]
        values = [outcome.values[measure] for outcome in known]
        most = [
            4.0 if measure == NS else attainable(measure, len(one.query.relevant)) for one in known
        ]
        means[measure] = estimate(values, groups, resamples=resamples, seed=seed, high=max(most))
        if np.mean(most) < 1:
            best[measure] = float(np.mean(most))
    errors = [outcome.corner_error for outcome in outcomes if outcome.corner_error is not None]
    seconds = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
    return SetScores(
        set=name,
        queries=len(outcomes),
        groups=len({outcome.query.group for outcome in outcomes}),
        means=means,
        best=best,
        corner_error=float(np.median(errors)) if errors else None,
        seconds=float(np.median(seconds)) if seconds else None,
    )
