"""The scores of an evaluation: means per set with their intervals, kept as JSON, and compared with
those of another one.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import EvaluationError
from ..version import __version__
from .bootstrap import Estimate, PairedTest, estimate, holm, paired_test
from .run import FALSE_ALARM, NS, PLACED, VERIFIED, Evaluation, Outcome
from .trec import write_lines

__all__ = [
    "ALL",
    "SIGNIFICANT",
    "Contrast",
    "Scores",
    "SetScores",
    "compared",
    "mean_name",
    "read_scores",
    "save_scores",
    "set_scores",
]

Path = str | os.PathLike[str]
# What is compared, as far as both sides have it.
COMPARED = ("Success@1", "AP", "R@100", PLACED, VERIFIED, FALSE_ALARM, NS)
SIGNIFICANT = 0.05
# The line over all sets, where they ask the same of the same pictures.
ALL = "all"
MEANS = {"AP": "mAP", "AP@100": "mAP@100", "AP(revisitop)": "mAP(revisitop)", "RR": "MRR"}


@dataclass(frozen=True)
class SetScores:
    """The scores of one set of queries.

    Attributes:
        set: its name.
        queries: how many; those without answers count for "FalseAlarm" alone.
        groups: how many are independent.
        means: by measure.
        corner_error: median over the queries that have one, as a share of the longer side of the
            image; None if none has.
        seconds: median of a search; None for a run that was read.
    """

    set: str
    queries: int
    groups: int
    means: dict[str, Estimate]
    corner_error: float | None
    seconds: float | None


@dataclass(frozen=True)
class Scores:
    """The scores of queries, as they are kept: set, group and values of each query by its id."""

    sets: dict[str, str]
    groups: dict[str, str]
    values: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Contrast:
    """One measure of one set in two evaluations. `p`: that of the comparison, raised for the number
    of sets (Holm).
    """

    set: str
    measure: str
    paired_test: PairedTest
    p: float

    @property
    def significant(self) -> bool:
        """Whether the difference means anything."""
        return self.p < SIGNIFICANT


def mean_name(measure: str) -> str:
    """What the mean of a measure over queries is called."""
    return MEANS.get(measure, measure)


def set_scores(evaluation: Evaluation, *, resamples: int = 1000, seed: int = 0) -> list[SetScores]:
    """The scores of each set, in the order of the queries; and over all, if each set asks of the
    same groups.
    """
    members: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in evaluation.outcomes:
        members[outcome.query.set].append(outcome)
    scored = [scores_of(name, outcomes, resamples, seed) for name, outcomes in members.items()]
    answer_query = [
        [outcome for outcome in outcomes if outcome.query.relevant] for outcomes in members.values()
    ]
    groups = [
        {outcome.query.group for outcome in outcomes} for outcomes in answer_query if outcomes
    ]
    if len(groups) > 1 and all(each == groups[0] for each in groups) and not evaluation.revisitop:
        scored.append(
            scores_of(
                ALL, [outcome for outcomes in answer_query for outcome in outcomes], resamples, seed
            )
        )
    return scored


def scores_of(name: str, outcomes: Sequence[Outcome], resamples: int, seed: int) -> SetScores:
    """The scores of some queries."""
    means = {}
    for measure in dict.fromkeys(measure for outcome in outcomes for measure in outcome.values):
        known = [outcome for outcome in outcomes if measure in outcome.values]
        if measure == NS and len(known) < len(outcomes):
            continue
        groups = [outcome.query.group for outcome in known]
        values = [outcome.values[measure] for outcome in known]
        means[measure] = estimate(
            values, groups, resamples=resamples, seed=seed, high=4.0 if measure == NS else 1.0
        )
    errors = [outcome.corner_error for outcome in outcomes if outcome.corner_error is not None]
    seconds = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
    return SetScores(
        set=name,
        queries=len(outcomes),
        groups=len({outcome.query.group for outcome in outcomes}),
        means=means,
        corner_error=float(np.median(errors)) if errors else None,
        seconds=float(np.median(seconds)) if seconds else None,
    )


def scores_facts(
    evaluation: Evaluation, sets: Sequence[SetScores], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """An evaluation as plain JSON values; `facts` says what else should be known of it."""
    queries = [
        {
            "query": outcome.query.id,
            "set": outcome.query.set,
            "group": outcome.query.group,
            "values": {name: round(value, 6) for name, value in outcome.values.items()},
            "corner_error": outcome.corner_error,
            "features": outcome.feature_count,
            "seconds": outcome.seconds,
            "first": outcome.ranking[:3],
        }
        for outcome in evaluation.outcomes
    ]
    return {
        "bovw": __version__,
        **facts,
        "options": {**asdict(evaluation.options), "crop": evaluation.crop}
        if evaluation.options
        else None,
        "sets": [
            {
                **asdict(line),
                "means": {mean_name(name): asdict(mean) for name, mean in line.means.items()},
            }
            for line in sets
        ],
        "queries": queries,
        "failed": [{"query": error.name, "reason": error.reason} for error in evaluation.failed],
        "absent": evaluation.absent,
    }


def save_scores(
    path: Path, evaluation: Evaluation, sets: Sequence[SetScores], facts: Mapping[str, Any]
) -> None:
    """Keep the scores of an evaluation as JSON. Raises EvaluationError."""
    write_lines(path, iter([json.dumps(scores_facts(evaluation, sets, facts), indent=1)]))


def read_scores(path: Path) -> Scores:
    """What `save_scores` wrote. Raises EvaluationError: it cannot be read, or is something else."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            rows = json.load(file)["queries"]
        return Scores(
            {str(row["query"]): str(row["set"]) for row in rows},
            {str(row["query"]): str(row["group"]) for row in rows},
            {
                str(row["query"]): {
                    str(name): float(value) for name, value in row["values"].items()
                }
                for row in rows
            },
        )
    except OSError as error:
        raise EvaluationError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise EvaluationError(
            f"{os.fspath(path)}: holds no scores that `bovw evaluate --save` wrote"
        ) from error


def compared(
    first: Scores, second: Scores, *, resamples: int = 1000, seed: int = 0
) -> list[Contrast]:
    """Two evaluations of the same queries, measure by measure and set by set. Queries that only one
    side has are left out.

    Raises:
        EvaluationError: they have no query in common.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for query, name in first.sets.items():
        if query in second.sets:
            members[name].append(query)
    if not members:
        raise EvaluationError(
            "the two evaluations have no query in common, so they cannot be compared"
        )
    contrasts = []
    for measure in COMPARED:
        tested = []
        for name, queries in members.items():
            both = [
                query
                for query in queries
                if measure in first.values[query] and measure in second.values[query]
            ]
            if both:
                one, other = (
                    [side.values[query][measure] for query in both] for side in (first, second)
                )
                tested.append(
                    (
                        name,
                        paired_test(
                            one,
                            other,
                            [first.groups[query] for query in both],
                            resamples=resamples,
                            seed=seed,
                        ),
                    )
                )
        raised = holm([result.p for _, result in tested])
        contrasts += [
            Contrast(name, measure, result, p)
            for (name, result), p in zip(tested, raised, strict=True)
        ]
    return contrasts
