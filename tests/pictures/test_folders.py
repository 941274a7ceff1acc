"""Which files of a folder are looked at, and what is said of the others."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bovw import ImageIndex, ParameterError, Vocabulary
from bovw.pictures.folders import Selection, find_images, passed_over_text

DEFAULT = Selection()


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_in(folder: Path, selection: Selection = DEFAULT) -> list[str]:
    return [os.path.relpath(path, folder) for path in find_images(folder, selection).files]


def test_endings_are_looked_for_in_whatever_case(tmp_path: Path) -> None:
    names = ["A.MPO", "b.apng", "c.j2c", "d.JPX", "e.Jpg", "f.dib", "g.HEIC", "h.jpf", "i.avifs"]
    made(tmp_path, *names)
    assert names_in(tmp_path) == names


def test_what_is_not_read_is_counted_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "a.NEF", "b.nef", "c.mov", "d.pdf", "e.psd", "g.txt", "h.json", "i.jpg")
    for package in ("rawpy", "av", "pillow_heif"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    found = find_images(tmp_path)
    assert found.passed_over == {".nef": 2, ".mov": 1, ".pdf": 1, ".psd": 1}
    text = passed_over_text(found.passed_over + Counter({".heic": 1}))
    for count, extra in (("2 .nef", "raw"), ("1 .mov", "video"), ("1 .heic", "heic")):
        assert f"{count} (pip install 'bovw[{extra}]')" in text


def test_raw_files_and_videos_are_found_with_what_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="rawpy is not installed: pip install 'bovw[raw]'")
    pytest.importorskip("av", reason="av is not installed: pip install 'bovw[video]'")
    made(tmp_path, "a.NEF", "b.mov", "c.pdf")
    assert names_in(tmp_path) == ["a.NEF", "b.mov"]


def test_an_ignore_file_that_is_none_is_named(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg")
    (tmp_path / ".bovwignore").write_text("!\n")
    found = find_images(tmp_path)
    assert len(found.files) == 1 and found.problems[0].name == str(tmp_path / ".bovwignore")


def test_hidden_and_system_folders_are_passed_over_and_counted(tmp_path: Path) -> None:
    hidden = [".thumbnails/a.jpg", "@eaDir/a.jpg", "#recycle/a.jpg", ".deep/er/a.jpg", ".a.jpg"]
    hidden += ["$RECYCLE.BIN/a.jpg", "x/System Volume Information/a.jpg", "__MACOSX/a.jpg"]
    made(tmp_path, "a.jpg", ".DS_Store", "._a.jpg", *hidden)
    found = find_images(tmp_path)
    assert list(found.files) == [str(tmp_path / "a.jpg")]
    assert found.passed_over == {"hidden or in system folders": len(hidden)}
    assert "--hidden" in passed_over_text(found.passed_over)
    assert names_in(tmp_path, Selection(hidden=True)) == sorted([*hidden, "a.jpg"])
    assert names_in(tmp_path / ".deep") == ["er/a.jpg"], "a folder that is named is looked into"


def test_links_to_folders_are_counted_or_followed_once(tmp_path: Path) -> None:
    made(tmp_path, "top/a.jpg", "other/b.jpg")
    (tmp_path / "top/there").symlink_to(tmp_path / "other")
    (tmp_path / "top/again").symlink_to(tmp_path / "other")
    (tmp_path / "top/loop").symlink_to(tmp_path / "top")
    found = find_images(tmp_path / "top")
    assert len(found.files) == 1 and found.passed_over == {"links to folders": 3}
    assert "--follow-links" in passed_over_text(found.passed_over)
    assert names_in(tmp_path / "top", Selection(follow_links=True)) == ["a.jpg", "again/b.jpg"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["raw/"], ["a.jpg", "a.tmp.png", "deep/b.jpg"]),
        (["*.tmp.png"], ["a.jpg", "deep/b.jpg", "deep/raw/c.jpg", "raw/d.jpg"]),
        (["/raw"], ["a.jpg", "a.tmp.png", "deep/b.jpg", "deep/raw/c.jpg"]),
        (["*.jpg", "!b.jpg"], ["a.tmp.png", "deep/b.jpg"]),
        (["deep/**/c.jpg", "# a comment"], ["a.jpg", "a.tmp.png", "deep/b.jpg", "raw/d.jpg"]),
    ],
)
def test_patterns_are_those_of_gitignore(
    tmp_path: Path, exclude: Sequence[str], left: list[str]
) -> None:
    made(tmp_path, "a.jpg", "a.tmp.png", "raw/d.jpg", "deep/b.jpg", "deep/raw/c.jpg")
    assert names_in(tmp_path, Selection(exclude=tuple(exclude))) == left
    (tmp_path / ".bovwignore").write_text("\n".join(exclude))
    assert names_in(tmp_path) == left


def test_an_inner_ignore_file_decides(tmp_path: Path) -> None:
    made(tmp_path, "a.jpg", "deep/b.jpg", "deep/er/c.jpg")
    (tmp_path / "deep/.bovwignore").write_text("!*.jpg\nc.jpg\n")
    assert names_in(tmp_path, Selection(exclude=("*.jpg",))) == ["deep/b.jpg"]


@pytest.mark.parametrize("wrong", ["raw/", [3], ["!"], [""], ["a\nb"]])
def test_patterns_that_are_none_are_refused(wrong: list[str]) -> None:
    with ImageIndex.in_memory() as index, pytest.raises(ParameterError, match="exclude"):
        index.add([], exclude=wrong)


def test_the_index_remembers_what_was_excluded_and_removed(
    tmp_path: Path, photos: list[Path], vocabulary: Vocabulary
) -> None:
    for name, photo in zip(["a.png", "raw/b.png", "c/d.png", "c/e.png"], photos, strict=False):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(photo.read_bytes())
    folder, path = tmp_path / "in", tmp_path / "i.bovw"
    with ImageIndex.create(path, vocabulary) as index:
        assert index.add(folder, exclude=["raw/"]).added == 3
    with ImageIndex.open(path) as index:
        assert index.add(folder).passed_over == {"excluded": 1}
        assert index.remove(folder / "c").removed == 2
    with ImageIndex.open(path) as index:
        report = index.add(folder)
        assert report.added == 0
        assert report.passed_over == {"excluded": 1, "removed from the index before": 2}
        assert index.add(folder / "c" / "d.png").added == 1, "what is named itself comes back"
        index.merge()
        assert index.add(folder).added == 0
        assert index.add(folder / "c").added == 1, "so does a folder"
        assert index.remove_images("in/a.png").removed == 1 and index.add(folder).added == 0
        assert index.add(folder, exclude=["!raw/"]).added == 1
    with ImageIndex.open(path) as index:
        assert sorted(record.id for record in index.records()) == [
            "in/c/d.png",
            "in/c/e.png",
            "in/raw/b.png",
        ]
