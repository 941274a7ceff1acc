"""What the command says of itself, and the habits that people bring from other commands."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer

import bovw
from bovw import ImageIndex, Vocabulary
from bovw.cli import app
from bovw.cli.console import Pace
from bovw.cli.options import EXAMPLES
from tests.helpers.command import run_here

PATHS = [["bovw"], *(name.split() for name in EXAMPLES)]


@pytest.fixture
def home(
    tmp_path: Path, photos: list[Path], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder: six pictures in photos/, an index of them, a blank query."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number in range(6):
        shutil.copy(photos[number], tmp_path / "photos" / f"{number}.png")
    with ImageIndex.create(tmp_path / "index.bovw", vocabulary) as index:
        index.add(tmp_path / "photos")
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((64, 64), 9, np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its name."""
    group = group or typer.main.get_command(app.app)
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*before, name))
        else:
            yield " ".join((*before, name)), each


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_has_headings_and_examples_and_no_types(name: str) -> None:
    done = run_here(*name.split(), "-h")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run_here(*name.split(), "--help").stdout
    assert done.stdout == run_here("help", *name.split()).stdout
    assert not re.search(r"<\w|list\[|int range", done.stdout)
    assert f"\nExamples:\n  bovw {name} " in done.stdout and "Usage: bovw " in done.stdout


def test_every_command_has_examples_and_they_can_be_typed() -> None:
    known = dict(commands())
    assert set(known) - set(EXAMPLES) == {"help"}
    for text in EXAMPLES.values():
        for line in text.strip().splitlines():
            typed = re.split(r"\s{3}|>|\|", line[line.index("bovw ") :])[0]
            called = shlex.split(typed)[1:]
            name = next(each for each in known if called[: len(each.split())] == each.split())
            arguments = app.with_values(called[len(name.split()) :])
            known[name].make_context(name, arguments)  # raises what is wrong with them


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["serch"], "bovw"),
        (["search"], "bovw search"),
        (["index", "--nonsense"], "bovw index"),
        (["search", "x", "-k", "0"], "bovw search"),
        (["evaluate", "truth"], "bovw evaluate truth"),
        (["help", "serch"], "bovw"),
    ],
)
def test_wrong_usage_points_to_help(arguments: list[str], where: str) -> None:
    done = run_here(*arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.endswith(f" (see `{where} --help`)\n")


def test_version_is_asked_for_as_everywhere() -> None:
    assert run_here("-V").stdout == run_here("--version").stdout == f"bovw {bovw.__version__}\n"


def test_a_shell_completes_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_BOVW_COMPLETE", "complete_bash")
    for words, expected in (
        ("bovw sea", "search"),
        ("bovw search --sco", "--scoring"),
        ("bovw search --scoring h", "hamming"),
        ("bovw evaluate sw", "sweep"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert run_here().stdout.split() == [expected]


@pytest.mark.usefixtures("home")
def test_variables_stand_for_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOVW_K", "1")
    monkeypatch.setenv("BOVW_ALL", "1")
    assert run_here("search", "photos/0.png").stdout.count("inliers") == 1
    assert run_here("search", "photos/0.png", "-k", "2").stdout.count("inliers") == 2
    monkeypatch.setenv("BOVW_LIMIT", "pixels=99 seconds=5")
    assert "is too large" in run_here("search", "photos/0.png").stderr
    monkeypatch.setenv("BOVW_K", "many")
    done = run_here("search", "photos/0.png")
    assert done.returncode == 2 and "BOVW_K" in done.stderr


def test_variables_are_documented() -> None:
    names = set()
    for _, command in commands():
        for parameter in command.params:
            names |= {parameter.envvar} if getattr(parameter, "envvar", None) else set()
    page = (Path(app.__file__).parents[2] / "docs" / "command.md").read_text()
    missing = {name for name in names if f"`{name}`" not in page}
    assert names and not missing


def test_an_index_is_looked_for_in_the_folders_above(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home / "photos" / "more")
    assert len(run_here("list").stdout.splitlines()) == 6
    shutil.copy(home / "photos" / "0.png", "new.png")
    assert run_here("index", ".").stdout.startswith("../../index.bovw: 7 images: 1 added")
    assert not Path("index.bovw").exists()
    listed = run_here("list").stdout.splitlines()
    assert all(Path(path).is_file() for path in listed)
    found = run_here("search", "../0.png", "-k", "1", "--json").stdout
    assert Path(json.loads(found)["matches"][0]["image"]).samefile("../0.png")
    # what is named is meant, and so is what belongs to somebody else not
    assert run_here("list", "--index", "index.bovw").returncode == 1
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert run_here("list").returncode == (0 if os.stat(home).st_uid == 0 else 1)


@pytest.mark.usefixtures("home")
def test_a_folder_of_queries_is_its_pictures() -> None:
    done = run_here("search", "photos", "blank.png", "-k", "1", "--json")
    asked = [json.loads(line)["query"] for line in done.stdout.splitlines()]
    assert asked == [*(f"photos/{number}.png" for number in range(6)), "blank.png"]
    done = run_here("search", "photos/more")
    assert (done.returncode, done.stdout) == (1, "")
    assert "photos/more: there are no pictures in this folder" in done.stderr
    assert "takes one query, not 6" in run_here("search", "photos", "--draw", "x.png").stderr


@pytest.mark.usefixtures("home")
def test_only_the_first_answers_that_nothing_verifies_are_shown_unasked() -> None:
    few, all_of_them = (run_here("search", "photos/0.png", *more).stdout for more in ([], ["-a"]))
    count = all_of_them.count("inliers")
    verified = all_of_them.count(" verified ")
    assert verified == 1 and count == 6 and few.count("inliers") == verified + 3
    assert few.endswith("     2 more that nothing verifies: --all shows them\n")
    assert few.splitlines()[1:3] == all_of_them.splitlines()[1:3]


@pytest.mark.usefixtures("home")
def test_only_what_is_certain_and_whether_anything_is() -> None:
    asked = ("search", "photos/0.png", "photos/1.png", "--verified", "--json")
    lines = [json.loads(line) for line in run_here(*asked).stdout.splitlines()]
    assert [[each["verified"] for each in line["matches"]] for line in lines] == [[True], [True]]
    shown = run_here("search", "blank.png", "--verified").stdout
    assert shown.endswith("     nothing is verified\n")
    for query, code in (("photos/0.png", 0), ("blank.png", 1), ("photos", 0)):
        assert run_here("search", query).returncode == 0
        assert run_here("search", query, "--exit-code").returncode == code


@pytest.mark.usefixtures("home")
def test_csv_has_a_line_for_each_answer_and_for_each_query_without() -> None:
    os.rename("photos/1.png", "photos/gone.png")
    queries = ("photos/0.png", "blank.png", "absent.png")
    done = run_here("search", *queries, "--csv", "-k", "6")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["query"] for row in rows] == [queries[0]] * 6 + list(queries[1:])
    first = rows[0]
    assert (first["image"], first["verdict"]) == ("photos/0.png", "verified")
    corners = [float(first[f"{axis}{corner}"]) for corner in (1, 2, 3, 4) for axis in "xy"]
    np.testing.assert_allclose(corners, [0, 0, 159, 0, 159, 119, 0, 119], atol=1)
    assert {row["gone"] for row in rows if row["image"] == "photos/1.png"} == {"True"}
    assert (rows[-1]["error"], done.returncode) == ("there is no such file", 1)
    assert "--json, --csv: take one" in run_here("search", queries[0], "--csv", "--json").stderr


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "photos/0.png", "--draw", "match.psd"],
        ["search", "photos/0.png", "--draw", "absent/match.png"],
        ["search", "photos/0.png", "--report", "absent/page.html"],
        ["index", "photos", "--report-errors", "absent/errors"],
        ["evaluate", "self", "--save", "photos"],
        ["evaluate", "self", "--run", "absent/run"],
        ["compare", "photos/0.png", "photos/1.png", "--draw", "photos"],
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_done(arguments: list[str]) -> None:
    done = run_here(*arguments)
    assert (done.returncode, done.stdout) == (1, "") and "cannot be written" in done.stderr


def test_an_index_is_not_made_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for named in ("photso", "photos"):
        done = run_here("index", named)
        assert (done.returncode, done.stdout) == (1, "")
        assert "index.bovw: is not made: there are no pictures" in done.stderr
    assert os.listdir() == ["photos"]


def test_dry_runs_and_moves(home: Path) -> None:
    os.unlink("photos/0.png")
    would = run_here("index", "photos", "--prune", "--dry-run").stdout.splitlines()
    assert would[0] == "would remove photos/0.png" and "(dry run: nothing was done)" in would[1]
    assert run_here("remove", "photos/1.png", "--dry-run").stdout.splitlines() == [
        "would remove photos/1.png",
        "index.bovw: 6 images: 1 removed (dry run: nothing was done)",
    ]
    assert len(run_here("list").stdout.splitlines()) == 6
    new = run_here("index", "photos", "--index", "new.bovw", "--dry-run").stdout
    assert "5 added" in new and not Path("new.bovw").exists()
    (home / "photos").rename(home / "Bilder")
    assert run_here("relocate", "photos", "Bilder").stdout.endswith(" 6 relocated\n")
    again = run_here("relocate", "photos", "Bilder")
    assert (again.returncode, again.stderr) == (1, "bovw: photos: is not in the index\n")


@pytest.mark.usefixtures("home")
def test_quiet_says_results_and_errors_alone_and_verbose_says_more() -> None:
    assert (run_here("index", "photos", "-q").stdout, run_here("merge", "-q").stdout) == ("", "")
    quiet = run_here("search", "blank.png", "absent.png", "-q")
    assert quiet.stdout.startswith("blank.png: 0 features")
    assert quiet.stderr == "bovw: absent.png: there is no such file\n"
    assert "warning: blank.png" in run_here("search", "blank.png").stderr
    verbose = run_here("search", "photos/0.png", "-v").stderr
    assert "index.bovw: 6 images" in verbose and "extract 0." in verbose
    assert run_here("remove", "photos/0.png", "-v").stderr == "bovw: removed photos/0.png\n"


def test_the_pace_of_bursts_is_that_of_the_last_minute() -> None:
    pace = Pace(0.0)
    for number in range(1, 9):  # eight steps arrive at once
        text = pace.text(16.0, number, 800)
    assert text == "0.5/s, 0:26:24 left"
    for second in range(17, 117):
        text = pace.text(float(second), 8 + 20 * (second - 16), 8000)
    assert text == "20/s, 0:05:00 left"
    assert Pace(0.0).text(1.0, 0, 9) == ""
