"""What the command needs to talk: options of several commands, paths from stdin, limits, safe
names, progress, and errors in one line.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BovwError, OutputError, ParameterError, printable
from ..reporting import Failure, Progress
from .interrupts import exit_code

if TYPE_CHECKING:
    from ..pictures.reading import Limits

__all__ = [
    "CORES",
    "INTERRUPTED",
    "Failures",
    "FalseAlarmsOption",
    "IndexOption",
    "JobsOption",
    "JsonOption",
    "LimitOption",
    "NulOption",
    "RootOption",
    "StrictOption",
    "ThoroughOption",
    "complain",
    "explained",
    "fail",
    "named_paths",
    "parsed_box",
    "parsed_limits",
    "parsed_pairs",
    "print_path",
    "progress",
    "warn",
]

INTERRUPTED = 130
CORES = os.cpu_count() or 1
IndexOption = Annotated[
    Path, typer.Option("--index", envvar="BOVW_INDEX", help="Folder of the index.")
]
JobsOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=1024,
        help="Processes that work at a time; by default one a core; 0: work in this one.",
    ),
]
NulOption = Annotated[
    bool, typer.Option("-0", help="Paths on stdin end with NUL instead of a newline.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
RootOption = Annotated[
    Path | None,
    typer.Option(
        help="The folder that the pictures are in now, if they have moved without the index."
    ),
]
FalseAlarmsOption = Annotated[
    float,
    typer.Option(
        help="Say verified only if at most about so many wrong yes a query are to be expected."
    ),
]
ThoroughOption = Annotated[
    str,
    typer.Option(
        metavar="[unsure|always]",
        help="Look harder: alone (unsure) where nothing is verified, or always.",
    ),
]
LimitOption = Annotated[
    list[str],
    typer.Option(
        "--limit",
        metavar="NAME=NUMBER",
        help="What a picture may cost: pixels, memory, file_bytes, seconds.",
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option("--strict", help="Refuse pictures that are cut off, instead of using the rest."),
]


def named_paths(arguments: list[str], nul: bool) -> list[str]:
    """The paths of the command line, with - replaced by those on stdin."""
    paths: list[str] = []
    for argument in arguments:
        if argument == "-":
            if sys.stdin is None:
                raise ParameterError("-: the standard input is closed: there are no paths to read")
            lines = sys.stdin.buffer.read().split(b"\0" if nul else b"\n")
            paths += [os.fsdecode(line) for line in lines if line]
        else:
            paths.append(argument)
    return paths


def parsed_box(text: str | None) -> tuple[int, int, int, int] | None:
    """X,Y,W,H as numbers."""
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"--box: {text!r} is not X,Y,W,H in whole pixels") from None
    return x, y, width, height


def parsed_limits(texts: list[str], strict: bool = False, base: Limits | None = None) -> Limits:
    """What pictures may cost, from NAME=NUMBER texts; the defaults for what is not named.

    Args:
        strict: whether pictures that are cut off are refused.
        base: other defaults.
    """
    from ..pictures.limits import COSTS, LIMITS

    limits = replace(base or LIMITS, strict=strict)
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value: Any = float(number) if name == "seconds" else int(float(number))
            if name not in COSTS:
                raise ValueError
            limits = replace(limits, **{name: value})
        except (TypeError, ValueError, OverflowError):
            names = ", ".join(f"{name}={getattr(LIMITS, name):g}" for name in COSTS)
            raise ParameterError(
                f"--limit: {text!r} is not one of these with a number above 0: {names}"
            ) from None
    return limits


def parsed_pairs(option: str, texts: list[str]) -> dict[str, str]:
    """KEY=VALUE texts of an option as a dictionary."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ParameterError(f"{option}: {text!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs


def complain(failure: Failure) -> None:
    """Name a picture that was left out."""
    typer.echo(f"bovw: {printable(failure.name)}: {printable(failure.reason)}", err=True)


def warn(name: str, text: str) -> None:
    """Say what is odd about a picture that is used nevertheless."""
    typer.echo(f"bovw: warning: {printable(name)}: {printable(text)}", err=True)


class Failures:
    """Pictures that were left out: named as they come, written to a file as JSON lines if wanted,
    and counted by reason in the end.
    """

    def __init__(self, path: Path | None) -> None:
        self.file = path.open("w", encoding="ascii") if path else None
        self.reasons: Counter[str] = Counter()

    def add(self, failure: Failure) -> None:
        """Take note of one."""
        complain(failure)
        self.reasons[failure.reason.partition(":")[0]] += 1
        if self.file:
            self.file.write(json.dumps({"path": failure.name, "reason": failure.reason}) + "\n")
            self.file.flush()

    def __enter__(self) -> Failures:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.file:
            self.file.close()
        if self.reasons:
            counts = (
                f"{count} x {printable(reason)}" for reason, count in self.reasons.most_common()
            )
            typer.echo(f"bovw: left out: {', '.join(counts)}", err=True)


def silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody sees."""


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as ProgressBar
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
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield advance


def fail(message: str, code: int) -> None:
    """Say what went wrong in one line and end."""
    typer.echo(f"bovw: error: {message}", err=True)
    if code > INTERRUPTED - 1:
        # Python would end by the signal instead of with this code if it had been running code from
        # a string, as for a dataclass
        with suppress(OSError, ValueError):
            if sys.stdout:
                sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def print_path(path: str, nul: bool) -> None:
    """Print a path as a line that is safe to show, or exactly, ended by NUL."""
    if nul:
        if sys.stdout is None:
            raise OutputError("standard output", "is closed")
        sys.stdout.buffer.write(os.fsencode(path) + b"\0")
    else:
        typer.echo(printable(path))


def explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, typer.TyperException):
        return printable(error.format_message()), 2
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted; what was committed is kept", exit_code()
    if isinstance(error, BovwError):
        return printable(str(error)), 2 if isinstance(error, ParameterError) else 1
    if isinstance(error, ImportError):
        return f"a library cannot be loaded: {printable(str(error))}; {cure_of(error)}", 1
    if isinstance(error, MemoryError):
        return "the memory does not suffice for what was asked", 1
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return "the current folder is gone: go to another one, or give absolute paths", 1
    if isinstance(error, OSError):
        return (
            f"{printable(str(error.filename or 'input or output'))}: {error.strerror or error}",
            1,
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    place = f"{os.path.basename(where.filename)}, line {where.lineno}"
    return f"{text} ({place}): a fault of bovw, please report it", 1


def cure_of(error: ImportError) -> str:
    """What to do about a library that cannot be loaded."""
    text = f"{error.name} {error}"
    if "libGL" in text or "libgthread" in text or "libglib" in text:
        return "on Debian `apt install libgl1 libglib2.0-0` gives what OpenCV needs"
    if "fcntl" in text:
        return "this system has no file locks; bovw runs on Linux and macOS"
    return "install bovw again, with what it depends on: pip install --force-reinstall bovw"
