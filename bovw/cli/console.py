"""What the command needs to talk: options of several commands, paths from stdin, limits, safe
names, progress, and errors in one line.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from ..errors import BovwError, ParameterError, printable
from ..reporting import Failure, Progress
from .interrupts import exit_code
from .options import QuietOption, VerboseOption

if TYPE_CHECKING:
    from ..pictures.reading import Limits

__all__ = [
    "INTERRUPTED",
    "Failures",
    "Pace",
    "complain",
    "detail",
    "explained",
    "fail",
    "name_removed",
    "named_paths",
    "note",
    "parsed_box",
    "parsed_limits",
    "parsed_pairs",
    "progress",
    "say",
    "say_passed_over",
    "talkative",
    "voice",
    "warn",
]

INTERRUPTED = 130


@dataclass
class Voice:
    """How much the command says beside results and errors.

    Attributes:
        quiet: nothing.
        verbose: more than usual.
    """

    quiet: bool = False
    verbose: bool = False


voice = Voice()


def talkative(function: Callable[..., None]) -> Callable[..., None]:
    """A command with the options -q and -v."""

    @wraps(function)
    def command(*, quiet: bool, verbose: bool, **arguments: Any) -> None:
        voice.quiet, voice.verbose = quiet and not verbose, verbose
        function(**arguments)

    signature = inspect.signature(function, eval_str=True)
    kind, more = inspect.Parameter.KEYWORD_ONLY, {"quiet": QuietOption, "verbose": VerboseOption}
    added = [inspect.Parameter(name, kind, default=False, annotation=more[name]) for name in more]
    own = [parameter.replace(kind=kind) for parameter in signature.parameters.values()]
    command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {**function.__annotations__, **more}
    return command


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
    """Say what is odd about something that is used nevertheless; with -q, nothing."""
    note(f"warning: {printable(name)}: {printable(text)}")


def say(text: str) -> None:
    """Say what was done, on stdout; with -q, nothing."""
    if not voice.quiet:
        typer.echo(text)


def note(text: str) -> None:
    """Say something beside the results; with -q, nothing."""
    if not voice.quiet:
        typer.echo(f"bovw: {text}", err=True)


def detail(text: str) -> None:
    """Say something that few want to know: only with -v."""
    if voice.verbose:
        typer.echo(f"bovw: {text}", err=True)


def say_passed_over(passed_over: Counter[str]) -> None:
    """Say what was not looked at, if anything."""
    from ..pictures.folders import passed_over_text

    if passed_over:
        note(f"not looked at: {passed_over_text(passed_over)}")


def name_removed(names: Iterable[str], dry_run: bool) -> None:
    """Name the images that a dry run would remove or, with -v, those that were removed."""
    for name in names:
        if dry_run:
            typer.echo(f"would remove {printable(name)}")
        else:
            detail(f"removed {printable(name)}")


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


class Pace:
    """How fast a stage of long work goes: its steps come by the dozen, so the last minute counts.

    Attributes:
        samples: (seconds, steps that were done then), the oldest that counts first.
    """

    def __init__(self, now: float) -> None:
        self.samples = deque([(now, 0)])

    def text(self, now: float, done: int, total: int) -> str:
        """The rate and the time that is left, in words."""
        if now - self.samples[-1][0] >= 1:
            self.samples.append((now, done))
        while len(self.samples) > 2 and now - self.samples[1][0] > 60:
            self.samples.popleft()
        then, before = self.samples[0]
        rate = (done - before) / max(now - then, 1e-3)
        if rate <= 0:
            return ""
        left = timedelta(seconds=round((total - done) / rate))
        return f"{rate:,.{0 if rate >= 10 else 1}f}/s, {left} left"


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere. It is there from the
    beginning, when nobody knows yet how much there is to do.
    """
    if voice.quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as ProgressBar

    ends = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
    columns = (ends[0], BarColumn(), MofNCompleteColumn(), ends[1])
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, tuple[Any, Pace]] = {}
        beginning, last = bar.add_task("begin", total=None, pace=""), time.monotonic()

        def advance(stage: str, done: int, total: int) -> None:
            nonlocal last
            bar.update(beginning, visible=False)
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, pace=""), Pace(last)
            task, pace = tasks[stage]
            last = time.monotonic()
            bar.update(task, completed=done, total=total, pace=pace.text(last, done, total))

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


def explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, typer.TyperException):
        message = printable(error.format_message()).rstrip(".")
        return f"{message} (see `{command_of(error)} --help`)", 2
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
    if voice.verbose:
        traceback.print_exception(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    place = f"{os.path.basename(where.filename)}, line {where.lineno}"
    return f"{text} ({place}): a fault of bovw, please report it", 1


def command_of(error: typer.TyperException) -> str:
    """The command that was used wrongly."""
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context else "bovw"


def cure_of(error: ImportError) -> str:
    """What to do about a library that cannot be loaded."""
    text = f"{error.name} {error}"
    if "libGL" in text or "libgthread" in text or "libglib" in text:
        return "on Debian `apt install libgl1 libglib2.0-0` gives what OpenCV needs"
    if "fcntl" in text:
        return "this system has no file locks; bovw runs on Linux and macOS"
    return "install bovw again, with what it depends on: pip install --force-reinstall bovw"
