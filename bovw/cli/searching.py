"""The commands that ask: search, compare."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import ImageError, ParameterError
from ..reporting import Failure
from .console import (
    FalseAlarmsOption,
    IndexOption,
    LimitOption,
    NulOption,
    RootOption,
    StrictOption,
    ThoroughOption,
    complain,
    named_paths,
    parsed_box,
    parsed_limits,
    parsed_pairs,
    warn,
)

if TYPE_CHECKING:
    from ..search.options import Scoring, Thorough
    from ..search.result import SearchResult

__all__ = ["compare", "search"]


def search(
    queries: Annotated[list[str], typer.Argument(help="Query pictures; - reads paths from stdin.")],
    path: IndexOption = Path("index.bovw"),
    crop: Annotated[
        bool,
        typer.Option(
            "--crop",
            help="The query is a part of what is sought: the rest of an image does not count.",
        ),
    ] = False,
    box: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Use this part of the query picture, in pixels."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Show so many images.")] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a query and line.")
    ] = False,
    draw: Annotated[
        Path | None, typer.Option(help="Write a picture of the best match of a query here.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="Write a page with pictures of all matches here."),
    ] = None,
    scoring: Annotated[
        str, typer.Option(help="hamming, or tfidf: the textbook baseline.")
    ] = "hamming",
    verify: Annotated[
        int, typer.Option(min=0, help="Check the geometry of so many candidates.")
    ] = 100,
    words: Annotated[
        int, typer.Option(min=1, help="Nearest words a feature: more finds more, and takes longer.")
    ] = 4,
    mirror: Annotated[
        bool, typer.Option("--mirror/--no-mirror", help="Try the query mirrored as well.")
    ] = True,
    instances: Annotated[
        int,
        typer.Option(
            min=1, help="Show up to so many places in an image that shows the query several times."
        ),
    ] = 1,
    false_alarms: FalseAlarmsOption = 0.01,
    thorough: ThoroughOption = "never",
    expand: Annotated[
        bool,
        typer.Option(
            "--expand",
            help="Ask again with what verified images show: more views, twice the time.",
        ),
    ] = False,
    sisters: Annotated[
        bool,
        typer.Option(
            "--sisters",
            help="Mark images that verify each other, and put the one first that the query shows.",
        ),
    ] = False,
    where: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE", help="Only images with this in their metadata; repeatable."
        ),
    ] = [],  # noqa: B006 - Typer's way; nobody changes it
    limit: LimitOption = [],  # noqa: B006
    strict: StrictOption = False,
    root: RootOption = None,
    nul: NulOption = False,
) -> None:
    """Find the images that show the same thing as a picture or, with --crop, that contain it."""
    from ..image_index import ImageIndex
    from ..report.html import Page, failure_html
    from ..search.options import SearchOptions
    from .output import json_line, report_text, write_drawing

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
    part, limits = parsed_box(box), parsed_limits(limit, strict)
    names, wanted = named_paths(queries, nul), parsed_pairs("--where", where)
    if draw:
        require_drawing(draw, len(names))
    failed = False
    with (
        ImageIndex.open(path, picture_root=root) as source,
        Page(report, report_title(names)) if report else nullcontext() as page,
    ):
        for name in names:
            try:
                result = source.search(name, options, box=part, where=wanted or None, limits=limits)
            except (ImageError, ParameterError) as error:
                reason = error.reason if isinstance(error, ImageError) else str(error)
                failed = True
                complain(Failure(name, reason))
                if as_json:
                    nothing = {"query": name, "features": 0, "seconds": {}, "matches": []}
                    typer.echo(json.dumps({**nothing, "error": reason}))
                if page:
                    page.add(name, failure_html(reason), reason)
                continue
            warn_about(result)
            typer.echo(json_line(result) if as_json else report_text(result))
            if draw:
                write_drawing(draw, result)
            if page:
                page.add(result.query, result.html(page.folder), result.facts)
    if failed:
        raise typer.Exit(1)


def warn_about(result: SearchResult) -> None:
    """Say what is odd about a query."""
    if not result.feature_count:
        warn(result.query, "no features (blank or very smooth), so nothing can match")
    if result.note:
        warn(result.query, result.note)


def report_title(queries: list[str]) -> str:
    """The title of a page of answers."""
    return f"What bovw found for {len(queries):,} {'query' if len(queries) == 1 else 'queries'}"


def require_drawing(path: Path, queries: int) -> None:
    """Raise an error unless a match can be drawn here: before anything is searched."""
    from ..search.drawing import require_output

    if queries != 1:
        raise ParameterError(f"--draw: takes one query, not {queries}")
    require_output(path)


def compare(
    first: Annotated[str, typer.Argument(help="A picture.")],
    second: Annotated[
        str, typer.Argument(help="Another picture of the same thing, or a part of it.")
    ],
    tolerance: Annotated[
        int,
        typer.Option(min=0, help="Pixels by which things may have moved without being different."),
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    draw: Annotated[
        Path | None, typer.Option(help="Write a picture of both, with the differences, here.")
    ] = None,
    features: Annotated[str, typer.Option(help="rootsift or orb.")] = "rootsift",
    mirror: Annotated[
        bool, typer.Option("--mirror/--no-mirror", help="Try the second mirrored as well.")
    ] = True,
    false_alarms: FalseAlarmsOption = 0.01,
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
        first, second, vocabulary, tolerance=tolerance, mirror_too=mirror, false_alarms=false_alarms
    )
    typer.echo((comparison_line if as_json else comparison_text)(first, second, comparison))
    if draw:
        save_picture(draw, draw_comparison(first, second, comparison))
