"""The commands that compare whole pictures: similar, duplicates."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import BovwError, ImageError, ParameterError, printable
from ..reporting import Failure
from .console import (
    complain,
    detail,
    explained,
    fail,
    named_paths,
    note,
    parsed_box,
    parsed_limits,
    parsed_pairs,
    progress,
    warn,
)
from .networks import EmbedOption, EmbedWithOption, parsed_embedders, parsed_encoder
from .opening import opened_searcher, opened_whole
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
    from ..duplicates.relation import Kind
    from ..duplicates.report import DuplicateImage, DuplicateReport
    from ..report.html import Page
    from ..similarity.result import SimilarResult

__all__ = ["duplicates", "similar"]

KEEPING = "What is kept"


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
        opened_searcher(path, root) as source,
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


def duplicates(
    path: IndexOption = INDEX_NAME,
    against: Annotated[
        Path | None,
        option(PICTURES, "Which images are copies of some of this other index?", value="INDEX"),
    ] = None,
    kind: Annotated[
        str,
        option(
            HOW,
            "exact: same bytes; same: same picture; part: one is a part of the other; or all.",
            value="[exact|same|part|all]",
            autocompletion=lambda: ["exact", "same", "part", "all"],
        ),
    ] = "all",
    thorough: Annotated[
        bool,
        option(HOW, "Compare all that have words in common: finds more, slower.", "--thorough"),
    ] = False,
    near: Annotated[
        bool,
        option(HOW, "Show also what shows the same thing without being a copy.", "--near"),
    ] = False,
    ignore: Annotated[
        Path | None,
        option(
            PICTURES, "Pairs that are no duplicates: two paths a line, tab between.", value="FILE"
        ),
    ] = None,
    prefer: Annotated[
        list[str],
        option(KEEPING, "Files to keep, as in .gitignore; repeatable.", value="PATTERN"),
    ] = [],  # noqa: B006 - Typer's way; nobody changes it
    protect: Annotated[
        list[str],
        option(KEEPING, "Files that stay in any case; repeatable.", value="PATTERN"),
    ] = [],  # noqa: B006
    reference: Annotated[
        list[str],
        option(
            KEEPING,
            "A folder of files that stay, and are kept rather than others; repeatable.",
            value="FOLDER",
        ),
    ] = [],  # noqa: B006
    as_json: JsonOption = False,
    as_csv: Annotated[bool, option(OUTPUT, "As CSV, one line an image.", "--csv")] = False,
    report: Annotated[
        Path | None,
        option(OUTPUT, "Write a page with the pictures here.", value="HTML"),
    ] = None,
    delete_script: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write a shell script here that would remove what need not be kept. Read it first.",
            value="FILE",
        ),
    ] = None,
    root: RootOption = None,
) -> None:
    """Group the images that are copies of one another, or of parts of one another: resized,
    recompressed, turned, mirrored, cropped, edited. Nothing is deleted. Ends as diff does: with 0
    if there are no duplicates, 1 if there are, 2 if something is wrong.
    """
    from ..duplicates.finding import find_duplicates
    from ..duplicates.listing import csv_text, write_page, write_script
    from ..duplicates.options import DuplicateOptions, read_ignored

    try:
        for file in (report, delete_script):
            writable(file)
        if as_json and as_csv:
            raise ParameterError("--json, --csv: take one of them")
        options = DuplicateOptions(
            kind=cast("Kind", kind),
            thorough=thorough,
            near=near,
            prefer=prefer,
            protect=protect,
            reference=reference,
            ignore=read_ignored(ignore) if ignore else (),
        )
        with opened_whole(path, root) as index, progress() as bar:
            if against is None:
                found = find_duplicates(index, options, progress=bar)
            else:
                with opened_whole(against) as other:
                    found = find_duplicates(index, options, against=other, progress=bar)
        for text in found.notes:
            note(text)
        if as_csv:
            typer.echo(csv_text(found), nl=False)
        else:
            typer.echo(json.dumps(found.to_dict()) if as_json else duplicates_text(found))
        if report:
            write_page(report, found)
            note(f"{report}: page with all groups")
        if delete_script:
            write_script(delete_script, found)
            note(f"{delete_script}: script, to be read before it is run")
    except BovwError as error:
        fail(explained(error)[0], 2)
    if found.duplicate_count:
        raise typer.Exit(1)


def duplicates_text(report: DuplicateReport) -> str:
    """Groups of duplicates for reading."""
    from ..duplicates.listing import related_text

    lines = list[str]()
    for number, group in enumerate(report.groups, 1):
        lines.append(f"{number:3d}  keep  {image_text(group.kept)}")
        lines += [
            f"     {member.role:4s}  {image_text(member.image)}: {member.relation.text()}"
            for member in group.members
        ]
        if group.related:
            lines.append(f"     {related_text(group)}")
    counts = f"{report.image_count:,} images, {report.compared:,} compared now"
    if report.duplicate_count:
        found = f"{report.duplicate_count:,} duplicates in {report.group_count:,} groups"
        size = f"{report.removable_bytes:,} bytes in files that need not be kept"
        counts += f": {found}, {size}"
    else:
        counts += ": no duplicates"
    return "\n".join([*lines, counts])


def image_text(image: DuplicateImage) -> str:
    """An image of a group in a line."""
    from ..duplicates.listing import size_text

    return f"{printable(image.name)}  {size_text(image)}"
