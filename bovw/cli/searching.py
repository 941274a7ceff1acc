"""The commands that ask: search, compare."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import ImageError, ParameterError, printable
from ..reporting import Failure
from .console import (
    complain,
    detail,
    named_paths,
    parsed_box,
    parsed_limits,
    parsed_pairs,
    warn,
)
from .opening import opened_searcher
from .options import (
    FEATURES,
    HOW,
    INDEX_NAME,
    OUTPUT,
    PICTURES,
    DrawOption,
    ExpandOption,
    FalseAlarmsOption,
    IndexOption,
    JsonOption,
    LimitOption,
    MirrorOption,
    NulOption,
    RootOption,
    ScoringOption,
    StrictOption,
    ThoroughOption,
    VerifyOption,
    WordsOption,
    option,
    writable,
)

if TYPE_CHECKING:
    from ..search.options import Scoring, Thorough
    from ..search.result import SearchResult

__all__ = ["compare", "query_files", "report_title", "search"]


def search(
    queries: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERIES",
            help="Query pictures, and folders of them; - reads paths from stdin.",
        ),
    ],
    crop: Annotated[
        bool,
        option(
            PICTURES,
            "The query is a part of what is sought: the rest of an image does not count.",
            "--crop",
            env="CROP",
        ),
    ] = False,
    box: Annotated[
        str | None,
        option(PICTURES, "Use this part of the query picture, in pixels.", value="X,Y,W,H"),
    ] = None,
    where: Annotated[
        list[str],
        option(PICTURES, "Only images with this in their metadata; repeatable.", value="KEY=VALUE"),
    ] = [],  # noqa: B006 - Typer's way; nobody changes it
    limit: LimitOption = [],  # noqa: B006
    strict: StrictOption = False,
    nul: NulOption = False,
    k: Annotated[int, option(OUTPUT, "Find so many images.", "-k", value="N", env="K", min=1)] = 10,
    everything: Annotated[
        bool,
        option(
            OUTPUT,
            "Show all of them, not only the first 3 that nothing verifies.",
            "--all",
            "-a",
            env="ALL",
        ),
    ] = False,
    certain: Annotated[
        bool, option(OUTPUT, "Show only what is verified.", "--verified", env="VERIFIED")
    ] = False,
    exit_code: Annotated[
        bool,
        option(
            OUTPUT,
            "Exit with 1 if nothing is verified for any query.",
            "--exit-code",
            env="EXIT_CODE",
        ),
    ] = False,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, option(OUTPUT, "As CSV: one line an answer.", "--csv")] = False,
    draw: DrawOption = None,
    report: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write a page with pictures of all answers here.",
            value="HTML",
            callback=writable,
        ),
    ] = None,
    instances: Annotated[
        int,
        option(
            OUTPUT,
            "Show up to so many places in an image that shows the query several times.",
            value="N",
            env="INSTANCES",
            min=1,
        ),
    ] = 1,
    thorough: ThoroughOption = "never",
    expand: ExpandOption = False,
    sisters: Annotated[
        bool,
        option(
            HOW,
            "Mark images that verify each other, and put the one first that the query shows.",
            "--sisters",
            env="SISTERS",
        ),
    ] = False,
    mirror: MirrorOption = True,
    false_alarms: FalseAlarmsOption = 0.01,
    words: WordsOption = 4,
    verify: VerifyOption = 100,
    scoring: ScoringOption = "hamming",
    path: IndexOption = INDEX_NAME,
    root: RootOption = None,
) -> None:
    """Find the images that show the same thing as a picture or, with --crop, that contain it."""
    from ..report.html import Page, failure_html
    from ..search.options import SearchOptions
    from .output import answers_as, is_sure, write_drawing

    options = SearchOptions(
        k=k,
        crop=crop,
        scoring=cast("Scoring", scoring),
        verify_top=verify,
        words_per_feature=words,
        mirror=mirror,
        instances=instances,
        false_alarms=false_alarms,
        thorough=cast("Thorough", thorough),
        expand=expand,
        sisters=sisters,
    )
    if crop and expand:
        raise ParameterError("--expand: is for whole pictures, not for --crop")
    answers = answers_as(as_json, as_csv, everything, certain)
    part, limits = parsed_box(box), parsed_limits(limit, strict)
    names, failed = query_files(named_paths(queries, nul))
    wanted, found = parsed_pairs("--where", where), False
    require_drawing(draw, len(names))
    with (
        opened_searcher(path, root) as source,
        Page(report, report_title(names)) if report else nullcontext() as page,
    ):
        detail(f"{path}: {len(source):,} images")
        for name in names:
            try:
                result = source.search(name, options, box=part, where=wanted or None, limits=limits)
            except (ImageError, ParameterError) as error:
                failed = True
                reason = error.reason if isinstance(error, ImageError) else str(error)
                complain(Failure(name, reason))
                answers.fail(Failure(name, reason))
                if page:
                    page.add(name, failure_html(reason), reason)
                continue
            warn_about(result)
            sure = [match for match in result.matches if is_sure(match)]
            found = found or bool(sure)
            if certain:
                result = replace(result, matches=sure)
            answers.show(result)
            steps = (f"{step} {seconds:.3f} s" for step, seconds in result.timings.items())
            detail(f"{printable(name)}: {', '.join(steps)}")
            if draw:
                write_drawing(draw, result)
            if page:
                page.add(result.query, result.html(page.folder), result.facts)
    if failed or (exit_code and not found):
        raise typer.Exit(1)


def query_files(paths: Sequence[str]) -> tuple[list[str], bool]:
    """The queries that some paths stand for: a folder stands for the picture files below it. And
    whether something could not be looked at, which is named.
    """
    from ..pictures.folders import find_images

    names: list[str] = []
    problems: list[Failure] = []
    for path in paths:
        if not os.path.isdir(path):
            names.append(path)
            continue
        found = find_images(path)
        names += found.files
        problems += found.problems
        if not found.files:
            problems.append(Failure(path, "there are no pictures in this folder"))
    for problem in problems:
        complain(problem)
    return names, bool(problems)


def warn_about(result: SearchResult) -> None:
    """Say what makes an answer say less than it seems to."""
    if result.note:
        warn(result.query, result.note)


def report_title(queries: list[str]) -> str:
    """The title of a page of answers."""
    return f"What bovw found for {len(queries):,} {'query' if len(queries) == 1 else 'queries'}"


def require_drawing(path: Path | None, queries: int) -> None:
    """Raise an error unless a match can be drawn here, if it is to be: before anything is
    searched.
    """
    from ..search.drawing import require_output

    if path is None:
        return
    if queries != 1:
        raise ParameterError(f"--draw: takes one query, not {queries}")
    require_output(path)


def compare(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="A picture.")],
    second: Annotated[
        str,
        typer.Argument(
            metavar="SECOND", help="Another picture of the same thing, or a part of it."
        ),
    ],
    as_json: JsonOption = False,
    draw: DrawOption = None,
    tolerance: Annotated[
        int,
        option(
            HOW,
            "Pixels by which things may have moved without being different.",
            value="PIXELS",
            min=0,
        ),
    ] = 2,
    sensitivity: Annotated[
        float,
        option(
            HOW,
            "Above 1 for fainter differences, below 1 for strong ones only.",
            value="NUMBER",
            min=0.1,
            max=10,
        ),
    ] = 1.0,
    box: Annotated[
        str | None,
        option(PICTURES, "Compare this part of SECOND, in pixels.", value="X,Y,W,H"),
    ] = None,
    mirror: MirrorOption = True,
    false_alarms: FalseAlarmsOption = 0.01,
    features: Annotated[str, FEATURES] = "rootsift",
) -> None:
    """Compare two pictures without an index: is the second in the first, where, and where do they
    differ?
    """
    from ..features.vocabulary import Vocabulary
    from ..search.comparison import compare_pictures
    from ..search.drawing import draw_comparison, require_output, save_picture
    from .output import comparison_line, comparison_text

    if draw:
        require_output(draw)
    vocabulary = Vocabulary.shipped(features)
    comparison = compare_pictures(
        first,
        second,
        vocabulary,
        tolerance=tolerance,
        sensitivity=sensitivity,
        mirror_too=mirror,
        false_alarms=false_alarms,
        box=parsed_box(box),
    )
    for name, note in zip((first, second), comparison.notes, strict=True):
        if note:
            warn(name, note)
    typer.echo((comparison_line if as_json else comparison_text)(first, second, comparison))
    if draw:
        save_picture(draw, draw_comparison(first, second, comparison))
