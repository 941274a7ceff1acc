"""The command that makes and updates an index."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BovwError, IndexMissingError, ParameterError
from .console import (
    Failures,
    explained,
    fail,
    name_removed,
    named_paths,
    parsed_limits,
    parsed_pairs,
    progress,
    say,
    say_passed_over,
    warn,
)
from .interrupts import finishing
from .networks import EmbedOption, EmbedWithOption, parsed_embedders
from .options import (
    ACTIONS,
    CORES,
    DRY,
    FEATURE_PANEL,
    FEATURES,
    INDEX_NAME,
    PHOTOS,
    PICTURES,
    DryRunOption,
    IndexOption,
    JobsOption,
    LimitOption,
    NulOption,
    ReportErrorsOption,
    RootOption,
    StrictOption,
    WaitOption,
    option,
)

if TYPE_CHECKING:
    from ..image_index import ImageIndex
    from ..pictures.folders import Selection

__all__ = ["index"]


def index(
    photos: Annotated[list[str] | None, PHOTOS] = None,
    exclude: Annotated[
        list[str],
        option(
            PICTURES,
            "Pass over what matches, as in .gitignore, now and in later runs; repeatable; "
            "!PATTERN takes one back.",
            value="PATTERN",
        ),
    ] = [],  # noqa: B006 - Typer's way; nobody changes it
    hidden: Annotated[
        bool,
        option(
            PICTURES,
            "Look at hidden files and at folders of systems, too.",
            "--hidden",
            env="HIDDEN",
        ),
    ] = False,
    follow_links: Annotated[
        bool,
        option(
            PICTURES,
            "Look into folders that links lead to, too.",
            "--follow-links",
            env="FOLLOW_LINKS",
        ),
    ] = False,
    meta: Annotated[
        list[str],
        option(
            PICTURES,
            "Metadata for the images that this run adds or reads again; repeatable.",
            value="KEY=VALUE",
        ),
    ] = [],  # noqa: B006
    pages: Annotated[
        bool,
        option(
            PICTURES,
            "Add all pages of TIFF files, instead of the first.",
            "--pages",
            env="PAGES",
        ),
    ] = False,
    limit: LimitOption = [],  # noqa: B006
    strict: StrictOption = False,
    nul: NulOption = False,
    check_content: Annotated[
        bool,
        option(
            ACTIONS,
            "Look for changes by content instead of by size and modification time.",
            "--check-content",
        ),
    ] = False,
    retry: Annotated[
        bool,
        option(
            ACTIONS, "Read again what failed before and has not changed.", "--retry", env="RETRY"
        ),
    ] = False,
    complete: Annotated[
        bool,
        option(
            ACTIONS,
            "Read again the images of an older index that lack what searches of whole pictures "
            "need.",
            "--complete",
        ),
    ] = False,
    prune: Annotated[
        bool,
        option(
            ACTIONS,
            "Remove images below PHOTOS whose files are gone, or that are excluded now.",
            "--prune",
        ),
    ] = False,
    force: Annotated[
        bool,
        option(
            ACTIONS,
            "Prune although a folder is empty, or has lost more than 20 images and half.",
            "--force",
        ),
    ] = False,
    dry_run: DryRunOption = False,
    batch: Annotated[
        int,
        option(
            ACTIONS,
            "Commit after so many pictures: an interrupted run loses at most these.",
            value="N",
            env="BATCH",
            min=1,
            max=100_000,
        ),
    ] = 256,
    features: Annotated[str | None, FEATURES] = None,
    vocab: Annotated[
        Path | None,
        option(
            FEATURE_PANEL, "A vocabulary of your own, from train-vocab.", value="PATH", env="VOCAB"
        ),
    ] = None,
    embed: EmbedOption = None,
    embed_with: EmbedWithOption = [],  # noqa: B006
    max_features: Annotated[
        int | None,
        option(
            FEATURE_PANEL,
            "Features an image, 2000 by default: more finds smaller crops.",
            value="N",
            env="MAX_FEATURES",
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        option(
            FEATURE_PANEL,
            "Pictures are shrunk to this long side, 1024 by default.",
            value="PIXELS",
            env="MAX_SIDE",
        ),
    ] = None,
    path: IndexOption = INDEX_NAME,
    root: RootOption = None,
    wait: WaitOption = False,
    jobs: JobsOption = CORES,
    report_errors: ReportErrorsOption = None,
) -> None:
    """Add pictures to an index; make the index if there is none. Pictures that it holds unchanged
    are skipped.
    """
    if not photos and not complete:
        raise ParameterError("PHOTOS: name pictures or folders, or use --complete")
    from ..pictures.folders import Selection

    wanted, limits = named_paths(photos or [], nul), parsed_limits(limit, strict)
    metadata, embedders = parsed_pairs("--meta", meta), parsed_embedders(embed, embed_with)
    with ExitStack() as stack:
        failures = stack.enter_context(Failures(report_errors))
        is_new = not has_index(path)
        if is_new:
            require_pictures(
                path, wanted, Selection(hidden, follow_links, tuple(exclude)), failures
            )
        place = None if is_new and dry_run else path
        target = stack.enter_context(
            opened_or_created(place, features, vocab, max_features, max_side, root)
        )
        with progress() as bar, finishing() as stop:
            report = target.add(
                wanted,
                metadata=metadata,
                jobs=jobs,
                batch=batch,
                check_content=check_content,
                retry=retry,
                dry_run=dry_run,
                prune=prune,
                force=force,
                hidden=hidden,
                follow_links=follow_links,
                exclude=exclude,
                complete=complete,
                pages=pages,
                wait=wait,
                limits=limits,
                embedders=embedders,
                progress=bar,
                failure=failures.add,
                stop=stop,
            )
        for problem in report.failed[: report.absent]:
            failures.add(problem)
        for warning in report.warnings:
            warn(warning.name, warning.reason)
        say_passed_over(report.passed_over)
        images, known = len(target), target.info().embeddings
    for name in known:
        if report.added + report.changed and name not in [each.name for each in embedders]:
            warn(str(path), f"what this run has read has no vectors of {name}: give --embed again")
    name_removed(report.gone, dry_run)
    removed = f"{report.moved} moved, " if report.moved else ""
    removed += f"{report.removed} removed, " if prune else ""
    say(
        f"{path}: {images:,} images: {report.added} added, {report.changed} changed, {removed}"
        f"{report.unchanged} unchanged, {len(report.failed)} left out{DRY * dry_run}"
    )
    if report.stopped:
        fail(*explained(KeyboardInterrupt()))
    if report.failed:
        raise typer.Exit(1)


def has_index(path: Path) -> bool:
    """Whether there is an index at a path, sound or not."""
    from ..index.manifest import read_latest
    from ..storage.directory import Directory

    try:
        read_latest(Directory(path))
    except IndexMissingError:
        return False
    except BovwError:
        return True
    return True


def require_pictures(
    path: Path, wanted: list[str], selection: Selection, failures: Failures
) -> None:
    """End unless there is something to index: a mistyped name shall not make an index."""
    from ..pictures.folders import find_images

    found = find_images(wanted, selection)
    if not found.files:
        for problem in found.problems:
            failures.add(problem)
        say_passed_over(found.passed_over)
        fail(f"{path}: is not made: there are no pictures at what was named", 1)


def opened_or_created(
    path: Path | None,
    features: str | None,
    vocab: Path | None,
    max_features: int | None,
    max_side: int | None,
    root: Path | None,
) -> ImageIndex:
    """The index at a path, made if there is none; without a path, one in memory. What is asked for
    must fit the index that is there.
    """
    from ..features.vocabulary import Vocabulary
    from ..image_index import ImageIndex

    vocabulary = Vocabulary.load(vocab) if vocab else None
    if features and vocabulary:
        vocabulary.require_features(features)
    if path is None:
        vocabulary = vocabulary or Vocabulary.shipped(features or "rootsift")
        return ImageIndex.in_memory(vocabulary, max_features=max_features, max_side=max_side)
    try:
        target = ImageIndex.open(path, picture_root=root)
    except IndexMissingError:
        vocabulary = vocabulary or Vocabulary.shipped(features or "rootsift")
        return ImageIndex.create(
            path, vocabulary, picture_root=root, max_features=max_features, max_side=max_side
        )
    target.require(vocabulary, features=features, max_features=max_features, max_side=max_side)
    return target
