"""The commands that make and keep an index: train-vocab, index, remove, merge, info, list,
check.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import IndexMissingError, ParameterError, VocabularyError, printable
from .console import (
    CORES,
    Failures,
    IndexOption,
    JobsOption,
    JsonOption,
    LimitOption,
    NulOption,
    RootOption,
    StrictOption,
    complain,
    explained,
    fail,
    named_paths,
    parsed_limits,
    parsed_pairs,
    print_path,
    progress,
    warn,
)
from .interrupts import finishing
from .networks import EmbedOption, EmbedWithOption, parsed_embedders

if TYPE_CHECKING:
    from ..image_index import ImageIndex
    from ..searcher import IndexInfo

__all__ = ["check", "index", "info", "list_images", "merge", "remove", "train_vocab"]

WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait while another process is writing to the index.")
]
ReportErrorsOption = Annotated[
    Path | None,
    typer.Option(
        "--report-errors",
        metavar="FILE",
        help="Write what was left out, and why, here as JSON lines.",
    ),
]


def train_vocab(
    photos: Annotated[
        list[str], typer.Argument(help="Picture files and folders; - reads paths from stdin.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the vocabulary to.")],
    words: Annotated[int, typer.Option(min=2, help="How many visual words.")] = 65_536,
    features: Annotated[str, typer.Option(help="rootsift or orb.")] = "rootsift",
    seed: Annotated[int, typer.Option(min=0, help="Same seed and pictures, same vocabulary.")] = 0,
    max_descriptors: Annotated[
        int, typer.Option(min=2, help="Sample at most so many descriptors; bounds the memory.")
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
    typer.echo(
        f"{out}: {len(vocabulary):,} words from {report.descriptor_count:,} descriptors of "
        f"{report.image_count:,} images; {report.unused_words:,} words never used, "
        f"imbalance {report.imbalance:.2f}"
    )
    if failures.reasons:
        raise typer.Exit(1)


def index(
    photos: Annotated[
        list[str] | None,
        typer.Argument(help="Picture files and folders; - reads paths from stdin."),
    ] = None,
    path: IndexOption = Path("index.bovw"),
    features: Annotated[
        str | None, typer.Option(help="rootsift (default) or orb, which is extracted faster.")
    ] = None,
    vocab: Annotated[
        Path | None, typer.Option(help="A vocabulary of your own, from train-vocab.")
    ] = None,
    max_features: Annotated[
        int | None,
        typer.Option(help="Features an image, 2000 by default: more finds smaller crops."),
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(help="Pictures are shrunk to this long side, 1024 by default.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove images below PHOTOS whose files are gone.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Prune although a folder is empty, or has lost more than 20 images and half.",
        ),
    ] = False,
    hidden: Annotated[
        bool,
        typer.Option("--hidden", help="Look at hidden files and at folders of systems, too."),
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Look into folders that links lead to, too.")
    ] = False,
    exclude: Annotated[
        list[str],
        typer.Option(
            metavar="PATTERN",
            help="Pass over what matches, as in .gitignore, now and in later runs; repeatable; "
            "!PATTERN takes one back.",
        ),
    ] = [],  # noqa: B006
    check_content: Annotated[
        bool,
        typer.Option(
            "--check-content",
            help="Look for changes by content instead of by size and modification time.",
        ),
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Read again the images of an older index that lack what searches of whole "
            "pictures need.",
        ),
    ] = False,
    embed: EmbedOption = None,
    embed_with: EmbedWithOption = [],  # noqa: B006
    batch: Annotated[
        int,
        typer.Option(
            min=1, help="Commit after so many pictures: an interrupted run loses at most these."
        ),
    ] = 256,
    meta: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE",
            help="Metadata for the images that this run adds or reads again; repeatable.",
        ),
    ] = [],  # noqa: B006
    root: RootOption = None,
    jobs: JobsOption = CORES,
    limit: LimitOption = [],  # noqa: B006
    strict: StrictOption = False,
    report_errors: ReportErrorsOption = None,
    wait: WaitOption = False,
    nul: NulOption = False,
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
    typer.echo(
        f"{path}: {images:,} images: {report.added} added, {report.changed} changed, {removed}"
        f"{report.unchanged} unchanged, {len(report.failed)} left out"
    )
    if report.stopped:
        fail(*explained(KeyboardInterrupt()))
    if report.failed:
        raise typer.Exit(1)


def remove(
    photos: Annotated[
        list[str] | None,
        typer.Argument(help="Pictures and folders, on disk or gone; - reads paths from stdin."),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="An image by its id; repeatable."),
    ] = None,
    path: IndexOption = Path("index.bovw"),
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
    typer.echo(f"{path}: {images:,} images: {removed} removed")
    if failed:
        raise typer.Exit(1)


def merge(path: IndexOption = Path("index.bovw"), wait: WaitOption = False) -> None:
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
    typer.echo(f"{path}: {segments}, {sizes}")


def info(path: IndexOption = Path("index.bovw"), as_json: JsonOption = False) -> None:
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
    path: IndexOption = Path("index.bovw"),
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object an image and line, with what is known of the file."
        ),
    ] = False,
    nul: Annotated[
        bool, typer.Option("-0", help="Print the exact paths, each ended by NUL.")
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


def check(path: IndexOption = Path("index.bovw")) -> None:
    """Read all of an index and say whether it is sound, or which file is damaged and what that
    costs.
    """
    from ..index.check import check_index

    with progress() as bar:
        report = check_index(path, bar)
    for name in report.leftovers:
        text = "left over from a crash; the next run of `bovw index` removes it"
        typer.echo(f"bovw: {printable(name)}: {text}", err=True)
    for damage in report.damages:
        reason = f"{printable(damage.reason)}; {damage.lost:,} images cannot be trusted"
        typer.echo(f"{printable(damage.file)}: {reason}")
    if report.damages:
        raise typer.Exit(1)
    typer.echo(f"{path}: sound: {report.image_count:,} images, {report.bytes_read:,} bytes read")


def say_passed_over(passed_over: Counter[str]) -> None:
    """Say what was not looked at, if anything."""
    from ..pictures.folders import passed_over_text

    if passed_over:
        typer.echo(f"bovw: not looked at: {passed_over_text(passed_over)}", err=True)


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
