"""What people do to a command without thinking, and what becomes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bovw import ImageIndex, ParameterError, Vocabulary
from tests.helpers.command import run


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, photos: list[Path], vocabulary: Vocabulary
) -> Path:
    """A folder with three pictures in photos/ and an index of them. A test that changes it copies
    it.
    """
    folder = tmp_path_factory.mktemp("habits")
    (folder / "photos").mkdir()
    for number in range(3):
        shutil.copy(photos[number], folder / "photos" / f"{number}.png")
    with ImageIndex.create(folder / "index.bovw", vocabulary) as index:
        index.add(folder / "photos")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["remove", ""],
        ["remove", "photos", ""],
        ["remove", "--id", ""],
        ["index", ""],
        ["index", "photos", "--index", ""],
        ["index", "photos", "--index="],
        ["search", ""],
        ["search", "photos/0.png", "--root="],
        ["compare", "photos/0.png", ""],
        ["list", "--index", ""],
    ],
)
def test_nothing_is_named_by_nothing(home: Path, arguments: list[str]) -> None:
    done = run(*arguments, cwd=home)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "an empty argument names nothing" in done.stderr
    with ImageIndex.open(home / "index.bovw") as index:
        assert len(index) == 3


def test_an_empty_line_on_stdin_names_nothing(home: Path) -> None:
    assert run("remove", "-", cwd=home, stdin=b"\n\n").stdout.endswith(" 0 removed\n")


@pytest.mark.parametrize("paths", ["", ["photos", ""], 3, [None], [b"photos"]])
def test_an_empty_path_is_refused_by_the_library(home: Path, paths: Any) -> None:
    with ImageIndex.open(home / "index.bovw") as index:
        for call in (index.add, index.remove):
            with pytest.raises(ParameterError, match="paths"):
                call(paths)
    for make in (ImageIndex.create, ImageIndex.open, ImageIndex.open_or_create):
        with pytest.raises(ParameterError, match="path"):
            make("")
