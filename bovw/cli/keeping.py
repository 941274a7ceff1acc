"""The commands that keep an index: list, info, check, remove, relocate, merge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ParameterError, printable
from .console import complain, named_paths, note, print_path, progress, say
from .options import (
    INDEX_NAME,
    OUTPUT,
    PICTURES,
    IndexOption,
    JsonOption,
    NulOption,
    WaitOption,
    option,
)

if TYPE_CHECKING:
    from ..searcher import IndexInfo

__all__ = ["check", "info", "list_images", "merge", "remove"]


def remove(
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTOS",
            help="Pictures and folders, on disk or gone; - reads paths from stdin.",
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        option(PICTURES, "An image by its id; repeatable.", "--id", value="ID"),
    ] = None,
    path: IndexOption = INDEX_NAME,
    wait: WaitOption = False,
    nul: NulOption = False,
) -> None:
    """Remove images from an index. The picture files are not touched."""
    from ..image_index import ImageIndex

    if not photos and not ids:
        raise ParameterError("PHOTOS: name pictures or folders, or images by --id")
    with ImageIndex.open(path) as target:
        reports = []
        if photos:
            reports.append(target.remove(named_paths(photos, nul), wait=wait))
        if ids:
            reports.append(target.remove_images(ids, wait=wait))
        images = len(target)
    failed = [problem for report in reports for problem in report.failed]
    for problem in failed:
        complain(problem)
    removed = sum(report.removed for report in reports)
    say(f"{path}: {images:,} images: {removed} removed")
    if failed:
        raise typer.Exit(1)


def merge(path: IndexOption = INDEX_NAME, wait: WaitOption = False) -> None:
    """Merge an index into one segment and drop what is deleted. Adding does as much as searches
    need by itself.
    """
    from ..image_index import ImageIndex

    with ImageIndex.open(path) as target:
        before = target.info()
        target.merge(wait=wait)
        after = target.info()
    segments = f"{before.segment_count} segments -> {after.segment_count}"
    sizes = f"{before.size_bytes:,} bytes -> {after.size_bytes:,}"
    say(f"{path}: {segments}, {sizes}")


def info(path: IndexOption = INDEX_NAME, as_json: JsonOption = False) -> None:
    """Say what an index is: images, features, segments, bytes, vocabulary, generation."""
    from ..image_index import ImageIndex

    with ImageIndex.open(path) as source:
        facts = info_facts(source.info())
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else printable(str(value))
        typer.echo(f"{name.replace('_', ' '):18s} {shown}")


def list_images(
    path: IndexOption = INDEX_NAME,
    as_json: Annotated[
        bool,
        option(
            OUTPUT, "One JSON object an image and line, with what is known of the file.", "--json"
        ),
    ] = False,
    nul: Annotated[
        bool,
        option(OUTPUT, "Print the exact paths, each ended by NUL.", "-0"),
    ] = False,
) -> None:
    """List the images of an index."""
    from ..image_index import ImageIndex
    from ..index.record import record_facts

    with ImageIndex.open(path) as source:
        for record in source.records():
            if as_json:
                typer.echo(json.dumps(record_facts(record)))
            else:
                print_path(record.path or record.id, nul)


def check(path: IndexOption = INDEX_NAME) -> None:
    """Read all of an index and say whether it is sound, or which file is damaged and what that
    costs.
    """
    from ..index.check import check_index

    with progress() as bar:
        report = check_index(path, bar)
    for name in report.leftovers:
        text = "left over from a crash; the next run of `bovw index` removes it"
        note(f"{printable(name)}: {text}")
    for damage in report.damages:
        reason = f"{printable(damage.reason)}; {damage.lost:,} images cannot be trusted"
        typer.echo(f"{printable(damage.file)}: {reason}")
    if report.damages:
        raise typer.Exit(1)
    say(f"{path}: sound: {report.image_count:,} images, {report.bytes_read:,} bytes read")


def info_facts(facts: IndexInfo) -> dict[str, Any]:
    """What an index is, as the command names it."""
    return {
        "images": facts.image_count,
        "deleted": facts.deleted_count,
        "features": facts.feature_count,
        "segments": facts.segment_count,
        "bytes": facts.size_bytes,
        "bytes_per_feature": round(facts.bytes_per_feature, 2),
        "generation": facts.generation,
        "root": facts.picture_root,
        "vocabulary": facts.vocabulary,
        "words": facts.word_count,
        "features_kind": facts.spec.kind,
        "max_features": facts.spec.max_features,
        "max_side": facts.spec.max_side,
        "embeddings": ", ".join(facts.embeddings),
    }
