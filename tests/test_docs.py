"""The documentation is true: what it shows is run, what it links to is there, and the pages of
library and command are made anew.
"""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import bovw
from bovw import ImageIndex
from bovw.cli import app
from tests.helpers.command import run_here
from tests.helpers.pages import Block, anchors, blocks, links, named_commands, prints

HERE = Path(__file__).parents[1]
PHOTOS = sorted((HERE / "data" / "photos").iterdir())[2:8]
NAMES = [name for name in bovw.__all__ if name != "__version__"]
PAGES = [*sorted(HERE.glob("*.md")), *sorted((HERE / "docs").glob("*.md"))]
# Pages whose blocks have tests of their own.
ELSEWHERE = {"api.md", "inspection.md"}
# Commands that tell by their exit code what they found.
TELLING = re.compile(r"bovw duplicates|--exit-code")
# What needs a shell.
SHELL = re.compile(r"[|<>&;*$]")
# Options of every command.
GENERAL = {"-h", "--help", "-q", "-v"}
FIRST = "bovw index data/photos"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the examples run: six photographs, an index of them, a query."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "photos").mkdir()
    for photo in PHOTOS:
        shutil.copy(photo, folder / "photos")
    shutil.copy(HERE / "data" / "query.jpg", folder)
    with ImageIndex.create(folder / "photos.bovw") as index:
        assert index.add(folder / "photos").added == 6
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name: str) -> None:
    thing = getattr(bovw, name)
    source = inspect.getdoc(thing) or ""
    example = doctest.DocTestParser().get_doctest(source, {}, name, None, 0)
    assert example.examples, f"{name} shows no example"
    told: list[str] = []
    result = doctest.DocTestRunner().run(example, out=told.append)
    assert not result.failed, "".join(told)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["make-api", "make-man"])
def test_the_page_is_what_the_docstrings_and_the_help_say(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "scripts" / script), "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not place or place in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_run_or_says_why_not(page: Path) -> None:
    for block in [] if page.name in ELSEWHERE else blocks(page):
        assert not block.is_typed or block.is_run or block.is_excused, (
            f"{block.where}: write `$ ` before each command and fence the block, so that it is run "
            "here; or say in it, or once for the page, why it is not run by the tests: see "
            f"CONTRIBUTING.md\n{block.text}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    for words in named_commands(page) if page.name != "CHANGELOG.md" else []:
        command: Any = typer.main.get_command(app.app)
        while hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words[0]]
            words = [*words[1:], ""]
        asked = [command, *getattr(command, "commands", {}).values()]
        known = [each for one in asked for each in one.params]
        told = {name for each in known for name in (*each.opts, *each.secondary_opts)}
        unknown = {word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word)} - told
        assert not unknown - GENERAL, f"{page.name}: {command.name} has no {unknown}"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The pictures of data/ with their index, which most pages begin with, and what making it
    printed.
    """
    folder = tmp_path_factory.mktemp("pages")
    (folder / "data").mkdir()
    shutil.copytree(HERE / "data" / "photos", folder / "data" / "photos")
    shutil.copy(HERE / "data" / "query.jpg", folder / "data")
    with contextlib.chdir(folder):
        done = run_here(*FIRST.split()[1:])
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def told_by(command: str) -> str:
    """What a command prints: its results, then the rest."""
    if command.startswith("bovw ") and not SHELL.search(command):
        done = run_here(*shlex.split(command)[1:])
    else:
        bovw_function = f'bovw() {{ "{sys.executable}" -m bovw "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", bovw_function + command],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
    allowed = (0, 1) if TELLING.search(command) else (0,)
    assert done.returncode in allowed, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def run(block: Block, names: dict[str, Any], begun: str) -> None:
    """Run a block in this folder, and compare what it prints with what the page shows."""
    if block.kind == "python":
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block.text, block.where, "exec"), names)
        return
    for command, shown in block.commands():
        told = begun if command == FIRST else told_by(command)
        assert not shown.strip() or prints(told, shown), f"{block.where}: {command}\n{told}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ELSEWHERE and any(b.is_run for b in blocks(page))],
    ids=lambda page: page.name,
)
def test_a_page_shows_what_happens(page: Path, begun: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(begun[0], tmp_path / "here", copy_function=os.link)
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path / "here"):
        for block in blocks(page):
            if block.is_run:
                run(block, names, begun[1])
