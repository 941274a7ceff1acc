"""What each knob does to accuracy, time and bytes, on the user's own pictures; and which settings
to take.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from ..errors import EvaluationError
from ..features.local import FEATURE_NAMES, FeatureSpec
from ..features.vocabulary import Vocabulary
from ..image_index import ImageIndex
from ..pictures.reading import LIMITS, Limits
from ..reporting import Failure, Progress
from ..search.ranking import SCORINGS, SearchOptions
from .bootstrap import Estimate, difference, estimate, holm, permutation_p
from .run import Evaluation, evaluate_settings, names_of
from .scores import SIGNIFICANT
from .synthetic import drawn
from .truth import GroundTruth

__all__ = ["PRESENT", "Setting", "Sweep", "Trial", "recommended", "settings_around", "sweep"]

# The measure that settings are compared by.
MEASURE = "Success@1"
PRESENT = "present settings"
# Each knob with the values that are tried; those of an index need one of its own.
INDEX_KNOBS: dict[str, tuple[Any, ...]] = {
    "max_features": (500, 1000, 2000, 4000),
    "max_side": (512, 768, 1024, 1536),
    "kind": FEATURE_NAMES,
}
SEARCH_KNOBS: dict[str, tuple[Any, ...]] = {
    "words": (1, 2, 4, 8),
    "verify": (0, 25, 100, 400),
    "scoring": SCORINGS,
}
OPTIONS = {"max_features": "--max-features", "max_side": "--max-side", "kind": "--features"}
# A setting may find less by so much, at the worst end of the interval, if it costs less by a tenth.
MARGIN, CHEAPER = 0.02, 0.9


@dataclass(frozen=True)
class Setting:
    """A setting that is tried: how it is called as options of the command, the extraction, and the
    search.
    """

    label: str
    spec: FeatureSpec
    options: SearchOptions


@dataclass(frozen=True)
class Trial:
    """What a setting did.

    Attributes:
        label: the setting.
        values: Success@1 of each query, by its id.
        groups: the group of each query.
        seconds: median of a search, in processor time: other programs on the machine do not make it
            look slow.
        size_bytes: of the index for an image.
        accuracy: the mean of the values.
        difference: of the values from those of the present settings, on the queries that both have;
            None for these.
    """

    label: str
    values: dict[str, float]
    groups: dict[str, str]
    seconds: float
    size_bytes: float
    accuracy: Estimate
    difference: Estimate | None = None


@dataclass(frozen=True)
class Sweep:
    """What was tried, and what to do.

    Attributes:
        trials: the present settings first.
        image_count: how many the index of the present settings held.
        advice: what to do, and why.
        choice: the setting to take.
        failed: pictures and queries that were left out, by any setting.
        absent: relevant images that were not in that index; they cannot be found.
    """

    trials: list[Trial]
    image_count: int
    advice: str
    choice: str
    failed: list[Failure] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def settings_around(spec: FeatureSpec, options: SearchOptions) -> list[Setting]:
    """The present settings, and all that differ from them in one knob; those of one extraction
    follow one another.
    """
    settings = [Setting(PRESENT, spec, options)]
    for knob, values in SEARCH_KNOBS.items():
        others = [value for value in values if value != getattr(options, knob)]
        settings += [
            Setting(f"--{knob} {value}", spec, replace(options, **{knob: value}))
            for value in others
        ]
    for knob, values in INDEX_KNOBS.items():
        others = [value for value in values if value != getattr(spec, knob)]
        settings += [
            Setting(f"{OPTIONS[knob]} {value}", replace(spec, **{knob: value}), options)
            for value in others
        ]
    return settings


def sweep(
    index: ImageIndex,
    truth: GroundTruth,
    options: SearchOptions,
    folder: str | os.PathLike[str],
    *,
    among: int = 500,
    crop: bool | None = None,
    jobs: int = 0,
    limits: Limits = LIMITS,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sweep:
    """Try settings one knob at a time, each on an index of the same sample of the pictures.

    Args:
        index: its pictures, settings and vocabulary are used; it is not changed.
        folder: where indexes are made and removed again.
        among: pictures of the sample; all that queries are to find or to ignore are in it, even if
            they are more.
        crop, jobs, limits: as for `evaluate`; pictures are indexed with the same limits.

    Raises:
        EvaluationError: as `evaluate`; or no picture of the sample, or no query that has answers,
            can be used.
    """
    pictures = sample_of(index, truth, among, seed)
    trials: list[Trial] = []
    failed: dict[str, Failure] = {}
    absent: list[str] = []
    images = 0
    for spec, group in groupby(
        settings_around(index.spec, options), key=lambda setting: setting.spec
    ):
        settings = list(group)
        vocabulary = (
            index.vocabulary if spec.name == index.spec.kind else Vocabulary.shipped(spec.name)
        )
        path = os.path.join(folder, f"{spec.name}-{spec.max_features}-{spec.max_side}.bovw")
        with ImageIndex.create(
            path,
            vocabulary,
            picture_root=index.picture_root.real,
            max_features=spec.max_features,
            max_side=spec.max_side,
        ) as trial:
            steps = staged(settings[0].label, progress)
            report = trial.add(pictures, jobs=jobs, limits=limits, progress=steps)
            trial.merge()
            if not len(trial):
                raise EvaluationError(
                    f"{index.directory.path}: none of its pictures can be read: {report.failed[0]}"
                )
            size, number = trial.info().size_bytes / len(trial), len(trial)
            each = [setting.options for setting in settings]
            found = evaluate_settings(
                trial, truth, each, crop=crop, jobs=jobs, limits=limits, progress=steps
            )
        shutil.rmtree(path)
        if not trials:
            images, absent = number, found[0].absent
        for error in [*report.failed, *found[0].failed]:
            failed.setdefault(error.name, error)
        for setting, evaluation in zip(settings, found, strict=True):
            tried = trial_of(setting.label, evaluation, size, resamples, seed)
            if trials:
                tried = replace(
                    tried,
                    difference=difference(
                        *shared(trials[0], tried), resamples=resamples, seed=seed
                    ),
                )
            trials.append(tried)
    choice, advice = recommended(trials, resamples=resamples, seed=seed)
    return Sweep(trials, images, advice, choice.label, list(failed.values()), absent)


def sample_of(index: ImageIndex, truth: GroundTruth, among: int, seed: int) -> list[str]:
    """The absolute paths of some pictures of an index, with all that a ground truth speaks of."""
    names, _ = names_of(index, truth)
    records = {names[image]: record for image, record in index.snapshot.live_records()}
    needed = (
        frozenset().union(*(query.relevant | query.ignore for query in truth.queries))
        & records.keys()
    )
    others = drawn(
        {name: record.sha256 for name, record in records.items() if name not in needed},
        max(0, among - len(needed)),
        seed,
    )
    return sorted(index.picture_root.absolute(records[name].path) for name in [*needed, *others])


def staged(label: str, progress: Progress | None) -> Progress:
    """Progress whose stages begin with the setting that is tried."""

    def advance(stage: str, done: int, total: int) -> None:
        if progress:
            progress(f"{label}: {stage}", done, total)

    return advance


def trial_of(label: str, evaluation: Evaluation, size: float, resamples: int, seed: int) -> Trial:
    """A setting with what its evaluation said."""
    outcomes = [outcome for outcome in evaluation.outcomes if MEASURE in outcome.values]
    if not outcomes:
        reason = f": {evaluation.failed[0]}" if evaluation.failed else ""
        raise EvaluationError(f"{label}: there is no query with answers that can be used{reason}")
    values = {outcome.query.id: outcome.values[MEASURE] for outcome in outcomes}
    groups = {outcome.query.id: outcome.query.group for outcome in outcomes}
    seconds = sorted(outcome.processor or 0.0 for outcome in outcomes)[len(outcomes) // 2]
    accuracy = estimate(
        list(values.values()), list(groups.values()), resamples=resamples, seed=seed
    )
    return Trial(label, values, groups, seconds, size, accuracy)


def shared(first: Trial, second: Trial) -> tuple[list[float], list[float], list[str]]:
    """The values of the queries that two trials share, and their groups: one may have failed at one
    setting alone.
    """
    both = [query for query in first.values if query in second.values]
    if not both:
        raise EvaluationError(f"{first.label} and {second.label}: no query could be used with both")
    return (
        [first.values[query] for query in both],
        [second.values[query] for query in both],
        [first.groups[query] for query in both],
    )


def recommended(
    trials: Sequence[Trial], *, resamples: int = 1000, seed: int = 0
) -> tuple[Trial, str]:
    """Which setting to take, and why, in one sentence.

    The rule: begin with the present settings (the first trial); if others find significantly more
    (paired permutation test, p below 0.05 after Holm's correction), go on with the best of these.
    Then take the cheapest setting that costs at least a tenth less than that one, and whose
    accuracy is surely within 0.02 of it (the 95 % interval of the paired difference lies above
    -0.02). Cost is processor time a search plus bytes an image, each as a multiple of the present
    settings'.
    """
    present, *others = trials

    def against(reference: Trial, other: Trial) -> Estimate:
        known = other.difference if reference is present else None
        return known or difference(*shared(reference, other), resamples=resamples, seed=seed)

    def cost(trial: Trial) -> float:
        return trial.seconds / present.seconds + trial.size_bytes / present.size_bytes

    ps = holm([permutation_p(*shared(present, other), seed=seed) for other in others])
    better = [
        other
        for other, p in zip(others, ps, strict=True)
        if p < SIGNIFICANT and against(present, other).mean > 0
    ]
    reference = max(better, key=lambda trial: trial.accuracy.mean, default=present)
    choice = reference
    for other in trials:
        low = against(reference, other).low
        if (
            low is not None
            and low >= -MARGIN
            and cost(other) <= CHEAPER * cost(reference)
            and cost(other) < cost(choice)
        ):
            choice = other
    if choice is present:
        if better:
            reason = f"{reference.label} finds surely more, but surely by less than {MARGIN}, and costs more"
            return present, f"Keep the present settings: {reason}."
        reason = "nothing that was tried surely finds more, and nothing that costs a tenth less surely finds as much"
        return present, f"Keep the present settings: {reason} (within {MARGIN})."
    gap = against(present, choice)
    interval = (
        ""
        if gap.low is None or gap.high is None
        else f", 95 % interval {gap.low:+.3f} to {gap.high:+.3f}"
    )
    verb = "finds surely more" if choice in better else "finds surely about as much"
    found = f"{choice.accuracy.mean:.3f} first, against {present.accuracy.mean:.3f} now; difference {gap.mean:+.3f}{interval}"
    costs = f"{choice.seconds / present.seconds:.2f} times the time and {choice.size_bytes / present.size_bytes:.2f} times the bytes"
    return choice, f"Take {choice.label}: it {verb} ({found}), at {costs}."
