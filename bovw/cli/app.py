"""The `bovw` command: what there is, and the one net for whatever goes wrong. Results go to stdout,
everything else to stderr.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from ..errors import printable
from ..version import __version__
from . import cluster, experiments, indexing, keeping, overview, searching, serving, similar
from .console import INTERRUPTED, explained, fail, talkative
from .interrupts import listen
from .options import EXAMPLES, SETTINGS, Command

__all__ = ["main"]

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"bovw {__version__}")
        raise typer.Exit


@app.callback()
def bovw(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Find the picture that a crop, a detail or a distorted copy came from."""


def show_help(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Such as search.")
    ] = None,
) -> None:
    """Show the help of a command."""
    root = context.find_root()
    arguments = [*(command or []), "--help"]
    root.command.main(arguments, prog_name=root.info_name, standalone_mode=False)


# Every command: its name, its function, and what the list of all commands says of it.
COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("index", indexing.index, "Add pictures to an index, or make one."),
    ("search", searching.search, "Find the images that show or contain what a picture shows."),
    ("similar", similar.similar, "Find the images that look like a picture as a whole."),
    ("compare", searching.compare, "Is a picture in another, and where do they differ?"),
    ("duplicates", similar.duplicates, "Group images that are copies of one another."),
    ("map", overview.map_index, "Lay the images of an index out: what looks alike lies near."),
    ("serve", serving.serve, "Serve a page and an API over HTTP."),
    ("list", keeping.list_images, "List the images of an index."),
    ("info", keeping.info, "Say what an index is, in numbers."),
    ("check", keeping.check, "Say whether an index is sound."),
    ("remove", keeping.remove, "Remove images from an index."),
    ("relocate", keeping.relocate, "Tell an index where its pictures are now."),
    ("merge", keeping.merge, "Make an index as small and fast as it can be."),
    ("upgrade", keeping.upgrade, "Bring an index of an earlier version up to date."),
    ("train-vocab", keeping.train_vocab, "Train a vocabulary on pictures of your own."),
)
for name, function, summary in COMMANDS:
    app.command(name, cls=Command, short_help=summary, epilog=EXAMPLES[name])(talkative(function))
# clusters of images or, with one of its commands, a cluster of machines
cluster.app.callback(
    invoke_without_command=True, no_args_is_help=False, help=overview.cluster.__doc__
)(talkative(overview.cluster))
app.add_typer(
    cluster.app,
    name="cluster",
    short_help="Put together what looks alike; or search on several machines.",
)
app.add_typer(experiments.app, name="evaluate", short_help="Measure how well an index answers.")
app.command("help", cls=Command, short_help="Show the help of a command.")(show_help)


def main() -> None:
    """Run the command. Exit codes: 0 done, 1 something was left out or failed, 2 wrong usage, 130
    interrupted, 143
    terminated.
    """
    if sys.argv[1:] in ([], ["evaluate"]):
        sys.argv.append("--help")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    require_no_empty(sys.argv[1:])
    listen()
    sys.argv[1:] = with_values(sys.argv[1:])
    warnings.filterwarnings(
        "ignore", module=r"PIL\."
    )  # what is wrong with a picture is said by its ImageError
    try:
        code = app(prog_name="bovw", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has gone: end quietly, and keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:  # the one net: whatever it is, in one line
        fail(*explained(error))
    else:
        if code == INTERRUPTED:  # what Typer makes of KeyboardInterrupt
            fail(*explained(KeyboardInterrupt()))
        sys.exit(code or 0)


def require_no_empty(arguments: list[str]) -> None:
    """End unless each argument says something: an empty one is a variable that is not set, as a
    rule, and as a path it would mean the current folder.
    """
    before = "bovw"
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not argument or (equals and not value and name.startswith("-")):
            where = name if argument else f"after {before}"
            fail(f"{printable(where)}: an empty argument names nothing; is a variable not set?", 2)
        before = argument


def with_values(arguments: list[str]) -> list[str]:
    """Arguments in which `--thorough`, which may stand alone, has its value: Typer knows no option
    that may have one. Of `duplicates` it has none.
    """
    if arguments[:1] == ["duplicates"]:
        return arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = ["--thorough=unsure" if each == "--thorough" else each for each in arguments[:end]]
    return options + arguments[end:]
