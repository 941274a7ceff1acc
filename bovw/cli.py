"""The `bovw` command: parse, call the library, print. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import BovwError, ImageError, ParameterError, VocabularyError
from .version import __version__

if TYPE_CHECKING:
    from .index import ImageIndex, SearchResult

__all__ = ["main"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

IndexOption = Annotated[Path, typer.Option("--index", envvar="BOVW_INDEX", help="Folder of the index.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Processes for the extraction; by default one a core.")]
NulOption = Annotated[bool, typer.Option("-0", help="Paths on stdin end with NUL instead of a newline.")]
CORES = os.cpu_count() or 1
INTERRUPTED = 130


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"bovw {__version__}")
        raise typer.Exit


@app.callback()
def bovw(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Find the picture that a crop, a detail or a distorted copy came from."""


@app.command("train-vocab")
def train_vocab(
    photos: Annotated[list[str], typer.Argument(help="Picture files and folders; - reads paths from stdin.")],
    out: Annotated[Path, typer.Option(help="Folder to write the vocabulary to.")],
    words: Annotated[int, typer.Option(min=2, help="How many visual words.")] = 65_536,
    features: Annotated[str, typer.Option(help="rootsift or orb.")] = "rootsift",
    seed: Annotated[int, typer.Option(min=0, help="Same seed and pictures, same vocabulary.")] = 0,
    max_descriptors: Annotated[int, typer.Option(min=2, help="Sample at most so many descriptors; bounds the memory.")] = 2_000_000,
    jobs: JobsOption = CORES,
    nul: NulOption = False,
) -> None:
    """Train a vocabulary on pictures of your own. The shipped ones are general: most collections need none."""
    from .features import FeatureSpec
    from .images import find_images
    from .training import train_vocabulary

    spec = FeatureSpec(features)
    images, problems = find_images(named_paths(photos, nul))
    for problem in problems:
        complain(problem)
    require_folder(out)
    with progress() as bar:
        vocabulary, report = train_vocabulary(images, words, spec, max_descriptors=max_descriptors, seed=seed, jobs=jobs, progress=bar)
    vocabulary.save(out)
    for problem in report.failed:
        complain(problem)
    typer.echo(
        f"{out}: {len(vocabulary):,} words from {report.descriptors:,} descriptors of {report.images:,} images; "
        f"{report.unused:,} words never used, imbalance {report.imbalance:.2f}"
    )
    if problems or report.failed:
        raise typer.Exit(1)


@app.command()
def index(
    photos: Annotated[list[str], typer.Argument(help="Picture files and folders; - reads paths from stdin.")],
    path: IndexOption = Path("index.bovw"),
    features: Annotated[str | None, typer.Option(help="rootsift (default) or orb, which is extracted faster.")] = None,
    vocab: Annotated[Path | None, typer.Option(help="A vocabulary of your own, from train-vocab.")] = None,
    max_features: Annotated[int | None, typer.Option(help="Features an image, 2000 by default: more finds smaller crops.")] = None,
    max_side: Annotated[int | None, typer.Option(help="Pictures are shrunk to this long side, 1024 by default.")] = None,
    jobs: JobsOption = CORES,
    nul: NulOption = False,
) -> None:
    """Add pictures to an index; make the index if there is none. Pictures that it holds unchanged are skipped."""
    wanted = named_paths(photos, nul)
    with opened_or_created(path, features, vocab, max_features, max_side) as target, progress() as bar:

        def advance(done: int, total: int, result: str | ImageError) -> None:
            if isinstance(result, ImageError):
                complain(result)
            bar("index", done, total)

        report = target.add(wanted, jobs=jobs, progress=advance)
        images = len(target)
    for problem in report.failed[: report.absent]:
        complain(problem)
    typer.echo(
        f"{path}: {images:,} images: {report.added} added, {report.changed} changed, "
        f"{report.unchanged} unchanged, {len(report.failed)} left out"
    )
    if report.failed:
        raise typer.Exit(1)


@app.command()
def search(
    queries: Annotated[list[str], typer.Argument(help="Query pictures; - reads paths from stdin.")],
    path: IndexOption = Path("index.bovw"),
    crop: Annotated[
        bool, typer.Option("--crop", help="The query is a part of what is sought: the rest of an image does not count.")
    ] = False,
    box: Annotated[str | None, typer.Option(metavar="X,Y,W,H", help="Use this part of the query picture, in pixels.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Show so many images.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a query and line.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Write a picture of the best match of a query here.")] = None,
    scoring: Annotated[str, typer.Option(help="hamming, or tfidf: the textbook baseline.")] = "hamming",
    verify: Annotated[int, typer.Option(min=0, help="Check the geometry of so many candidates.")] = 100,
    words: Annotated[int, typer.Option(min=1, help="Nearest words a feature: more finds more, and takes longer.")] = 4,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="Try the query mirrored as well.")] = True,
    nul: NulOption = False,
) -> None:
    """Find the images that show the same thing as a picture or, with --crop, that contain it."""
    from .index import ImageIndex
    from .search import SearchOptions

    options = SearchOptions(k=k, crop=crop, scoring=scoring, verify=verify, words=words, mirror=mirror)
    part = parsed_box(box)
    names = named_paths(queries, nul)
    if draw and len(names) != 1:
        raise ParameterError(f"--draw: takes one query, not {len(names)}")
    failed = False
    with ImageIndex.open(path) as source:
        for name in names:
            try:
                result = source.search(name, options, box=part)
            except (ImageError, ParameterError) as error:
                reason = error.reason if isinstance(error, ImageError) else str(error)
                failed = True
                complain(ImageError(name, reason))
                if as_json:
                    typer.echo(json.dumps({"query": name, "features": 0, "seconds": {}, "matches": [], "error": reason}))
                continue
            if not result.features:
                typer.echo(f"bovw: warning: {printable(name)}: no features (blank or very smooth), so nothing can match", err=True)
            typer.echo(json_line(result) if as_json else report_text(result))
            if draw:
                write_drawing(draw, result)
    if failed:
        raise typer.Exit(1)


def named_paths(arguments: list[str], nul: bool) -> list[str]:
    """The paths of the command line, with - replaced by those on stdin."""
    paths: list[str] = []
    for argument in arguments:
        if argument == "-":
            lines = sys.stdin.buffer.read().split(b"\0" if nul else b"\n")
            paths += [os.fsdecode(line) for line in lines if line]
        else:
            paths.append(argument)
    return paths


def require_folder(path: Path) -> None:
    """Raise VocabularyError unless a folder can be made here, before hours are spent on what goes into it."""
    existing = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise VocabularyError(f"{path}: cannot be written: {existing} is not a folder to write to")


def parsed_box(text: str | None) -> tuple[int, int, int, int] | None:
    """X,Y,W,H as numbers."""
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"--box: {text!r} is not X,Y,W,H in whole pixels") from None
    return x, y, width, height


def opened_or_created(path: Path, features: str | None, vocab: Path | None, max_features: int | None, max_side: int | None) -> ImageIndex:
    """The index at a path, made if there is none. What is asked for must fit the index that is there."""
    from .errors import IndexMissingError
    from .index import ImageIndex
    from .vocabulary import Vocabulary, shipped_vocabulary

    try:
        target = ImageIndex.open(path)
    except IndexMissingError:
        vocabulary = Vocabulary.load(vocab or shipped_vocabulary(features or "rootsift"))
        if features:
            vocabulary.require_features(features)
        return ImageIndex.create(path, vocabulary, max_features=max_features, max_side=max_side)
    target.require(features, Vocabulary.load(vocab) if vocab else None, max_features, max_side)
    return target


def json_line(result: SearchResult) -> str:
    """A result as one line of JSON; the README documents it."""
    matches = [
        {
            "rank": place,
            "image": match.image,
            "score": round(match.score, 4),
            "inliers": match.inliers,
            "verified": match.verified,
            "mirrored": match.mirrored,
            "outline": None if match.outline is None else match.outline.round(2).tolist(),
            "homography": None if match.homography is None else match.homography.ravel().tolist(),
        }
        for place, match in enumerate(result.matches, 1)
    ]
    seconds = {step: round(value, 5) for step, value in result.seconds.items()}
    return json.dumps({"query": result.query, "features": result.features, "seconds": seconds, "matches": matches}, allow_nan=False)


def report_text(result: SearchResult) -> str:
    """A result for reading."""
    lines = [f"{printable(result.query)}: {result.features} features, {sum(result.seconds.values()):.2f} s"]
    for place, match in enumerate(result.matches, 1):
        certainty = "verified" if match.verified else "unsure" if match.inliers else "-"
        lines.append(f"{place:3d}  {certainty:8s} {match.score:8.1f} {match.inliers:5d} inliers  {printable(match.image)}")
        if match.outline is not None and match.verified:
            corners = " ".join(f"({round(x)},{round(y)})" for x, y in match.outline.tolist())
            lines.append(f"     corners at {corners}{', mirrored' if match.mirrored else ''}")
    if not result.matches:
        lines.append("     no matches")
    return "\n".join(lines)


def write_drawing(path: Path, result: SearchResult) -> None:
    """Draw the best match of a result into a file, if anything in it agrees."""
    from .render import draw_match, save_picture

    if not result.matches or not result.matches[0].inliers:
        typer.echo(f"bovw: warning: {path}: nothing to draw, no image agrees with the query", err=True)
        return
    save_picture(path, draw_match(result.query, result.matches[0].image, result.matches[0]))
    typer.echo(f"{path}: drawing of the best match", err=True)


def printable(name: str) -> str:
    """A path that is safe to print: control characters and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def complain(error: ImageError) -> None:
    """Name a picture that was left out."""
    typer.echo(f"bovw: {printable(error.path)}: {printable(error.reason)}", err=True)


def silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody sees."""


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield advance


def fail(message: str, code: int) -> None:
    """Say what went wrong in one line and end."""
    typer.echo(f"bovw: error: {message}", err=True)
    sys.exit(code)


def main() -> None:
    """Run the command. Exit codes: 0 done, 1 something was left out or failed, 2 wrong usage, 130 interrupted."""
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        code = app(standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has gone: end quietly, and keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (typer.TyperException, typer.Abort, KeyboardInterrupt, BovwError, ImportError, OSError) as error:
        fail(*explained(error))
    else:
        if code == INTERRUPTED:  # what Typer makes of KeyboardInterrupt
            fail(*explained(KeyboardInterrupt()))
        sys.exit(code or 0)


def explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, typer.TyperException):
        return printable(error.format_message()), 2
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted; what was committed is kept", INTERRUPTED
    if isinstance(error, BovwError):
        return printable(str(error)), 2 if isinstance(error, ParameterError) else 1
    if isinstance(error, ImportError):
        return f"a library cannot be loaded: {error}; on Debian `apt install libgl1 libglib2.0-0` gives what OpenCV needs", 1
    if isinstance(error, OSError):
        return f"{printable(str(error.filename or 'input or output'))}: {error.strerror or error}", 1
    return repr(error), 1
