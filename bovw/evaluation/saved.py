"""The scores of an evaluation kept as JSON, and compared with those of another one."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EvaluationError
from ..search.options import SearchOptions
from ..version import __version__
from .bootstrap import Estimate, PairedTest, holm, paired_test
from .scores import FALSE_ALARM, NS, PLACED, VERIFIED, Evaluation, SetScores, mean_name
from .trec import write_lines

__all__ = [
    "SIGNIFICANT",
    "Contrast",
    "SavedEvaluation",
    "SavedQuery",
    "SavedScores",
    "SavedSet",
    "compared",
    "read_evaluation",
    "read_scores",
    "save_scores",
]

Path = str | os.PathLike[str]
# What is compared, as far as both sides have it.
COMPARED = ("Success@1", "AP", "R@100", PLACED, VERIFIED, FALSE_ALARM, NS)
SIGNIFICANT = 0.05
# So many of the images that a query should find are named in the file.
NAMED = 10
# What options of a search are called in the file.
OPTION_KEYS = {"verify_top": "verify", "words_per_feature": "words"}


@dataclass(frozen=True)
class SavedScores:
    """The scores of queries, as they are kept: set, group and values of each query by its id."""

    sets: dict[str, str]
    groups: dict[str, str]
    values: dict[str, dict[str, float]]


@dataclass(frozen=True)
class SavedSet:
    """The scores of a set of queries, as they are kept: its name, its number of queries, its means
    by the names that are shown.
    """

    set: str
    queries: int
    means: dict[str, Estimate]


@dataclass(frozen=True)
class SavedQuery:
    """What became of a query, as it is kept.

    Attributes:
        id, set: its name, and that of its set.
        values: its measures.
        first: the names of the first images that were found.
        picture: its file; empty where that is not known, as in files of older versions.
        relevant: the names of some of the images that it should find.
        seconds: that the search took, if there was one.
    """

    id: str
    set: str
    values: dict[str, float]
    first: list[str]
    picture: str
    relevant: list[str]
    seconds: float | None


@dataclass(frozen=True)
class SavedEvaluation:
    """An evaluation, as it is kept.

    Attributes:
        index: the folder of the index.
        folder: the folder that names of images are relative to.
        sets, queries: what was measured.
    """

    index: str
    folder: str
    sets: list[SavedSet]
    queries: list[SavedQuery]


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
            "picture": os.path.abspath(outcome.query.path),
            "relevant": sorted(outcome.query.relevant)[:NAMED],
        }
        for outcome in evaluation.outcomes
    ]
    return {
        "bovw": __version__,
        **facts,
        "folder": os.path.abspath(evaluation.folder),
        "options": evaluation.options and options_facts(evaluation.options, evaluation.crop),
        "sets": list(map(set_facts, sets)),
        "queries": queries,
        "failed": [{"query": error.name, "reason": error.reason} for error in evaluation.failed],
        "absent": evaluation.absent,
    }


def options_facts(options: SearchOptions, crop: bool | None) -> dict[str, Any]:
    """The options of the searches of an evaluation, named as those of the command."""
    facts = {OPTION_KEYS.get(name, name): value for name, value in asdict(options).items()}
    return {**facts, "crop": crop}


def set_facts(line: SetScores) -> dict[str, Any]:
    """The scores of a set; means are named as they are shown."""
    means = {mean_name(name): asdict(mean) for name, mean in line.means.items()}
    best = {mean_name(name): value for name, value in line.best.items()}
    return {**asdict(line), "means": means, "best": best}


def save_scores(
    path: Path, evaluation: Evaluation, sets: Sequence[SetScores], facts: Mapping[str, Any]
) -> None:
    """Keep the scores of an evaluation as JSON. Raises OutputError."""
    write_lines(path, iter([json.dumps(scores_facts(evaluation, sets, facts), indent=1)]))


def read_scores(path: Path) -> SavedScores:
    """What `save_scores` wrote. Raises EvaluationError: it cannot be read, or is something else."""
    with our_errors(path), open(path, encoding="utf-8-sig") as file:
        rows = json.load(file)["queries"]
        return SavedScores(
            {str(row["query"]): str(row["set"]) for row in rows},
            {str(row["query"]): str(row["group"]) for row in rows},
            {str(row["query"]): values_of(row["values"]) for row in rows},
        )


def read_evaluation(path: Path) -> SavedEvaluation:
    """What `save_scores` wrote, as far as it is to be looked at. Raises EvaluationError: it cannot
    be read, or is something else.
    """
    with our_errors(path), open(path, encoding="utf-8-sig") as file:
        facts = json.load(file)
        return SavedEvaluation(
            str((facts.get("index") or {}).get("path", "")),
            str(facts.get("folder", "")),
            [
                SavedSet(
                    str(row["set"]),
                    int(row["queries"]),
                    {str(name): estimate_of(mean) for name, mean in row["means"].items()},
                )
                for row in facts["sets"]
            ],
            [
                SavedQuery(
                    str(row["query"]),
                    str(row["set"]),
                    values_of(row["values"]),
                    [str(name) for name in row["first"]],
                    str(row.get("picture", "")),
                    [str(name) for name in row.get("relevant", [])],
                    None if row["seconds"] is None else float(row["seconds"]),
                )
                for row in facts["queries"]
            ],
        )


def values_of(values: Mapping[str, Any]) -> dict[str, float]:
    """Measures by name."""
    return {str(name): float(value) for name, value in values.items()}


def estimate_of(mean: Mapping[str, Any]) -> Estimate:
    """A mean with its interval."""
    low, high = (None if mean[end] is None else float(mean[end]) for end in ("low", "high"))
    return Estimate(float(mean["mean"]), low, high)


@contextmanager
def our_errors(path: Path) -> Iterator[None]:
    """Whatever a file of scores may make fail becomes an EvaluationError."""
    try:
        yield
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
    first: SavedScores, second: SavedScores, *, resamples: int = 1000, seed: int = 0
) -> list[Contrast]:
    """Two evaluations of the same queries, measure by measure and set by set. Queries that only one
    side has are left out.

    Raises:
        EvaluationError: they have no query in common.
    """
    sets: dict[str, list[str]] = defaultdict(list)
    for query, name in first.sets.items():
        if query in second.sets:
            sets[name].append(query)
    if not sets:
        raise EvaluationError(
            "the two evaluations have no query in common, so they cannot be compared"
        )

    def test(queries: Sequence[str], measure: str) -> PairedTest | None:
        both = [
            query
            for query in queries
            if measure in first.values[query].keys() & second.values[query]
        ]
        if not both:
            return None
        one, other = ([side.values[query][measure] for query in both] for side in (first, second))
        groups = [first.groups[query] for query in both]
        return paired_test(one, other, groups, resamples=resamples, seed=seed)

    contrasts = []
    for measure in COMPARED:
        tests = {name: test(queries, measure) for name, queries in sets.items()}
        made = {name: tested for name, tested in tests.items() if tested}
        ps = holm([tested.p for tested in made.values()])
        contrasts += [
            Contrast(name, measure, tested, p)
            for (name, tested), p in zip(made.items(), ps, strict=True)
        ]
    return contrasts
