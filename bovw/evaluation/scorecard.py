"""An evaluation for people: tables as text, and a page with tables, plots and the worst failures as
pictures.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import printable
from ..report.html import Figure, Page, figure_view
from ..report.plot import Point, bars, scatter
from ..report.rendering import render
from ..search.result import figure_of
from .bootstrap import Estimate
from .metrics import CLASSES_AP, CLASSES_DEPTH
from .saved import SIGNIFICANT, Contrast
from .scores import (
    ALL,
    FALSE_ALARM,
    NS,
    PLACED,
    VERIFIED,
    Evaluation,
    Outcome,
    SetScores,
    mean_name,
)
from .sweep import Sweep, Trial

__all__ = [
    "cells_text",
    "comparison_lines",
    "scores_text",
    "short",
    "sweep_text",
    "write_scorecard",
    "write_sweep",
]

# Columns of the tables, as far as they are known.
FIRST = ("Success@1", "Success@10", "AP", VERIFIED, PLACED, FALSE_ALARM)
RANKED = ("AP@100", "RR", "R@1", "R@10", "R@100", NS)
AT_K = tuple(f"{name}@{k}" for k in (1, 3, 5) for name in ("P", "R", "F1"))
REVISITOP = ("AP(revisitop)", "P(revisitop)@1", "P(revisitop)@5", "P(revisitop)@10")
# Failures on the page, in all and of one set.
FAILURES, OF_A_SET = 36, 3
# What the summary tells, in words.
SUMMARY = {
    "Success@1": "right image first",
    "Success@10": "right image among the first 10",
    VERIFIED: "right image called verified",
    PLACED: "first and in the right place",
    FALSE_ALARM: "wrong image called verified",
}


def scores_text(evaluation: Evaluation, sets: Sequence[SetScores]) -> str:
    """The tables of an evaluation as text: one where no query has several answers, as the others
    would say the same again.
    """
    several = any(len(outcome.query.relevant) > 1 for outcome in evaluation.outcomes)
    columns = tables_of(evaluation) if several else tables_of(evaluation)[:1]
    notes = (
        "Means with 95 % intervals; docs/results.md defines them. ms: median of a search. "
        "--save and --report have all measures."
    )
    return "\n\n".join([*(cells_text(table_cells(sets, each)) for each in columns), notes])


def tables_of(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The columns of the tables that fit an evaluation."""
    if evaluation.revisitop:
        return [REVISITOP]
    # elsewhere it is AP@100
    many = any(len(outcome.query.relevant) > CLASSES_DEPTH for outcome in evaluation.outcomes)
    return [FIRST, RANKED, (*AT_K, *[CLASSES_AP] * many)]


def table_cells(sets: Sequence[SetScores], columns: Sequence[str]) -> list[list[str]]:
    """The cells of a table, its heading first."""
    known = [name for name in columns if any(name in line.means for line in sets)]
    placed = columns == FIRST and any(line.corner_error is not None for line in sets)
    timed = columns in (FIRST, REVISITOP) and any(line.seconds is not None for line in sets)
    cells = [["set", "queries", *map(mean_name, known), *["corners"] * placed, *["ms"] * timed]]
    for line in sets:
        means = [rate_text(line.means.get(name), line.best.get(name)) for name in known]
        corners = [
            "-" if line.corner_error is None else f"{100 * line.corner_error:.2f} %"
        ] * placed
        seconds = ["-" if line.seconds is None else f"{1000 * line.seconds:.0f}"] * timed
        cells.append([line.set, f"{line.queries:,}", *means, *corners, *seconds])
    return cells


def rate_text(rate: Estimate | None, best: float | None = None) -> str:
    """A mean with its interval, and how large it can be, if that is less than 1."""
    if rate is None:
        return "-"
    interval = ""
    if rate.low is not None and rate.high is not None:
        interval = f" ({short(rate.low, 2)}-{short(rate.high, 2)})"
    return short(rate.mean, 3) + interval + (f", at most {short(best, 3)}" if best else "")


def short(value: float, digits: int) -> str:
    """A number without the zero before its point."""
    return f"{value:.{digits}f}".removeprefix("0")


def difference_text(difference: Estimate) -> str:
    """A difference of means with its interval."""
    interval = ""
    if difference.low is not None and difference.high is not None:
        interval = f" ({difference.low:+.3f} to {difference.high:+.3f})"
    return f"{difference.mean:+.3f}{interval}"


def cells_text(cells: Sequence[Sequence[str]]) -> str:
    """A table as text with columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        first, *rest = (printable(cell) for cell in line)
        right = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)


def comparison_lines(first: str, second: str, contrasts: Sequence[Contrast]) -> str:
    """A comparison of two evaluations as text, which ends by saying what of it means anything."""
    cells = [["set", "measure", "queries", "first", "second", "difference", "p", "means something"]]
    for one in contrasts:
        test = one.paired_test
        means = [f"{test.first:.3f}", f"{test.second:.3f}", difference_text(test.difference)]
        name, verdict = mean_name(one.measure), "yes" if one.significant else "no"
        cells.append([one.set, name, f"{test.queries:,}", *means, f"{one.p:.4f}", verdict])
    lines = [
        f"first: {printable(first)}",
        f"second: {printable(second)}",
        "",
        cells_text(cells),
        "",
        f"p: permutation test over groups of queries, raised for the number of sets (Holm); "
        f"below {SIGNIFICANT:g} it means something.",
    ]
    sure = [one for one in contrasts if one.significant]
    if not sure:
        return "\n".join([*lines, "No difference here means anything: each may be chance."])
    for one in sure:
        gap = one.paired_test.difference.mean
        side = "better" if (gap > 0) != (one.measure == FALSE_ALARM) else "worse"
        where = f"{mean_name(one.measure)} of {printable(one.set)}"
        lines.append(f"The second is {side} in {where}, by {abs(gap):.3f}.")
    return "\n".join(lines)


def write_scorecard(
    path: str | os.PathLike[str],
    title: str,
    evaluation: Evaluation,
    sets: Sequence[SetScores],
    *,
    queries_stay: bool = True,
) -> None:
    """Write a page with the summary, the worst failures, the tables and the plots of an evaluation.

    Args:
        queries_stay: whether the query pictures will be there when the page is looked at.

    Raises:
        OutputError: the page cannot be written.
    """
    with Page(path, title) as page:
        facts = summary_facts(evaluation, sets)
        page.add("Summary", render("summary.html", facts=facts))
        if any(FALSE_ALARM in outcome.values for outcome in evaluation.outcomes):
            note = f"{len(failures(evaluation)):,} of {len(evaluation.outcomes):,} went wrong"
            views = [
                failure_view(evaluation, outcome, page.folder, queries_stay)
                for outcome in worst(evaluation)
            ]
            shown = (
                f"; these are the worst {len(views)}, at most {OF_A_SET} of a set" if views else ""
            )
            page.add(
                "Failures", render("failures.html", note=f"{note}{shown}.", failures=views), note
            )
        cells = [table_cells(sets, columns) for columns in tables_of(evaluation)]
        page.add("Scores", render("tables.html", tables=cells))
        plots = []
        for name in (*tables_of(evaluation)[0][:1], VERIFIED, PLACED, FALSE_ALARM):
            rates = [(line.set, line.means[name]) for line in sets if name in line.means]
            if rates:
                worse = " (0 is best)" if name == FALSE_ALARM else ""
                plots.append(bars(mean_name(name) + worse, rates))
        page.add("Plots", render("plots.html", plots=plots))
        page.add("What the measures are", render("measures.html"))


def summary_facts(evaluation: Evaluation, sets: Sequence[SetScores]) -> list[tuple[str, str]]:
    """What there is to know first: of how many queries what is true, and where it is true least."""
    asked = {outcome.query.set for outcome in evaluation.outcomes}
    facts = [("queries", f"{len(evaluation.outcomes):,}"), ("sets of them", f"{len(asked):,}")]
    for measure, words in SUMMARY.items():
        values = [one.values[measure] for one in evaluation.outcomes if measure in one.values]
        if values:
            share = f"{100 * sum(values) / len(values):.1f} %"
            facts.append((words, f"{sum(values):,.0f} of {len(values):,} ({share})"))
    first = [(line.means["Success@1"].mean, line.set) for line in sets if "Success@1" in line.means]
    weak = [
        f"{name} ({short(mean, 3)})" for mean, name in sorted(first) if mean < 1 and name != ALL
    ]
    if weak:
        facts.append(("right image first least often", ", ".join(weak[:3])))
    if evaluation.absent:
        text = f"{len(evaluation.absent):,}, which count as missed: no ranking can reach 1"
        facts.append(("right images that are not there", text))
    if evaluation.failed:
        facts.append(("query pictures left out", f"{len(evaluation.failed):,}"))
    return facts


def failures(evaluation: Evaluation) -> list[Outcome]:
    """The queries of searches that went wrong."""
    return [one for one in evaluation.outcomes if FALSE_ALARM in one.values and fault(one)]


def worst(evaluation: Evaluation) -> list[Outcome]:
    """The queries that went wrong most: false alarms, then what was not found, or late, then wrong
    places.
    """
    ordered = sorted(
        failures(evaluation),
        key=lambda outcome: (
            -outcome.values[FALSE_ALARM],
            outcome.values.get("RR", 1.0),
            -(outcome.corner_error or 0.0),
            outcome.query.id,
        ),
    )
    taken: Counter[str] = Counter()
    shown: list[Outcome] = []
    for outcome in ordered:
        if taken[outcome.query.set] < OF_A_SET and len(shown) < FAILURES:
            taken[outcome.query.set] += 1
            shown.append(outcome)
    return shown


def fault(outcome: Outcome) -> str:
    """What went wrong with a query, if anything did."""
    values, faults = outcome.values, []
    if values[FALSE_ALARM]:
        faults.append("false alarm")
    if values.get("Success@1") == 0:
        faults.append(
            "not found" if not values["RR"] else f"found at rank {round(1 / values['RR'])}"
        )
    elif values.get(PLACED) == 0:
        faults.append(
            "no place"
            if outcome.corner_error is None
            else f"corners wrong by {100 * outcome.corner_error:.1f} %"
        )
    return ", ".join(faults)


def failure_view(
    evaluation: Evaluation, outcome: Outcome, folder: str, stays: bool
) -> tuple[str, str, list[dict[str, Any]]]:
    """A failure as `failures.html` wants it: heading, fault, figures."""
    figures = failure_figures(evaluation, outcome, stays)
    heading = f"{outcome.query.set}: {outcome.query.id}"
    return heading, fault(outcome), [figure_view(figure, folder) for figure in figures]


def failure_figures(evaluation: Evaluation, outcome: Outcome, stays: bool) -> list[Figure]:
    """A failure as pictures: the query, the right image, and what was said instead."""
    query = outcome.query
    lines = [f"{outcome.feature_count:,} features"]
    figures = [Figure(query.id, query.path, None, "query", "Query", lines, stays)]
    for name in sorted(query.relevant)[:1]:
        outline = None if query.outline is None else np.array(query.outline)
        path = os.path.join(evaluation.folder, name)
        figures.append(Figure(name, path, outline, "right", "Right image"))
    found = list(enumerate(zip(outcome.ranking, outcome.matches, strict=False), 1))
    alarms = [each for each in found if each[1][1].verified and each[1][0] not in query.relevant]
    for rank, (name, match) in dict([*found[:1], *alarms[:2]]).items():
        figure = figure_of(rank, match)
        if name in query.relevant:
            figure = replace(figure, verdict=f"{figure.verdict}, the right image")
        else:
            kind = "wrong" if match.verified else figure.kind
            figure = replace(figure, kind=kind, verdict=f"{figure.verdict}, a wrong image")
        figures.append(figure)
    return figures


def sweep_cells(sweep: Sweep) -> list[list[str]]:
    """The trials of a sweep as a table."""
    cells = [["setting", "Success@1", "against present", "processor ms", "bytes an image"]]
    for trial in sweep.trials:
        against = difference_text(trial.difference) if trial.difference else ""
        cells.append(
            [
                trial.label,
                rate_text(trial.accuracy),
                against,
                f"{1000 * trial.seconds:.0f}",
                f"{trial.size_bytes:,.0f}",
            ]
        )
    return cells


def sweep_text(sweep: Sweep) -> str:
    """The trials of a sweep as text, ending in the recommendation."""
    queries, images = len(sweep.trials[0].values), sweep.image_count
    heading = f"{queries:,} queries among {images:,} images, one knob at a time:"
    return "\n".join([heading, "", cells_text(sweep_cells(sweep)), "", sweep.advice])


def write_sweep(path: str | os.PathLike[str], sweep: Sweep) -> None:
    """Write a page with the advice, the table and the plots of a sweep. Raises OutputError."""
    with Page(path, "bovw evaluate sweep") as page:
        page.add("What to do", render("text.html", kind="", text=sweep.advice))
        page.add("What was tried", render("tables.html", tables=[sweep_cells(sweep)]))
        # settings of a search alone leave the bytes as they are
        present = sweep.trials[0]
        sized = [
            one for one in sweep.trials if one is present or one.size_bytes != present.size_bytes
        ]
        times = [trial_point(sweep, one, 1000 * one.seconds) for one in sweep.trials]
        sizes = [trial_point(sweep, one, one.size_bytes / 1000) for one in sized]
        marked = "Success@1; ✓ is recommended"
        plots = [
            scatter(f"Accuracy and time: {marked}", "processor ms a search (median)", times),
            scatter(f"Accuracy and size: {marked}", "kB an image", sizes),
        ]
        page.add("Plots", render("plots.html", plots=plots))


def trial_point(sweep: Sweep, trial: Trial, cost: float) -> Point:
    """A trial as a point of a plot."""
    return Point(trial.label, cost, trial.accuracy, trial.label == sweep.choice)
