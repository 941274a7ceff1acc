"""What `--help` shows: the options that several commands have, each under its heading and with the
environment variable that gives it, and examples that can be typed.
"""

from __future__ import annotations

import os
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..errors import OutputError

__all__ = [
    "ACTIONS",
    "CORES",
    "DRY",
    "EXAMPLES",
    "FEATURES",
    "FEATURE_PANEL",
    "HOW",
    "INDEX_NAME",
    "OUTPUT",
    "PHOTOS",
    "PICTURES",
    "PLACES",
    "SETTINGS",
    "Command",
    "DrawOption",
    "DryRunOption",
    "ExpandOption",
    "FalseAlarmsOption",
    "IndexOption",
    "JobsOption",
    "JsonOption",
    "LimitOption",
    "MirrorOption",
    "NulOption",
    "QuietOption",
    "ReportErrorsOption",
    "RootOption",
    "ScoringOption",
    "StrictOption",
    "ThoroughOption",
    "VerboseOption",
    "VerifyOption",
    "WaitOption",
    "WordsOption",
    "nearest_index",
    "option",
    "writable",
]

INDEX_NAME = Path("index.bovw")
CORES = os.cpu_count() or 1
# What stands behind the numbers of a run that only says what it would do.
DRY = " (dry run: nothing was done)"
# The headings of help.
PICTURES, ACTIONS, OUTPUT, HOW = "Pictures", "What to do", "Output", "How to search"
FEATURE_PANEL, PLACES, OTHER = "Features", "Index, places, processes", "Other options"
# Of every command.
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EXAMPLES = {
    "index": """
        bovw index ~/Pictures                           add what is new or changed
        bovw index ~/Pictures --prune --dry-run         what would be added, and what would go
        bovw index ~/Pictures --exclude 'raw/' --exclude '*.tif'
        find . -name '*.jpg' -print0 | bovw index - -0
        """,
    "search": """
        bovw search --crop detail.jpg                   which image contains it?
        bovw search photo.jpg --draw match.png          which show the same thing?
        bovw search scans --csv -k 1 > found.csv        all pictures of a folder
        bovw search --crop poster.jpg --thorough        look harder if nothing is certain
        bovw search --exit-code photo.jpg > /dev/null || echo new
        """,
    "serve": """
        bovw serve                                      the index here, for this machine only
        bovw serve --index a.bovw --index b.bovw --experiments evaluations
        BOVW_TOKEN=... bovw serve --host 0.0.0.0        for others, too
        """,
    "similar": """
        bovw similar photo.jpg                          copies, and other views
        bovw similar photo.jpg --by colour -k 30 --report colours.html
        bovw similar photo.jpg --by vlad=1,colour=.6
        """,
    "compare": "bovw compare before.jpg after.jpg --draw differences.png",
    "map": """
        bovw map --page map.html                        to pan, zoom, hover and click
        bovw map --picture map.jpg --csv map.csv
        bovw map --by colour --tune tune.html
        """,
    "duplicates": """
        bovw duplicates                                 all groups, and what would be kept
        bovw duplicates --kind exact --csv > same.csv   files of the same bytes
        bovw duplicates --reference originals --report copies.html
        bovw duplicates --delete-script remove.sh       read it; nothing is deleted before it runs
        bovw duplicates --against archive.bovw          which images does the archive have?
        """,
    "list": """
        bovw list --json
        bovw list -0 | xargs -0 ls -l
        """,
    "info": "bovw info --json",
    "check": "bovw check --index photos.bovw",
    "remove": """
        bovw remove holiday.jpg albums/2019
        bovw remove --id 'board 7' --dry-run
        """,
    "relocate": "bovw relocate ~/pics ~/Bilder                   after mv ~/pics ~/Bilder",
    "merge": "bovw merge --index photos.bovw",
    "upgrade": """
        bovw upgrade --dry-run                          what would be written anew
        bovw upgrade --index photos.bovw
        """,
    "train-vocab": """
        bovw train-vocab ~/Pictures --out my-words --words 20000
        bovw train-vocab sample --out my-words --collection 5000000
        bovw index ~/Pictures --vocab my-words
        """,
    "cluster create": "bovw cluster create photos.toml --shards 8 --store s3://bucket/photos",
    "cluster index": "bovw cluster index photos.toml /mnt/photos",
    "cluster remove": "bovw cluster remove photos.toml /mnt/photos/2019",
    "cluster serve": "bovw cluster serve photos.toml",
    "cluster status": "bovw cluster status photos.toml --json",
    "cluster check": "bovw cluster check photos.toml",
    "cluster clean": "bovw cluster clean photos.toml --older-than 3",
    "evaluate self": "bovw evaluate self --report evaluation.html",
    "evaluate truth": "bovw evaluate truth queries.tsv --save scores.json",
    "evaluate run": "bovw evaluate run other.trec --truth queries.tsv",
    "evaluate labels": "bovw evaluate labels --by vlad",
    "evaluate modes": """
        bovw evaluate modes                             on queries made of its own pictures
        bovw evaluate modes queries.tsv --save modes.json
        bovw evaluate modes --classes --by search --by fused
        """,
    "evaluate cifar": "bovw evaluate cifar cifar-10-batches-bin --out cifar",
    "evaluate sweep": "bovw evaluate sweep --sample 8",
    "evaluate compare": "bovw evaluate compare before.json after.json",
}


class Command(TyperCommand):
    """A command whose help has its options under headings, and its examples line by line."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options under their headings."""
        panels: dict[str, list[tuple[str, str]]] = {}
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            record = parameter.get_help_record(ctx)
            heading = getattr(parameter, "rich_help_panel", None) or OTHER
            if record and parameter.param_type_name == "argument":
                heading, record = "Arguments", (argument_name(parameter), parameter.help)
            if record:
                panels.setdefault(heading, []).append(record)
        for heading, records in panels.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the name of the command in the line of usage."""
        parameters = [each for each in self.get_params(ctx) if each.param_type_name == "argument"]
        return ["[OPTIONS]", *map(argument_name, parameters)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the examples."""
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write(
                    "".join(f"  {line}\n" for line in cleandoc(self.epilog).split("\n"))
                )


def argument_name(argument: Any) -> str:
    """An argument as help shows it, such as [PHOTOS]..."""
    name = str(argument.metavar or argument.name.upper())
    shown = name if argument.required else f"[{name}]"
    return shown + "..." if argument.nargs == -1 else shown


def option(
    heading: str, text: str, *names: str, value: str = "", env: str = "", **settings: Any
) -> Any:
    """An option under a heading of help.

    Args:
        text: what help says of it.
        names: how it is called, if not like its parameter.
        value: what stands for its value.
        env: the environment variable that gives it, without BOVW_.
        settings: as for typer.Option.
    """
    settings |= {"metavar": value or None, "envvar": f"BOVW_{env}" if env else None}
    return typer.Option(*names, help=text, rich_help_panel=heading, **settings)


def writable(path: Path | None) -> Path | None:
    """A file that can be written, as far as its folder says: before anything is worked on. Raises
    OutputError.
    """
    if path is not None:
        if not path.parent.is_dir():
            raise OutputError(path, f"cannot be written: there is no folder {path.parent}")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise OutputError(path, "cannot be written: it is a folder, or you may not write there")
    return path


def nearest_index(context: typer.Context, param: typer.CallbackParam, path: Path) -> Path:
    """The index that is meant if none is named: that of the current folder or, if it has none, of
    the nearest folder above, as git looks for its own. Not beyond the file system, and not one that
    belongs to somebody else.
    """
    source = context.get_parameter_source(param.name or "")
    if source is None or source.name != "DEFAULT" or os.path.lexists(path):
        return path
    folder, above = Path(os.curdir), Path(os.pardir)
    try:
        while not os.path.samefile(folder, above):
            if os.stat(folder).st_dev != os.stat(above).st_dev:
                break
            if (above / path).is_dir():
                owner = os.stat(above / path).st_uid
                return above / path if owner in (os.getuid(), 0) else path
            folder, above = above, above / os.pardir
    except OSError:  # the current folder is gone, or nobody may look into one above
        pass
    return path


PHOTOS = typer.Argument(
    metavar="PHOTOS", help="Picture files and folders; - reads paths from stdin."
)
IndexOption = Annotated[
    Path,
    option(
        PLACES,
        "Folder of the index.",
        "--index",
        value="PATH",
        env="INDEX",
        callback=nearest_index,
        show_default="index.bovw here or in a folder above",
    ),
]
RootOption = Annotated[
    Path | None,
    option(
        PLACES,
        "The folder that the pictures are in now, if they have moved without the index.",
        value="PATH",
        env="ROOT",
    ),
]
WaitOption = Annotated[
    bool,
    option(PLACES, "Wait while another process is writing to the index.", "--wait", env="WAIT"),
]
JobsOption = Annotated[
    int,
    option(
        PLACES,
        "Processes that work at a time; 0: work in this one.",
        value="N",
        env="JOBS",
        min=0,
        max=1024,
        show_default="one a core",
    ),
]
NulOption = Annotated[
    bool, option(PICTURES, "Paths on stdin end with NUL instead of a newline.", "-0")
]
LimitOption = Annotated[
    list[str],
    option(
        PICTURES,
        "What a picture may cost: pixels, memory, file_bytes, seconds; repeatable.",
        value="NAME=NUMBER",
        env="LIMIT",
    ),
]
StrictOption = Annotated[
    bool,
    option(
        PICTURES,
        "Refuse pictures that are cut off, instead of using the rest.",
        "--strict",
        env="STRICT",
    ),
]
FEATURES = option(
    FEATURE_PANEL,
    "The kind of features, rootsift by default; orb is extracted faster, and finds less.",
    value="[rootsift|orb]",
    env="FEATURES",
    autocompletion=lambda: ["rootsift", "orb"],
)
ReportErrorsOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "Write what was left out, and why, here as JSON lines.",
        value="FILE",
        env="REPORT_ERRORS",
        callback=writable,
    ),
]
JsonOption = Annotated[bool, option(OUTPUT, "As JSON, for programs.", "--json")]
DryRunOption = Annotated[bool, option(ACTIONS, "Say what would be done; do nothing.", "--dry-run")]
DrawOption = Annotated[
    Path | None,
    option(OUTPUT, "Write a picture here of what was found, such as match.png.", value="FILE"),
]
ScoringOption = Annotated[
    str,
    option(
        HOW,
        "hamming, or tfidf: the textbook baseline.",
        value="[hamming|tfidf]",
        env="SCORING",
        autocompletion=lambda: ["hamming", "tfidf"],
    ),
]
VerifyOption = Annotated[
    int,
    option(HOW, "Check the geometry of so many candidates.", value="N", env="VERIFY", min=0),
]
WordsOption = Annotated[
    int,
    option(
        HOW,
        "Nearest words a feature: more finds more, and takes longer.",
        value="N",
        env="WORDS",
        min=1,
    ),
]
MirrorOption = Annotated[
    bool, option(HOW, "Try the query mirrored as well.", "--mirror/--no-mirror", env="MIRROR")
]
FalseAlarmsOption = Annotated[
    float,
    option(
        HOW,
        "Say verified only if at most about so many wrong yes a query are to be expected.",
        value="RATE",
        env="FALSE_ALARMS",
    ),
]
ThoroughOption = Annotated[
    str,
    option(
        HOW,
        "Look harder: alone (unsure) where nothing is verified, or always.",
        value="[unsure|always]",
        env="THOROUGH",
        autocompletion=lambda: ["unsure", "always"],
    ),
]
ExpandOption = Annotated[
    bool,
    option(
        HOW,
        "Ask again with what verified images show: more views, twice the time.",
        "--expand",
        env="EXPAND",
    ),
]
QuietOption = Annotated[
    bool, option(OTHER, "Say nothing but results and errors.", "-q", "--quiet", env="QUIET")
]
VerboseOption = Annotated[
    bool, option(OTHER, "Say more of what is done.", "-v", "--verbose", env="VERBOSE")
]
