"""The `bovw` command: parse, call the library, print. Results go to stdout, everything else to
stderr.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BovwError, ImageError, ParameterError, VocabularyError, printable
from ..reporting import Failure
from ..version import __version__
from .console import (
    CORES,
    INTERRUPTED,
    Failures,
    FalseAlarmsOption,
    IndexOption,
    JobsOption,
    LimitOption,
    RootOption,
    complain,
    explained,
    fail,
    named_paths,
    parsed_box,
    parsed_limits,
    print_path,
    progress,
)
from .evaluate import evaluate

if TYPE_CHECKING:
    from ..image_index import ImageIndex, IndexInfo

__all__ = ["main"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

NulOption = Annotated[
    bool, typer.Option("-0", help="Paths on stdin end with NUL instead of a newline.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait while another process is writing to the index.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
ReportErrorsOption = Annotated[
    Path | None,
    typer.Option(
        "--report-errors",
        metavar="FILE",
        help="Write what was left out, and why, here as JSON lines.",
    ),
]


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"bovw {__version__}")
        raise typer.Exit


@app.callback()
def bovw(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find the picture that a crop, a detail or a distorted copy came from."""


@app.command("train-vocab")
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
    from ..pictures.files import find_images

    spec, limits = FeatureSpec(features), parsed_limits(limit)
    images, problems = find_images(named_paths(photos, nul))
    require_folder(out)
    with Failures(report_errors) as failures:
        for problem in problems:
            failures.add(problem)
        with progress() as bar:
            vocabulary, report = train_vocabulary(
                images,
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
    typer.echo(
        f"{out}: {len(vocabulary):,} words from {report.descriptor_count:,} descriptors of {report.image_count:,} images; "
        f"{report.unused_words:,} words never used, imbalance {report.imbalance:.2f}"
    )
    if failures.reasons:
        raise typer.Exit(1)


@app.command()
def index(
    photos: Annotated[
        list[str], typer.Argument(help="Picture files and folders; - reads paths from stdin.")
    ],
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
    check_content: Annotated[
        bool,
        typer.Option(
            "--check-content",
            help="Look for changes by content instead of by size and modification time.",
        ),
    ] = False,
    batch: Annotated[
        int,
        typer.Option(
            min=1, help="Commit after so many pictures: an interrupted run loses at most these."
        ),
    ] = 256,
    root: RootOption = None,
    jobs: JobsOption = CORES,
    limit: LimitOption = [],  # noqa: B006
    report_errors: ReportErrorsOption = None,
    wait: WaitOption = False,
    nul: NulOption = False,
) -> None:
    """Add pictures to an index; make the index if there is none. Pictures that it holds unchanged
    are skipped.
    """
    wanted, limits = named_paths(photos, nul), parsed_limits(limit)
    with (
        Failures(report_errors) as failures,
        opened_or_created(path, features, vocab, max_features, max_side, root) as target,
    ):
        with progress() as bar:
            report = target.add(
                wanted,
                jobs=jobs,
                batch=batch,
                check_content=check_content,
                prune=prune,
                wait=wait,
                limits=limits,
                progress=bar,
                failure=failures.add,
            )
        for problem in report.failed[: report.absent]:
            failures.add(problem)
        images = len(target)
    removed = f"{report.removed} removed, " if prune else ""
    typer.echo(
        f"{path}: {images:,} images: {report.added} added, {report.changed} changed, {removed}"
        f"{report.unchanged} unchanged, {len(report.failed)} left out"
    )
    if report.failed:
        raise typer.Exit(1)


@app.command()
def remove(
    photos: Annotated[
        list[str],
        typer.Argument(help="Pictures and folders, on disk or gone; - reads paths from stdin."),
    ],
    path: IndexOption = Path("index.bovw"),
    wait: WaitOption = False,
    nul: NulOption = False,
) -> None:
    """Remove images from an index. The picture files are not touched."""
    from ..image_index import ImageIndex

    with ImageIndex.open(path) as target:
        report = target.remove(named_paths(photos, nul), wait=wait)
        images = len(target)
    for problem in report.failed:
        complain(problem)
    typer.echo(f"{path}: {images:,} images: {report.removed} removed")
    if report.failed:
        raise typer.Exit(1)


@app.command()
def merge(path: IndexOption = Path("index.bovw"), wait: WaitOption = False) -> None:
    """Fold an index into one segment and drop what is deleted. Adding does as much as searches need
    by itself.
    """
    from ..image_index import ImageIndex

    with ImageIndex.open(path) as target:
        before = target.info()
        target.merge(wait=wait)
        after = target.info()
    typer.echo(
        f"{path}: {before.segment_count} segments -> {after.segment_count}, {before.size_bytes:,} bytes -> {after.size_bytes:,}"
    )


@app.command()
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


@app.command("list")
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
    from ..index.segment import record_facts

    with ImageIndex.open(path) as source:
        for record in source.records():
            if as_json:
                typer.echo(json.dumps(record_facts(record)))
            else:
                print_path(record.path, nul)


@app.command()
def check(path: IndexOption = Path("index.bovw")) -> None:
    """Read all of an index and say whether it is sound, or which file is damaged and what that
    costs.
    """
    from ..index.check import check_index

    with progress() as bar:
        report = check_index(path, bar)
    for name in report.leftovers:
        typer.echo(
            f"bovw: {printable(name)}: left over from a crash; the next run of `bovw index` removes it",
            err=True,
        )
    for damage in report.damages:
        typer.echo(
            f"{printable(damage.file)}: {printable(damage.reason)}; {damage.lost:,} images cannot be trusted"
        )
    if report.damages:
        raise typer.Exit(1)
    typer.echo(f"{path}: sound: {report.image_count:,} images, {report.bytes_read:,} bytes read")


@app.command()
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
    from ..features.vocabulary import Vocabulary, shipped_vocabulary
    from ..search.comparison import compare_pictures
    from .output import comparison_line, comparison_text

    vocabulary = Vocabulary.load(shipped_vocabulary(features))
    comparison = compare_pictures(
        first, second, vocabulary, tolerance=tolerance, mirror_too=mirror, false_alarms=false_alarms
    )
    typer.echo((comparison_line if as_json else comparison_text)(first, second, comparison))
    if draw:
        from ..search.drawing import draw_comparison, save_picture

        save_picture(draw, draw_comparison(first, second, comparison))


@app.command()
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
    limit: LimitOption = [],  # noqa: B006
    root: RootOption = None,
    nul: NulOption = False,
) -> None:
    """Find the images that show the same thing as a picture or, with --crop, that contain it."""
    from ..image_index import ImageIndex
    from ..report.html import Page
    from ..search.ranking import SearchOptions
    from .output import json_line, report_text, write_drawing

    options = SearchOptions(
        k=k,
        crop=crop,
        scoring=scoring,
        verify_top=verify,
        words_per_feature=words,
        mirror=mirror,
        instances=instances,
        false_alarms=false_alarms,
    )
    part, limits = parsed_box(box), parsed_limits(limit)
    names = named_paths(queries, nul)
    if draw and len(names) != 1:
        raise ParameterError(f"--draw: takes one query, not {len(names)}")
    failed = False
    with (
        ImageIndex.open(path, picture_root=root) as source,
        Page(report) if report else nullcontext() as page,
    ):
        for name in names:
            try:
                result = source.search(name, options, box=part, limits=limits)
            except (ImageError, ParameterError) as error:
                reason = error.reason if isinstance(error, ImageError) else str(error)
                failed = True
                complain(Failure(name, reason))
                if as_json:
                    typer.echo(
                        json.dumps(
                            {
                                "query": name,
                                "features": 0,
                                "seconds": {},
                                "matches": [],
                                "error": reason,
                            }
                        )
                    )
                continue
            if not result.feature_count:
                typer.echo(
                    f"bovw: warning: {printable(name)}: no features (blank or very smooth), so nothing can match",
                    err=True,
                )
            typer.echo(json_line(result) if as_json else report_text(result))
            if draw:
                write_drawing(draw, result)
            if page:
                page.write(result.row())
    if failed:
        raise typer.Exit(1)


app.command()(evaluate)


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
    from ..errors import IndexMissingError
    from ..features.vocabulary import Vocabulary, shipped_vocabulary
    from ..image_index import ImageIndex

    try:
        target = ImageIndex.open(path, picture_root=root)
    except IndexMissingError:
        vocabulary = Vocabulary.load(vocab or shipped_vocabulary(features or "rootsift"))
        if features:
            vocabulary.require_features(features)
        return ImageIndex.create(
            path, vocabulary, picture_root=root, max_features=max_features, max_side=max_side
        )
    target.require(features, Vocabulary.load(vocab) if vocab else None, max_features, max_side)
    return target


def main() -> None:
    """Run the command. Exit codes: 0 done, 1 something was left out or failed, 2 wrong usage, 130
    interrupted.
    """
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    warnings.filterwarnings(
        "ignore", module=r"PIL\."
    )  # what is wrong with a picture is said by its ImageError
    try:
        code = app(standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has gone: end quietly, and keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (
        typer.TyperException,
        typer.Abort,
        KeyboardInterrupt,
        BovwError,
        ImportError,
        OSError,
    ) as error:
        fail(*explained(error))
    else:
        if code == INTERRUPTED:  # what Typer makes of KeyboardInterrupt
            fail(*explained(KeyboardInterrupt()))
        sys.exit(code or 0)
