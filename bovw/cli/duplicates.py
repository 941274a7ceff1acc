"""The command that groups duplicates: duplicates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import BovwError, ParameterError, printable
from .console import explained, fail, note, progress
from .options import (
    HOW,
    INDEX_NAME,
    OUTPUT,
    PICTURES,
    IndexOption,
    JsonOption,
    RootOption,
    option,
    writable,
)

if TYPE_CHECKING:
    from ..duplicates.relation import Kind
    from ..duplicates.report import DuplicateImage, DuplicateReport

__all__ = ["duplicates"]

KEEPING = "What is kept"


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
        option(OUTPUT, "Write a page with the pictures here.", value="HTML", callback=writable),
    ] = None,
    delete_script: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write a shell script here that would remove what need not be kept. Read it first.",
            value="FILE",
            callback=writable,
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
    from ..image_index import ImageIndex

    try:
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
        with ImageIndex.open(path, picture_root=root) as index, progress() as bar:
            if against is None:
                found = find_duplicates(index, options, progress=bar)
            else:
                with ImageIndex.open(against) as other:
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
