"""Settings that are tried, and the rule of the recommendation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bovw import ImageIndex, SearchOptions
from bovw.errors import EvaluationError
from bovw.evaluation.bootstrap import Estimate
from bovw.evaluation.sweep import PRESENT, Trial, recommended, settings_around, shared, sweep
from bovw.evaluation.truth import GroundTruth
from bovw.features.local import FeatureSpec
from tests.helpers.queries import crop_of


def test_settings_differ_in_one_knob_each() -> None:
    spec, options = FeatureSpec(), SearchOptions()
    first, *others = settings_around(spec, options)
    assert first.label == PRESENT and (first.spec, first.options) == (spec, options)
    for setting in others:
        changed = [
            (a, b)
            for a, b in zip(vars(spec).values(), vars(setting.spec).values(), strict=True)
            if a != b
        ]
        changed += [
            (a, b)
            for a, b in zip(vars(options).values(), vars(setting.options).values(), strict=True)
            if a != b
        ]
        assert (
            len(changed) == 1
            and setting.label.startswith("--")
            and str(changed[0][1]) in setting.label
        )
    assert len({setting.label for setting in others}) == len(others) == 3 + 3 + 1 + 3 + 3 + 1


def trial(label: str, found: int, seconds: float, size: float) -> Trial:
    """A setting that finds the first so many percent of 400 queries."""
    values = {str(number): float(number < 4 * found) for number in range(400)}
    return Trial(
        label,
        values,
        {query: query for query in values},
        seconds,
        size,
        Estimate(found / 100, None, None),
    )


@pytest.mark.slow
def test_the_recommendation_follows_its_rule() -> None:
    present = trial(PRESENT, 90, 1.0, 1000)
    # cheaper and as good: taken; cheaper still, but surely worse or perhaps worse: not
    choice, advice = recommended(
        [
            present,
            trial("half", 90, 0.5, 1000),
            trial("worse", 70, 0.1, 100),
            trial("perhaps", 88, 0.4, 1000),
        ]
    )
    assert choice.label == "half" and advice.startswith(
        "Take half: it finds surely about as much (0.900 first, against 0.900 now"
    )
    assert "0.50 times the time and 1.00 times the bytes" in advice
    # more by chance is no reason; hardly cheaper is none either
    assert (
        recommended(
            [
                present,
                replace(
                    present,
                    label="lucky",
                    values={**present.values, "397": 1.0, "398": 1.0, "399": 1.0},
                    seconds=3.0,
                ),
                trial("hardly", 90, 0.95, 950),
            ]
        )[0]
        is present
    )
    # surely more is one, even if it costs more
    choice, advice = recommended([present, trial("better", 100, 2.0, 2000)])
    assert choice.label == "better" and "finds surely more" in advice
    # and what costs a tenth less than that, and finds as much, a better one
    assert (
        recommended([present, trial("better", 100, 2.0, 2000), trial("cheaper", 100, 1.2, 1200)])[
            0
        ].label
        == "cheaper"
    )


@pytest.mark.slow
def test_a_little_more_is_told_but_not_taken_if_it_costs_more() -> None:
    queries = [str(number) for number in range(2000)]
    groups = {query: query for query in queries}
    present = Trial(
        PRESENT,
        {query: float(query not in queries[:16]) for query in queries},
        groups,
        1.0,
        1000,
        Estimate(0.992, None, None),
    )
    better = Trial(
        "better", dict.fromkeys(queries, 1.0), groups, 3.0, 1000, Estimate(1.0, None, None)
    )
    choice, advice = recommended([present, better])
    assert (
        choice is present
        and "better finds surely more, but surely by less than 0.02, and costs more" in advice
    )


def test_settings_are_compared_on_the_queries_that_both_have() -> None:
    present, half = trial(PRESENT, 90, 1.0, 1000), trial("half", 90, 0.5, 1000)
    # the first query failed at one setting, the last at the other; the rest must not be shifted
    # against one another
    present.values.pop("0")
    half.values.pop("399")
    first, second, groups = shared(present, half)
    assert first == second and groups == [str(number) for number in range(1, 399)]
    assert recommended([present, half])[0] is half
    with pytest.raises(EvaluationError, match="no query could be used with both"):
        shared(present, replace(half, values={}))


def test_a_sweep_of_queries_that_cannot_be_used_says_so(
    folder: Path, index: ImageIndex, tmp_path: Path
) -> None:
    gone = replace(crop_of(folder, 1, "crop 1.png"), path=str(folder / "gone.png"))
    with pytest.raises(
        EvaluationError,
        match=r"no query with answers that can be used: .*gone.png: there is no such file",
    ):
        sweep(index, GroundTruth([gone], str(folder)), SearchOptions(), tmp_path, among=2)
