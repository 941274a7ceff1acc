"""What the command needs to talk: options of several commands, paths from stdin, safe names, progress, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import BovwError, ImageError, ParameterError, printable

__all__ = [
    "CORES",
    "INTERRUPTED",
    "Bar",
    "IndexOption",
    "JobsOption",
    "RootOption",
    "complain",
    "explained",
    "fail",
    "named_paths",
    "print_path",
    "progress",
]

INTERRUPTED = 130
CORES = os.cpu_count() or 1
IndexOption = Annotated[Path, typer.Option("--index", envvar="BOVW_INDEX", help="Folder of the index.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Processes that work at a time; by default one a core.")]
RootOption = Annotated[
    Path | None, typer.Option(help="The folder that the pictures are in now, if they have moved without the index (see README).")
]
Bar = Callable[[str, int, int], None]


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


def complain(error: ImageError) -> None:
    """Name a picture that was left out."""
    typer.echo(f"bovw: {printable(error.path)}: {printable(error.reason)}", err=True)


def silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody sees."""


@contextmanager
def progress() -> Iterator[Bar]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Steps a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
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


def print_path(path: str, nul: bool) -> None:
    """Print a path as a line that is safe to show, or exactly, ended by NUL."""
    if nul:
        sys.stdout.buffer.write(os.fsencode(path) + b"\0")
    else:
        typer.echo(printable(path))


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
