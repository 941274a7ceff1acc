"""The commands that read many pictures: index, train-vocab."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import IndexMissingError, ParameterError, VocabularyError
from .console import (
    Failures,
    explained,
    fail,
    named_paths,
    note,
    parsed_limits,
    parsed_pairs,
    progress,
    say,
    warn,
)
from .interrupts import finishing
from .networks import EmbedOption, EmbedWithOption, parsed_embedders
from .options import (
    ACTIONS,
    CORES,
    FEATURE_PANEL,
    FEATURES,
    INDEX_NAME,
    PICTURES,
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

__all__ = ["index", "train_vocab"]

PHOTOS = typer.Argument(
    metavar="PHOTOS", help="Picture files and folders; - reads paths from stdin."
)


def train_vocab(
    photos: Annotated[list[str], PHOTOS],
    out: Annotated[Path, option(FEATURE_PANEL, "Folder to write the vocabulary to.", value="PATH")],
    words: Annotated[
        int, option(FEATURE_PANEL, "How many visual words.", value="N", min=2)
    ] = 65_536,
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
    from ..features.training import train_vocabulary
    from ..pictures.folders import find_images

    spec, limits = FeatureSpec(features), parsed_limits(limit)
    found = find_images(named_paths(photos, nul))
    require_folder(out)
    with Failures(report_errors) as failures:
        for problem in found.problems:
            failures.add(problem)
        with progress() as bar:
            vocabulary, report = train_vocabulary(
                list(found.files),
                words,
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
    if failures.reasons:
        raise typer.Exit(1)


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
        option(ACTIONS, "Remove images below PHOTOS whose files are gone.", "--prune"),
    ] = False,
    force: Annotated[
        bool,
        option(
            ACTIONS,
            "Prune although a folder is empty, or has lost more than 20 images and half.",
            "--force",
        ),
    ] = False,
    batch: Annotated[
        int,
        option(
            ACTIONS,
            "Commit after so many pictures: an interrupted run loses at most these.",
            value="N",
            env="BATCH",
            min=1,
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
    wanted, limits = named_paths(photos or [], nul), parsed_limits(limit, strict)
    metadata, embedders = parsed_pairs("--meta", meta), parsed_embedders(embed, embed_with)
    with (
        Failures(report_errors) as failures,
        opened_or_created(path, features, vocab, max_features, max_side, root) as target,
    ):
        with progress() as bar, finishing() as stop:
            report = target.add(
                wanted,
                metadata=metadata,
                jobs=jobs,
                batch=batch,
                check_content=check_content,
                prune=prune,
                force=force,
                hidden=hidden,
                follow_links=follow_links,
                exclude=exclude,
                complete=complete,
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
    removed = f"{report.moved} moved, " if report.moved else ""
    removed += f"{report.removed} removed, " if prune else ""
    say(
        f"{path}: {images:,} images: {report.added} added, {report.changed} changed, {removed}"
        f"{report.unchanged} unchanged, {len(report.failed)} left out"
    )
    if report.stopped:
        fail(*explained(KeyboardInterrupt()))
    if report.failed:
        raise typer.Exit(1)


def say_passed_over(passed_over: Counter[str]) -> None:
    """Say what was not looked at, if anything."""
    from ..pictures.folders import passed_over_text

    if passed_over:
        note(f"not looked at: {passed_over_text(passed_over)}")


def require_folder(path: Path) -> None:
    """Raise VocabularyError unless a folder can be made here, before hours are spent on what goes
    into it.
    """
    existing = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise VocabularyError(f"{path}: cannot be written: {existing} is not a folder to write to")


def opened_or_created(
    path: Path,
    features: str | None,
    vocab: Path | None,
    max_features: int | None,
    max_side: int | None,
    root: Path | None,
) -> ImageIndex:
    """The index at a path, made if there is none. What is asked for must fit the index that is
    there.
    """
    from ..features.vocabulary import Vocabulary
    from ..image_index import ImageIndex

    vocabulary = Vocabulary.load(vocab) if vocab else None
    if features and vocabulary:
        vocabulary.require_features(features)
    try:
        target = ImageIndex.open(path, picture_root=root)
    except IndexMissingError:
        vocabulary = vocabulary or Vocabulary.shipped(features or "rootsift")
        return ImageIndex.create(
            path, vocabulary, picture_root=root, max_features=max_features, max_side=max_side
        )
    target.require(vocabulary, features=features, max_features=max_features, max_side=max_side)
    return target
