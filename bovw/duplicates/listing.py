"""Groups of duplicates as files: a table, a page, and a shell script that would remove copies."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError, absolute_path, printable
from ..report.html import Figure, Page, result_html
from .report import DuplicateGroup, DuplicateImage, DuplicateReport, GroupMember

__all__ = ["csv_text", "related_text", "size_text", "write_page", "write_script"]

COLUMNS = (
    *("group", "role", "image", "id", "width", "height", "bytes", "sha256"),
    *("relation", "text", "kind", "rotation", "scale", "mirrored", "edited"),
    *("share", "share_of_kept", "inliers", "hash_bits", "correlation"),
)
HEAD = """#!/bin/sh
# Written by `bovw duplicates`. Nothing has been removed yet: read this file, delete the lines of
# what you want to have, then run it with `sh`.
#
# Each group names the picture that is kept, and removes the others only while that one is there;
# what is said to be identical only while it is so, byte for byte.
# {count} files, {size} bytes.

kept() {{ [ -f "$1" ] || {{ echo "not there, so its copies stay: $1" >&2; return 1; }}; }}
same() {{ cmp -s -- "$1" "$2" || {{ echo "not identical, so it stays: $2" >&2; return 1; }}; }}
"""


def csv_text(report: DuplicateReport) -> str:
    """A table: a line of titles, and one an image, the kept one of each group first. Names are
    escaped where they have letters that a terminal would obey.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for number, group in enumerate(report.groups, 1):
        for role, facts in rows_of(group):
            facts = {**facts, "image": printable(facts["image"]), "id": printable(facts["id"])}
            table.writerow({"group": number, "role": role, **facts})
    return text.getvalue()


def rows_of(group: DuplicateGroup) -> Iterator[tuple[str, dict[str, str]]]:
    """The images of a group: "keep", "copy", "stay" or "near", and what is known of each."""
    yield "keep", group.kept.to_dict()
    for member in group.members:
        yield member.role, {**member.image.to_dict(), **member.relation.to_dict()}


def write_script(path: str | os.PathLike[str], report: DuplicateReport) -> None:
    """Write a shell script that would remove the members of all groups, but for those that stay.
    It is not run, and says what each line is about; paths are absolute and quoted.

    Raises:
        OutputError: the file cannot be written.
    """
    removable = [member for group in report.groups for member in group.removable]
    count, size = f"{len(removable):,}", f"{report.removable_bytes:,}"
    parts = [HEAD.format(count=count, size=size).encode()]
    for number, group in enumerate(report.groups, 1):
        if not group.kept.path or not group.removable:
            continue
        kept = quoted(group.kept.path)
        parts.append(f"\n# group {number}: keep {printable(group.kept.path)}\n".encode())
        parts.append(b"if kept " + kept + b"; then\n")
        parts += [b"    " + command(member, kept) + b"\n" for member in group.removable]
        parts.append(b"fi\n")
    write_bytes(path, b"".join(parts))


def command(member: GroupMember, kept: bytes) -> bytes:
    """The line that removes a member."""
    path = quoted(member.image.path)
    comment = f"  # {member.relation.text()}".encode()
    check = b"same " + kept + b" " + path + b" && " if member.relation.kind == "exact" else b""
    return check + b"rm -- " + path + comment


def quoted(path: str) -> bytes:
    """A path for the shell, absolute, byte for byte."""
    return os.fsencode(shlex.quote(absolute_path(path)))


def write_page(path: str | os.PathLike[str], report: DuplicateReport) -> None:
    """Write a page with the pictures of all groups; nothing in it comes from elsewhere.

    Raises:
        OutputError: the file cannot be written.
    """
    with Page(path, "bovw duplicates") as page:
        for number, group in enumerate(report.groups, 1):
            content = result_html(
                facts=related_text(group),
                shown=[kept_figure(group), *map(member_figure, group.members)],
                fold="",
                folded=[],
                folder=page.folder,
            )
            heading = f"{number}: {printable(group.kept.name)}"
            page.add(heading, content, f"{len(group.members)} more")


def related_text(group: DuplicateGroup) -> str:
    """Which groups a chain of agreements leads to, in words; empty if to none."""
    if not group.related:
        return ""
    return f"Some of these agree with some of group {', '.join(map(str, group.related))}."


def kept_figure(group: DuplicateGroup) -> Figure:
    """The picture that is kept."""
    kept = group.kept
    return Figure(printable(kept.name), kept.path or None, None, "query", "keep", [size_text(kept)])


def member_figure(member: GroupMember) -> Figure:
    """A picture that is not kept, or need not be."""
    image, relation = member.image, member.relation
    return Figure(
        name=printable(image.name),
        path=image.path or None,
        outline=None,
        kind="unsure" if member.role == "near" else "verified",
        verdict=relation.text(),
        lines=[size_text(image), *(["stays"] if member.role == "stay" else [])],
    )


def size_text(image: DuplicateImage) -> str:
    """The size of a picture and of its file in words."""
    width, height = image.size
    return f"{width} x {height}, {image.size_bytes:,} bytes"


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file. Raises OutputError."""
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise OutputError(os.fspath(path), f"cannot be written: {error.strerror}") from error
