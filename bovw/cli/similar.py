"""The command that compares whole pictures."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ImageError, ParameterError, printable
from ..reporting import Failure
from .console import complain, detail, named_paths, parsed_box, parsed_limits, parsed_pairs, warn
from .networks import EmbedOption, EmbedWithOption, parsed_embedders, parsed_encoder
from .options import (
    FEATURE_PANEL,
    HOW,
    INDEX_NAME,
    OUTPUT,
    PICTURES,
    IndexOption,
    JsonOption,
    LimitOption,
    NulOption,
    RootOption,
    StrictOption,
    option,
    writable,
)
from .searching import query_files, report_title

if TYPE_CHECKING:
    from ..report.html import Page
    from ..similarity.result import SimilarResult

__all__ = ["similar"]


def similar(
    queries: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERIES",
            help="Pictures, folders of them, or ids of images; - reads them from stdin.",
        ),
    ] = None,
    box: Annotated[
        str | None,
        option(PICTURES, "Compare this part of the picture, in pixels.", value="X,Y,W,H"),
    ] = None,
    where: Annotated[
        list[str],
        option(PICTURES, "Only images with this in their metadata; repeatable.", value="KEY=VALUE"),
    ] = [],  # noqa: B006 - Typer's way; nobody changes it
    limit: LimitOption = [],  # noqa: B006
    strict: StrictOption = False,
    nul: NulOption = False,
    k: Annotated[int, option(OUTPUT, "Find so many images.", "-k", value="N", env="K", min=1)] = 10,
    as_json: JsonOption = False,
    report: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write a page with pictures of all answers here.",
            value="HTML",
            callback=writable,
        ),
    ] = None,
    by: Annotated[
        str,
        option(
            HOW,
            "vlad (details), colour, shape, hash, words, or an embedding of the index; or several "
            "with weights. fused is vlad=1,colour=.1,shape=.15.",
            value="MEASURE[=WEIGHT],...",
        ),
    ] = "fused",
    text: Annotated[
        str | None,
        option(HOW, "Words instead of a picture, for the embedding of --by.", value="WORDS"),
    ] = None,
    embed: EmbedOption = None,
    embed_with: EmbedWithOption = [],  # noqa: B006
    text_model: Annotated[
        Path | None,
        option(FEATURE_PANEL, "The half of a network that is for texts.", value="MODEL.onnx"),
    ] = None,
    tokenizer: Annotated[
        Path | None, option(FEATURE_PANEL, "The tokenizer.json beside that half.", value="JSON")
    ] = None,
    path: IndexOption = INDEX_NAME,
    root: RootOption = None,
) -> None:
    """Find the images that look like a picture as a whole: copies, and other views of a scene or
    thing. What is small in an image, and products that differ in a detail, are for search.
    """
    from ..image_index import ImageIndex
    from ..report.html import Page
    from ..similarity.similar import find_similar, find_similar_to_text

    if bool(queries) == (text is not None):
        raise ParameterError("QUERIES, --text: name pictures, or one text")
    names, failed = query_files(named_paths(queries or [], nul))
    encoder = parsed_encoder(text_model, tokenizer) if text is not None else None
    part, limits = parsed_box(box), parsed_limits(limit, strict)
    embedders = parsed_embedders(embed, embed_with)
    wanted: dict[str, Any] = {"k": k, "where": parsed_pairs("--where", where) or None}
    asked = names if text is None else [text]
    with (
        ImageIndex.open(path, picture_root=root) as source,
        Page(report, report_title(asked)) if report else nullcontext() as page,
    ):
        detail(f"{path}: {len(source):,} images")
        for name in asked:
            try:
                if encoder:
                    result = find_similar_to_text(source, name, encoder, by, **wanted)
                else:
                    result = find_similar(
                        source, name, by, box=part, embedders=embedders, limits=limits, **wanted
                    )
            except (ImageError, ParameterError) as error:
                if isinstance(error, ParameterError) and part is None:  # it is not of this query
                    raise
                failed = True
                reason = error.reason if isinstance(error, ImageError) else str(error)
                show_failure(Failure(name, reason), as_json, page)
                continue
            if result.note:
                warn(result.query, result.note)
            typer.echo(similar_line(result) if as_json else similar_text(result))
            steps = (f"{step} {seconds:.3f} s" for step, seconds in result.timings.items())
            detail(f"{printable(name)}: {', '.join(steps)}")
            if page:
                page.add(result.query, result.html(page.folder), result.facts)
    if failed:
        raise typer.Exit(1)


def show_failure(failure: Failure, as_json: bool, page: Page | None) -> None:
    """Say everywhere that there is no answer to a query, and why."""
    from ..report.html import failure_html

    complain(failure)
    if as_json:
        facts = {"query": failure.name, "matches": [], "error": failure.reason}
        typer.echo(json.dumps(facts))
    if page:
        page.add(failure.name, failure_html(failure.reason), failure.reason)


def similar_line(result: SimilarResult) -> str:
    """What looks like a picture as one line of JSON; images whose files are not there any more say
    so.
    """
    from .output import is_gone

    facts = result.to_dict()
    for each, match in zip(facts["matches"], result.matches, strict=True):
        each.update({"gone": True} if is_gone(match) else {})
    return json.dumps(facts, allow_nan=False)


def similar_text(result: SimilarResult) -> str:
    """What looks like a picture, for reading."""
    from .output import is_gone

    by = ", ".join(f"{name} {weight:g}" for name, weight in result.by.items())
    lines = [f"{printable(result.query)}: by {by}, {sum(result.timings.values()):.2f} s"]
    for rank, match in enumerate(result.matches, 1):
        gone = "  (its file is gone)" if is_gone(match) else ""
        lines.append(f"{rank:3d}  {match.similarity:6.3f}  {printable(match.name)}{gone}")
        if len(match.parts) > 1:
            lines.append(f"{'':13}{match.parts_text}")
    if not result.matches:
        lines.append("     no images")
    return "\n".join(lines)
