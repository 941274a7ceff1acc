"""What people do to a command without thinking, and what becomes of it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bovw import (
    ImageIndex,
    ImageIndexError,
    IndexExistsError,
    ParameterError,
    SearchOptions,
    Vocabulary,
    compare_pictures,
)
from bovw.cli.console import explained
from bovw.storage.directory import Directory
from tests.fuzz.commands import cases, commands, faults
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


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", refusing(number))
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        assert len(index) == 0
    with pytest.raises(IndexExistsError):
        ImageIndex.create(tmp_path / "i.bovw", vocabulary)
    with pytest.raises(FileExistsError):
        Directory(tmp_path / "i.bovw").publish("manifest-00000001.json", b"another")


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EOPNOTSUPP))
    with pytest.raises(ImageIndexError, match="this file system has no locks"):
        ImageIndex.create(tmp_path / "i.bovw", vocabulary)


def test_a_folder_that_cannot_be_synced_is_no_reason_to_give_up(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        assert len(index) == 0


def refusing(number: int) -> Callable[..., None]:
    """A call of the system that a file system does not know."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 3.0},
        {"k": "3"},
        {"k": True},
        {"k": 10**9},
        {"verify_top": 10.0},
        {"words_per_feature": 65536},
        {"scoring": ["hamming"]},
        {"scoring": None},
        {"crop": 1},
        {"false_alarms": "0.1"},
        {"false_alarms": True},
        {"false_alarms": float("nan")},
    ],
)
def test_an_option_of_another_type_is_a_parameter_error_that_names_it(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        SearchOptions(**wrong)


@pytest.mark.parametrize("tolerance", [-1, 2.0, "2", True, 101, None])
def test_a_tolerance_of_another_type_is_a_parameter_error(home: Path, tolerance: Any) -> None:
    photo = home / "photos" / "0.png"
    with pytest.raises(ParameterError, match="tolerance"):
        compare_pictures(photo, photo, tolerance=tolerance)


def test_an_opencv_that_is_not_whole_is_named_with_its_cure(home: Path, tmp_path: Path) -> None:
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = run("search", "photos/0.png", cwd=home, env={"PYTHONPATH": path})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    version = metadata.version("opencv-contrib-python")
    assert f"installed: opencv-contrib-python {version}" in done.stderr
    assert "`pip uninstall -y opencv-contrib-python`" in done.stderr
    assert "`pip install opencv-contrib-python`" in done.stderr


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), "apt install libgl1"),
        (ModuleNotFoundError("No module named 'fcntl'", name="fcntl"), "no file locks"),
        (ModuleNotFoundError("No module named 'rich'", name="rich"), "pip install"),
    ],
)
def test_a_library_that_is_missing_is_told_with_its_own_cure(error: ImportError, cure: str) -> None:
    text, code = explained(error)
    assert cure in text and code == 1 and ("libgl1" in text) == ("libGL" in str(error))


@pytest.mark.slow
def test_odd_values_of_every_option_end_in_a_line_and_a_code() -> None:
    assert faults(count=40, seed=1) == []


def test_the_fuzzer_takes_every_option() -> None:
    flags = {(name, flag) for name, each in commands() for flag in each}
    assert {("search", "--words"), ("index", "--exclude"), ("compare", "--tolerance")} <= flags
    taken = {tuple(case[:1]) for case in cases(len(flags), 0)}
    assert {("search",), ("index",), ("remove",), ("evaluate",), ("check",), ("list",)} <= taken
