"""An evaluation for people: tables as text, and a page with tables, plots and the worst failures as
pictures.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..errors import printable
from ..report.html import Figure, Page, escaped, row
from ..report.plot import Point, bars, scatter
from ..search.result import figure_of
from .bootstrap import Estimate
from .saved import SIGNIFICANT, Contrast
from .scores import (
    FALSE_ALARM,
    NS,
    PLACED,
    VERIFIED,
    Evaluation,
    Outcome,
    SetScores,
    mean_name,
)
from .sweep import Sweep

__all__ = ["comparison_lines", "scores_text", "sweep_text", "write_scorecard", "write_sweep"]

# Columns of the tables, as far as they are known.
FIRST = ("Success@1", "Success@10", "AP", VERIFIED, PLACED, FALSE_ALARM)
RANKED = ("AP@100", "RR", "R@1", "R@10", "R@100", NS)
AT_K = tuple(f"{name}@{k}" for k in (1, 3, 5) for name in ("P", "R", "F1"))
REVISITOP = ("AP(revisitop)", "P(revisitop)@1", "P(revisitop)@5", "P(revisitop)@10")
# Failures on the page, in all and of one set.
FAILURES, OF_A_SET = 36, 3
EXPLAINED = {
    "Success@k": "a right image is among the first k",
    "R@k, P@k, F1@k": (
        "share of the right images that are among the first k; share of the first k that are "
        "right; their harmonic mean"
    ),
    "mAP, mAP@100": (
        "mean of the standard average precision over the whole ranking, and over its first 100 "
        "images"
    ),
    "MRR": "mean of 1 / rank of the first right image",
    NS: (
        "how many of the four views of an object, the query among them, are in the first four "
        "(0 to 4)"
    ),
    "mAP(revisitop), P(revisitop)@k": "as the revisited Oxford and Paris benchmarks compute them",
    VERIFIED: "a right image is among the first 10 and called verified",
    PLACED: (
        "the first image is right, and the mean error of the four corners is below 3 % of its "
        "longer side"
    ),
    FALSE_ALARM: (
        "a wrong image is among the first 10 and called verified; a copy that the truth does not "
        "name counts as wrong"
    ),
    "corners": (
        "median of the mean corner error, in % of the longer side, where the first image is right"
    ),
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
    return [REVISITOP] if evaluation.revisitop else [FIRST, RANKED, AT_K]


def table_cells(sets: Sequence[SetScores], columns: Sequence[str]) -> list[list[str]]:
    """The cells of a table, its heading first."""
    known = [name for name in columns if any(name in line.means for line in sets)]
    placed = columns == FIRST and any(line.corner_error is not None for line in sets)
    timed = columns in (FIRST, REVISITOP) and any(line.seconds is not None for line in sets)
    cells = [["set", "queries", *map(mean_name, known), *["corners"] * placed, *["ms"] * timed]]
    for line in sets:
        means = [rate_text(line.means.get(name)) for name in known]
        corners = [
            "-" if line.corner_error is None else f"{100 * line.corner_error:.2f} %"
        ] * placed
        seconds = ["-" if line.seconds is None else f"{1000 * line.seconds:.0f}"] * timed
        cells.append([line.set, f"{line.queries:,}", *means, *corners, *seconds])
    return cells


def rate_text(rate: Estimate | None) -> str:
    """A mean with its interval."""
    if rate is None:
        return "-"
    interval = ""
    if rate.low is not None and rate.high is not None:
        interval = f" ({short(rate.low, 2)}-{short(rate.high, 2)})"
    return short(rate.mean, 3) + interval


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


def cells_html(cells: Sequence[Sequence[str]]) -> str:
    """A table as HTML."""
    rows = []
    for number, line in enumerate(cells):
        tag = "td" if number else "th"
        rows.append("".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in line))
    return (
        '<div class="bovw"><table>'
        + "".join(f"<tr>{line}</tr>" for line in rows)
        + "</table></div>\n"
    )


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
    path: str | os.PathLike[str], title: str, evaluation: Evaluation, sets: Sequence[SetScores]
) -> None:
    """Write a page with the tables, the plots and the worst failures of an evaluation. Raises
    OutputError.
    """
    with Page(path, title) as page:
        page.write(f'<div class="bovw"><h1>{escaped(title)}</h1></div>\n')
        for columns in tables_of(evaluation):
            page.write(cells_html(table_cells(sets, columns)))
        page.write('<div class="bovw"><p>Means with 95 % intervals.</p><dl>')
        for name, text in EXPLAINED.items():
            page.write(f"<dt>{escaped(name)}</dt><dd>{escaped(text)}</dd>")
        page.write("</dl></div>\n")
        page.write('<div class="bovw row">')
        for name in (*tables_of(evaluation)[0][:1], VERIFIED, PLACED, FALSE_ALARM):
            rates = [(line.set, line.means[name]) for line in sets if name in line.means]
            if rates:
                page.write(bars(mean_name(name), rates))
        page.write("</div>\n")
        shown = worst(evaluation)
        if shown:
            heading = f"The worst {len(shown)} failures, at most {OF_A_SET} of a set"
            page.write(f'<div class="bovw"><h1>{heading}</h1></div>\n')
        for outcome in shown:
            page.write(failure_row(evaluation, outcome))


def worst(evaluation: Evaluation) -> list[Outcome]:
    """The queries that went wrong most: false alarms, then what was not found, or late, then wrong
    places.
    """
    failures = [
        outcome
        for outcome in evaluation.outcomes
        if FALSE_ALARM in outcome.values and fault(outcome)
    ]
    failures.sort(
        key=lambda outcome: (
            -outcome.values[FALSE_ALARM],
            outcome.values.get("RR", 1.0),
            -(outcome.corner_error or 0.0),
            outcome.query.id,
        )
    )
    taken: Counter[str] = Counter()
    shown: list[Outcome] = []
    for outcome in failures:
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


def failure_row(evaluation: Evaluation, outcome: Outcome) -> str:
    """A failure as a row of pictures: the query, the right image, and what was said instead."""
    query = outcome.query
    figures = [Figure(query.path, None, "query", "query", [f"{outcome.feature_count:,} features"])]
    for name in sorted(query.relevant)[:1]:
        outline = None if query.outline is None else np.array(query.outline)
        path = os.path.join(evaluation.folder, name)
        figures.append(Figure(path, outline, "query", "right", [name]))
    found = list(enumerate(zip(outcome.ranking, outcome.matches, strict=False), 1))
    alarms = [
        (rank, match)
        for rank, (name, match) in found
        if match.verified and name not in query.relevant
    ]
    first = [(rank, match) for rank, (_, match) in found[:1]]
    for rank, match in dict([*first, *alarms[:2]]).items():
        figures.append(figure_of(rank, match))
    return row(f"{query.set}: {query.id}", fault(outcome), figures)


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
    """Write a page with the table and the plots of a sweep. Raises OutputError."""
    title = "bovw evaluate sweep"
    with Page(path, title) as page:
        page.write(f'<div class="bovw"><h1>{title}</h1><p>{escaped(sweep.advice)}</p></div>\n')
        page.write(cells_html(sweep_cells(sweep)))
        page.write('<div class="bovw row">')
        for title, unit, cost in (
            ("Accuracy and time", "processor ms a search (median)", "ms"),
            ("Accuracy and size", "kB an image", "kB"),
        ):
            timed = cost == "ms"
            # settings of a search alone leave the bytes as they are
            trials = [
                one
                for one in sweep.trials
                if timed or one is sweep.trials[0] or one.size_bytes != sweep.trials[0].size_bytes
            ]
            points = [
                Point(
                    one.label,
                    1000 * one.seconds if timed else one.size_bytes / 1000,
                    one.accuracy,
                    one.label == sweep.choice,
                )
                for one in trials
            ]
            page.write(scatter(f"{title}: Success@1; red is recommended", unit, points))
        page.write("</div>\n")
