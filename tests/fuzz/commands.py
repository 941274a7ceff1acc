"""Odd values for every option and argument of every command, from Typer's own description of them:
whatever is given, the command ends in one line and a code, never in a traceback.

`python -m tests.fuzz.commands --count 2000` takes so many more of them, at random.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from bovw import FeatureSpec, ImageIndex, train_vocabulary
from bovw.cli import app as command
from tests.fuzz.options import fuzz_options
from tests.helpers.command import run_here
from tests.helpers.pictures import textured

# What is a number, a path, a text, or nothing of it.
ODD = [
    *(
        "-1",
        "0",
        "1",
        "3",
        "1.5",
        "99999999999999999999",
        "1e9",
        "nan",
        "-inf",
        "x",
        " ",
        "=",
        "a=b",
    ),
    *("a,b,c,d", "0,0,0,0", "-1,-1,5,5", "[]", "{}", "\n", "\x1b[31m", "\udcff", "é写", "a" * 5000),
    *(
        "..",
        "/",
        "/dev/null",
        "/dev/full",
        "absent",
        "absent/x.png",
        "out.psd",
        "out.png",
        "photos",
    ),
    *(
        "photos/0.png",
        "broken.png",
        "i.bovw",
        "queries.tsv",
        "i.bovw/vocabulary",
        "-",
        "--",
        "rootsift",
    ),
    *("orb", "hamming", "pixels=0", "seconds=nan", "strict=1", "memory=1e99", "!", "[z-a]"),
]
# What makes a command do something, so that options matter.
BASES = {
    "train-vocab": ["photos", "--out", "v", "--words", "8", "--jobs", "0"],
    "index": ["photos", "--jobs", "0"],
    "remove": ["photos/0.png"],
    "compare": ["photos/0.png", "photos/1.png"],
    "search": ["photos/0.png"],
    "similar": ["photos/0.png"],
    "relocate": ["photos/0.png", "photos/1.png"],
    "evaluate truth": ["queries.tsv", "--jobs", "0"],
    "evaluate labels": ["--jobs", "0"],
    "evaluate run": ["run.trec", "--truth", "queries.tsv"],
    "evaluate compare": ["scores.json", "scores.json"],
}
# What takes seconds unless it is asked for nothing.
SLOW = {"evaluate self", "evaluate sweep", "evaluate modes"}


def commands(group: Any = None, before: str = "") -> Iterator[tuple[str, list[str]]]:
    """Every quick command with every way to name one of its options; an argument has no name."""
    group = group or typer.main.get_command(command.app)
    for short, each in group.commands.items():
        name = f"{before}{short}"
        if hasattr(each, "commands"):
            yield from commands(each, f"{name} ")
        elif name not in SLOW:
            yield name, [""]
            for parameter in each.params:
                yield name, list(parameter.opts) if parameter.param_type_name == "option" else [""]


def cases(count: int, seed: int) -> list[list[str]]:
    """Command lines: each option of each command with a share of the odd values."""
    rng = random.Random(seed)
    options = [(name, flag) for name, flags in commands() for flag in flags]
    chosen = []
    for number in range(count):
        name, flag = options[number % len(options)]
        odd = rng.choice(ODD)
        before = BASES.get(name, [])
        added = rng.choice([[flag, odd], [f"{flag}={odd}"], [flag]]) if flag else [odd]
        # what is no value is an argument, and a folder is searched: not the whole machine
        added = ["absent" if each in ("..", "/") else each for each in added]
        chosen.append([*name.split(), *(before if rng.random() < 0.9 else []), *added])
    return chosen


def make_world(folder: Path) -> None:
    """Pictures, an index, a broken picture, and a table of queries."""
    import cv2

    (folder / "photos").mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), textured(number, 120, 90))
    photos = [folder / "photos" / f"{number}.png" for number in range(3)]
    vocabulary, _ = train_vocabulary(photos, 16, FeatureSpec("rootsift", 60, 128))
    with ImageIndex.create(folder / "index.bovw", vocabulary) as index:
        index.add(folder / "photos")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (folder / "queries.tsv").write_text("query\trelevant\nphotos/0.png\tphotos/1.png\n")
    (folder / "run.trec").write_text("photos/0.png Q0 photos/1.png 1 0.5 x\n")
    (folder / "scores.json").write_text('{"queries": []}')


def faults(count: int, seed: int) -> list[str]:
    """What command lines did that is none of ours."""
    found, here = [], os.getcwd()
    with tempfile.TemporaryDirectory() as work:
        make_world(Path(work))
        os.chdir(work)
        try:
            for arguments in cases(count, seed):
                try:
                    done = run_here(*arguments, stdin=b"photos/0.png\n")
                    code, said = str(done.returncode), done.stderr
                except BaseException as error:
                    code, said = repr(error), ""
                if code not in ("0", "1", "2") or "a fault of bovw" in said or "Traceback" in said:
                    found.append(f"{arguments!r:.300}: {code}: {said[-300:]}")
        finally:
            os.chdir(here)
    return found


if __name__ == "__main__":
    options = fuzz_options(__doc__)
    sys.stdout.write("\n".join(faults(options.count, options.seed)) or "no faults\n")
