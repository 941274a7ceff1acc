"""The commands that look after an index and its vocabulary: list, info, check, remove, relocate,
merge, upgrade, train-vocab.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OutputError, ParameterError, VocabularyError, printable
from ..reporting import Failure
from .console import (
    Failures,
    complain,
    name_removed,
    named_paths,
    note,
    parsed_limits,
    progress,
    say,
    say_passed_over,
)
from .opening import opened_index, opened_searcher, require_index
from .options import (
    CORES,
    DRY,
    FEATURE_PANEL,
    FEATURES,
    INDEX_NAME,
    OUTPUT,
    PHOTOS,
    PICTURES,
    DryRunOption,
    IndexOption,
    JobsOption,
    JsonOption,
    LimitOption,
    NulOption,
    ReportErrorsOption,
    WaitOption,
    option,
)

if TYPE_CHECKING:
    from ..searcher import IndexInfo

__all__ = ["check", "info", "list_images", "merge", "relocate", "remove", "train_vocab", "upgrade"]


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
    dry_run: DryRunOption = False,
    wait: WaitOption = False,
    nul: NulOption = False,
) -> None:
    """Remove images from an index. The picture files are not touched."""

    if not photos and not ids:
        raise ParameterError("PHOTOS: name pictures or folders, or images by --id")
    with opened_index(path) as target:
        reports = []
        if photos:
            reports.append(target.remove(named_paths(photos, nul), dry_run=dry_run, wait=wait))
        if ids:
            reports.append(target.remove_images(ids, dry_run=dry_run, wait=wait))
        images = len(target)
    failed = [problem for report in reports for problem in report.failed]
    for problem in failed:
        complain(problem)
    gone = sorted({name for report in reports for name in report.gone})
    name_removed(gone, dry_run)
    removed = len(gone) if dry_run else sum(report.removed for report in reports)
    say(f"{path}: {images:,} images: {removed} removed{DRY * dry_run}")
    if failed:
        raise typer.Exit(1)


def relocate(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A picture or folder, as the index knows it.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Where it is now.")],
    path: IndexOption = INDEX_NAME,
    wait: WaitOption = False,
) -> None:
    """Give the images of a picture or folder that has moved their new paths. No picture is read."""

    with opened_index(path) as target:
        relocated, images = target.relocate(old, new, wait=wait), len(target)
    say(f"{path}: {images:,} images: {relocated} relocated")
    if not relocated:
        complain(Failure(old, "is not in the index"))
        raise typer.Exit(1)


def merge(path: IndexOption = INDEX_NAME, wait: WaitOption = False) -> None:
    """Merge an index into one segment and drop what is deleted. Adding does as much as searches
    need by itself.
    """

    with opened_index(path) as target:
        before = target.info()
        target.merge(wait=wait)
        after = target.info()
    segments = f"{before.segment_count} segments -> {after.segment_count}"
    sizes = f"{before.size_bytes:,} bytes -> {after.size_bytes:,}"
    say(f"{path}: {segments}, {sizes}")


def upgrade(
    path: IndexOption = INDEX_NAME, dry_run: DryRunOption = False, wait: WaitOption = False
) -> None:
    """Write an index of an earlier version of bovw in the format of this one. No picture is read,
    and searches answer as before.
    """
    from ..index.manifest import VERSION

    with opened_index(path) as target:
        report = target.upgrade(dry_run=dry_run, wait=wait)
    if report.is_current:
        say(f"{path}: is of format {VERSION}, the newest: there is nothing to do")
    else:
        version = f"format {report.version}" if report.version < VERSION else "older segments"
        written = f"{report.segment_count} segments written anew, {report.size_bytes:,} bytes"
        say(f"{path}: {version} -> format {VERSION}: {written}{DRY * dry_run}")
    if report.incomplete_count:
        note(
            f"{report.incomplete_count:,} images lack what `similar`, `map` and `duplicates` look "
            f"at: `bovw index --complete` reads their pictures again"
        )


def info(path: IndexOption = INDEX_NAME, as_json: JsonOption = False) -> None:
    """Say what an index is: images, features, segments, bytes, vocabulary, generation."""
    with opened_searcher(path, None) as source:
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
    from ..index.record import record_facts

    with opened_searcher(path, None) as source:
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

    require_index(path)
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


def train_vocab(
    photos: Annotated[list[str], PHOTOS],
    out: Annotated[Path, option(FEATURE_PANEL, "Folder to write the vocabulary to.", value="PATH")],
    words: Annotated[
        int | None,
        option(
            FEATURE_PANEL,
            "How many visual words. By default as many as suit --collection.",
            value="N",
            min=2,
        ),
    ] = None,
    collection: Annotated[
        int | None,
        option(
            FEATURE_PANEL,
            "How many images the collection will have. By default as many as are given.",
            value="N",
            min=1,
        ),
    ] = None,
    features: Annotated[str, FEATURES] = "rootsift",
    seed: Annotated[
        int, option(FEATURE_PANEL, "Same seed and pictures, same vocabulary.", value="N", min=0)
    ] = 0,
    max_descriptors: Annotated[
        int,
        option(
            FEATURE_PANEL,
            "Sample at most so many descriptors; bounds the memory.",
            value="N",
            min=2,
        ),
    ] = 2_000_000,
    jobs: JobsOption = CORES,
    limit: LimitOption = [],  # noqa: B006 - Typer's way; nobody changes it
    report_errors: ReportErrorsOption = None,
    nul: NulOption = False,
) -> None:
    """Train a vocabulary on pictures of your own. The shipped ones are general: most collections
    need none.
    """
    from ..features.local import FeatureSpec
    from ..features.training import recommended_words, train_vocabulary
    from ..pictures.folders import find_images

    spec, limits = FeatureSpec(features), parsed_limits(limit)
    found = find_images(named_paths(photos, nul))
    suiting = recommended_words(collection or len(found.files), features)
    require_folder(out)
    with Failures(report_errors) as failures:
        for problem in found.problems:
            failures.add(problem)
        with progress() as bar:
            vocabulary, report = train_vocabulary(
                list(found.files),
                words or suiting,
                spec,
                max_descriptors=max_descriptors,
                seed=seed,
                jobs=jobs,
                limits=limits,
                progress=bar,
                failure=failures.add,
            )
    vocabulary.save(out)
    say_passed_over(found.passed_over)
    say(
        f"{out}: {len(vocabulary):,} words from {report.descriptor_count:,} descriptors of "
        f"{report.image_count:,} images; {report.unused_words:,} words never used, "
        f"imbalance {report.imbalance:.2f}"
    )
    if len(vocabulary) != suiting:
        say(f"recommended for {collection or len(found.files):,} images: {suiting:,} words")
    if failures.reasons:
        raise typer.Exit(1)


def print_path(path: str, nul: bool) -> None:
    """Print a path as a line that is safe to show, or exactly, ended by NUL."""
    if nul:
        if sys.stdout is None:
            raise OutputError("standard output", "is closed")
        sys.stdout.buffer.write(os.fsencode(path) + b"\0")
    else:
        typer.echo(printable(path))


def require_folder(path: Path) -> None:
    """Raise VocabularyError unless a folder can be made here, before hours are spent on what goes
    into it.
    """
    existing = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise VocabularyError(f"{path}: cannot be written: {existing} is not a folder to write to")


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
