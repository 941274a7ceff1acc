"""What a run remembers of files that failed, what it would do, what it prunes, and images that are
told where their files are now.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bovw import ImageError, ImageIndex, Limits, ParameterError, Vocabulary, check_index
from bovw.pictures.folders import FAILED

BROKEN = b"\xff\xd8\xff\xe0 not much of a picture"


@pytest.fixture
def home(
    tmp_path: Path, photos: list[Path], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder: pictures 0 to 3 in photos/, 4 in photos/a/, and an index of them in two
    segments.
    """
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for number in range(5):
        place = tmp_path / "photos" / ("a" if number == 4 else ".")
        shutil.copy(photos[number], place / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    with ImageIndex.create("index.bovw", vocabulary) as index:
        assert index.add("photos", batch=3).added == 5
    return tmp_path


def paths(index: ImageIndex) -> list[str]:
    return sorted(record.path for record in index.records())


@pytest.mark.usefixtures("home")
def test_what_failed_is_not_read_again_until_it_changes() -> None:
    Path("photos/broken.jpg").write_bytes(BROKEN)
    with ImageIndex.open("index.bovw") as index:
        assert [failure.name for failure in index.add("photos").failed] == ["photos/broken.jpg"]
    with ImageIndex.open("index.bovw") as index:
        generation = index.info().generation
        again = index.add("photos")
        assert (again.failed, again.passed_over) == ([], {FAILED: 1})
        assert index.info().generation == generation, "nothing has changed"
        for asked in (index.add("photos", retry=True), index.add(["photos", "photos/broken.jpg"])):
            assert len(asked.failed) == 1, "it is read again if that is asked for"
        assert len(index.add("photos", limits=Limits(pixels=10**6)).failed) == 1
        assert index.add("photos", limits=Limits(pixels=10**6)).failed == []
        index.merge()
        shutil.copy("photos/0.png", "photos/broken.jpg")
        mended = index.add("photos")
        assert (mended.added, mended.failed, mended.passed_over) == (1, [], {})
        Path("photos/broken.jpg").write_bytes(BROKEN)
        assert len(index.add("photos").failed) == 1, "what is in the index may fail, too"
        assert index.add("photos").failed == [] and len(index) == 6
        os.unlink("photos/broken.jpg")
        assert index.add("photos").failed == []


@pytest.mark.usefixtures("home")
def test_what_may_pass_is_tried_again() -> None:
    os.symlink("nowhere", "photos/link.png")
    with ImageIndex.open("index.bovw") as index:
        for _ in range(2):
            assert len(index.add("photos").failed) == 1


def test_a_dry_run_says_what_a_run_does_and_changes_nothing(home: Path) -> None:
    os.unlink("photos/1.png")
    os.rename("photos/2.png", "photos/moved.png")
    shutil.copy("photos/0.png", "photos/3.png")
    shutil.copy("photos/0.png", "photos/new.png")
    before = contents(home / "index.bovw")
    with ImageIndex.open("index.bovw", picture_root=home) as index:
        would = index.add("photos", prune=True, exclude=["a/"], dry_run=True)
        assert index.remove("photos/a", dry_run=True).gone == ["photos/a/4.png"]
        assert index.remove_images(["photos/0.png", "x"], dry_run=True).gone == ["photos/0.png"]
    assert contents(home / "index.bovw") == before
    with ImageIndex.open("index.bovw") as index:
        did = index.add("photos", prune=True, exclude=["a/"])
    for report in (would, did):
        assert (report.added, report.changed, report.moved, report.unchanged) == (1, 1, 1, 1)
        assert report.gone == ["photos/1.png", "photos/a/4.png"]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("home")
def test_pruning_drops_what_is_excluded_now_unless_it_is_named() -> None:
    with ImageIndex.open("index.bovw") as index:
        assert index.add("photos", exclude=["a/", "0.png"]).removed == 0 and len(index) == 5
        kept = index.add(["photos", "photos/a", "photos/0.png"], prune=True)
        assert (kept.removed, len(index)) == (0, 5)
        report = index.add("photos", prune=True)
        assert report.gone == ["photos/0.png", "photos/a/4.png"]
        assert paths(index) == ["photos/1.png", "photos/2.png", "photos/3.png"]


def test_images_are_told_where_they_are_now(home: Path) -> None:
    with ImageIndex.open("index.bovw") as index:
        before = index.search("photos/a/4.png", k=1).matches[0]
        generation = index.info().generation
        os.rename("photos", "Bilder")
        with pytest.raises(ImageError, match="there is no such file or folder"):
            index.relocate("photos", "Bidler")
        assert index.relocate("photos", "Bilder") == 5
        assert index.info().generation == generation + 1, "one commit"
        assert index.relocate("photos", "Bilder") == 0
        after = index.search("Bilder/a/4.png", k=1).matches[0]
        assert (after.path, after.score) == ("Bilder/a/4.png", before.score)
        os.rename("Bilder/0.png", "zero.png")
        assert index.relocate("Bilder/0.png", "zero.png") == 1
        again = index.add(["Bilder", "zero.png"])
        assert (again.unchanged, again.added) == (5, 0)
        shutil.copy("zero.png", "Bilder/0.png")
        assert index.add("Bilder").added == 1
        with pytest.raises(ParameterError, match="in the index under their new paths already"):
            index.relocate("zero.png", "Bilder/0.png")
    assert not check_index(home / "index.bovw").damages


@pytest.mark.usefixtures("home")
def test_a_root_that_has_moved_goes_along(vocabulary: Vocabulary) -> None:
    with ImageIndex.create("other.bovw", vocabulary, picture_root="photos") as index:
        index.add("photos")
        index.remove("photos/3.png")
        os.rename("photos", "Bilder")
        assert index.relocate("photos", "Bilder") == 4
        assert (index.picture_root, paths(index)[0]) == ("Bilder", "Bilder/0.png")
        again = index.add("Bilder")
        assert (again.unchanged, again.added) == (4, 0), "what was removed stays so"


def test_what_was_removed_or_failed_is_known_by_its_new_path(home: Path) -> None:
    Path("photos/broken.jpg").write_bytes(BROKEN)
    with ImageIndex.open("index.bovw") as index:
        index.add("photos")
        index.remove("photos/0.png")
        os.rename(home / "photos", home / "Bilder")
        assert index.relocate(home / "photos", home / "Bilder") == 4
        report = index.add("Bilder")
        assert (report.added, report.unchanged, report.failed) == (0, 4, [])
