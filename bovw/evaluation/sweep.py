"""What each knob does to accuracy, time and bytes, on the user's own pictures; and which settings
to take.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Protocol

from ..errors import EvaluationError
from ..features.local import FEATURE_NAMES, FeatureSpec
from ..features.vocabulary import Vocabulary
from ..image_index import ImageIndex
from ..pictures.reading import LIMITS, Limits
from ..reporting import Failure, Progress
from ..search.options import SCORINGS, SearchOptions
from ..searcher import Searcher
from .bootstrap import Estimate, difference, estimate, holm, permutation_p
from .run import absent_images, evaluate_settings
from .saved import SIGNIFICANT
from .scores import Evaluation
from .synthetic import drawn
from .truth import GroundTruth, names_by_id

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
    "words_per_feature": (1, 2, 4, 8),
    "verify_top": (0, 25, 100, 400),
    "scoring": SCORINGS,
}
# What the knobs are called as options of the command.
OPTIONS = {
    "max_features": "--max-features",
    "max_side": "--max-side",
    "kind": "--features",
    "words_per_feature": "--words",
    "verify_top": "--verify",
    "scoring": "--scoring",
}
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
        for value in others(values, getattr(options, knob)):
            searched = replace(options, **{knob: value})
            settings.append(Setting(f"{OPTIONS[knob]} {value}", spec, searched))
    for knob, values in INDEX_KNOBS.items():
        for value in others(values, getattr(spec, knob)):
            extracted = replace(spec, **{knob: value})
            settings.append(Setting(f"{OPTIONS[knob]} {value}", extracted, options))
    return settings


def others(values: Sequence[Any], present: Any) -> list[Any]:
    """The values that are not the present one."""
    return [value for value in values if value != present]


class Swept(Searcher, Protocol):
    """An index, or a cluster, whose settings are to be compared with others."""

    @property
    def spec(self) -> FeatureSpec:
        """How its pictures are extracted."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Its visual words."""

    @property
    def picture_root(self) -> str:
        """The folder that its pictures are stored relative to."""


def sweep(
    index: Swept,
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
        index: its pictures, settings and vocabulary are used; it is not changed. Images without a
            file are passed over.
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
    settings = settings_around(index.spec, options)
    for spec, group in groupby(settings, key=lambda setting: setting.spec):
        same = list(group)
        path = os.path.join(folder, f"{spec.kind}-{spec.max_features}-{spec.max_side}.bovw")
        with trial_index(index, spec, path) as trial:
            steps = staged(same[0].label, progress)
            report = trial.add(pictures, jobs=jobs, limits=limits, progress=steps)
            trial.merge()
            if not len(trial):
                raise EvaluationError(
                    f"none of the pictures in {index.picture_root} can be read: {report.failed[0]}"
                )
            size, number = trial.info().size_bytes / len(trial), len(trial)
            each = [setting.options for setting in same]
            found = evaluate_settings(
                trial, truth, each, crop=crop, jobs=jobs, limits=limits, progress=steps
            )
        shutil.rmtree(path)
        if not trials:
            images, absent = number, found[0].absent
        for error in [*report.failed, *found[0].failed]:
            failed.setdefault(error.name, error)
        for setting, evaluation in zip(same, found, strict=True):
            tried = trial_of(setting.label, evaluation, size, resamples, seed)
            if trials:
                both = shared(trials[0], tried)
                gap = difference(*both, resamples=resamples, seed=seed)
                tried = replace(tried, difference=gap)
            trials.append(tried)
    choice, advice = recommended(trials, resamples=resamples, seed=seed)
    return Sweep(trials, images, advice, choice.label, list(failed.values()), absent)


def trial_index(index: Swept, spec: FeatureSpec, path: str) -> ImageIndex:
    """An empty index for the pictures of another one, which extracts them in this way."""
    vocabulary = index.vocabulary
    if spec.kind != index.spec.kind:
        vocabulary = Vocabulary.shipped(spec.kind)
    return ImageIndex.create(
        path,
        vocabulary,
        picture_root=index.picture_root,
        max_features=spec.max_features,
        max_side=spec.max_side,
    )


def sample_of(searcher: Searcher, truth: GroundTruth, among: int, seed: int) -> list[str]:
    """The absolute paths of some pictures, with all that a ground truth speaks of."""
    names = names_by_id(searcher.records(), truth.folder)
    absent_images(searcher, truth, frozenset(names.values()))
    pictures = {
        names[record.id]: (os.path.abspath(record.path), record.sha256)
        for record in searcher.records()
        if record.path
    }
    named = frozenset().union(*(query.relevant | query.ignore for query in truth.queries))
    needed = named & pictures.keys()
    rest = {name: sha256 for name, (_, sha256) in pictures.items() if name not in needed}
    more = drawn(rest, max(0, among - len(needed)), seed)
    return sorted(pictures[name][0] for name in [*needed, *more])


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
    seconds = sorted(outcome.cpu_seconds or 0.0 for outcome in outcomes)[len(outcomes) // 2]
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
    present, *challengers = trials

    def against(reference: Trial, other: Trial) -> Estimate:
        known = other.difference if reference is present else None
        return known or difference(*shared(reference, other), resamples=resamples, seed=seed)

    def cost(trial: Trial) -> float:
        return trial.seconds / present.seconds + trial.size_bytes / present.size_bytes

    ps = holm([permutation_p(*shared(present, other), seed=seed) for other in challengers])
    better = [
        other
        for other, p in zip(challengers, ps, strict=True)
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
            reason = f"surely more, but surely by less than {MARGIN}, and costs more"
            return present, f"Keep the present settings: {reference.label} finds {reason}."
        reason = (
            "nothing that was tried surely finds more, "
            "and nothing that costs a tenth less surely finds as much"
        )
        return present, f"Keep the present settings: {reason} (within {MARGIN})."
    gap = against(present, choice)
    interval = ""
    if gap.low is not None and gap.high is not None:
        interval = f", 95 % interval {gap.low:+.3f} to {gap.high:+.3f}"
    verb = "finds surely more" if choice in better else "finds surely about as much"
    found = f"{choice.accuracy.mean:.3f} first, against {present.accuracy.mean:.3f} now"
    seconds, size = choice.seconds / present.seconds, choice.size_bytes / present.size_bytes
    return choice, (
        f"Take {choice.label}: it {verb} ({found}; difference {gap.mean:+.3f}{interval}), "
        f"at {seconds:.2f} times the time and {size:.2f} times the bytes."
    )
