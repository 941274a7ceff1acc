"""Pages and frames in an index: found, moved, removed, pruned, asked for, drawn."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bovw import ImageIndex, Vocabulary, draw_match
from tests.helpers.command import run
from tests.helpers.pictures import Pixels, textured
from tests.helpers.raw import dng
from tests.helpers.video import make_video

PAGES = [textured(seed, 200, 160) for seed in range(3)]
SHOTS = [textured(seed, 160, 120) for seed in (11, 12)]


def write_pages(path: Path, pages: list[Pixels]) -> None:
    first, *others = [Image.fromarray(page[..., ::-1]) for page in pages]
    first.save(path, save_all=True, append_images=others)


def ids(index: ImageIndex) -> list[str]:
    return sorted(record.id for record in index.records())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the current one, with three pages in p/scan.tif."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    write_pages(tmp_path / "p" / "scan.tif", PAGES)
    return tmp_path


@pytest.fixture
def index(folder: Path, vocabulary: Vocabulary) -> ImageIndex:
    return ImageIndex.create(folder / "i.bovw", vocabulary)


@pytest.mark.slow
def test_pages_are_images_like_others(folder: Path, index: ImageIndex) -> None:
    report = index.add("p")
    assert report.added == 1 and report.passed_over == {"further pages": 2}
    report = index.add("p", pages=True)
    assert (report.added, report.unchanged, report.passed_over) == (2, 1, {})
    pages = ["p/scan.tif", "p/scan.tif#page=2", "p/scan.tif#page=3"]
    assert ids(index) == pages and index.add("p", pages=True, jobs=1).unchanged == 3
    best = index.search(PAGES[2][20:150, 30:180].copy(), crop=True).matches[0]
    assert best.id == "p/scan.tif#page=3" and best.verified
    query = index.search(folder / "p/scan.tif#page=2")
    assert query.matches[0].id == "p/scan.tif#page=2" and query.note == ""
    assert index.search(folder / "p/scan.tif").note == "page 1 of 3 (#page=2 names another)"
    assert draw_match(PAGES[2], best.path, best).shape[2] == 3
    os.rename("p", "q")
    report = index.add("q", pages=True)
    assert (report.moved, report.added) == (3, 0)
    assert ids(index) == [page.replace("p/", "q/") for page in pages]
    assert index.remove("q/scan.tif#page=2").removed == 1
    assert index.add("q", pages=True).passed_over == {"removed from the index before": 1}
    assert index.add("q/scan.tif#page=2").added == 1 and len(index) == 3
    write_pages(folder / "q/scan.tif", PAGES[:2])
    report = index.add("q", pages=True, prune=True)
    assert (report.changed, report.removed) == (2, 1)
    assert index.add("q/scan.tif#page=1").unchanged == 1
    os.remove("q/scan.tif")
    (folder / "q/other.png").write_bytes(cv2.imencode(".png", PAGES[0])[1].tobytes())
    assert index.add("q", prune=True).removed == 2
    assert ids(index) == ["q/other.png"]


@pytest.mark.slow
def test_a_file_goes_with_all_its_pages_even_if_it_is_gone(folder: Path, index: ImageIndex) -> None:
    index.add("p", pages=True)
    os.remove("p/scan.tif")
    report = index.remove(["p/scan.tif", "p/other.tif"])
    assert report.removed == 3 and [each.name for each in report.failed] == ["p/other.tif"]
    write_pages(folder / "p/scan.tif", PAGES)
    assert index.add("p", pages=True).passed_over == {"removed from the index before": 1}
    assert index.add("p/scan.tif", pages=True).added == 3


@pytest.mark.slow
def test_a_file_named_like_a_page_is_a_file(folder: Path, index: ImageIndex) -> None:
    """Beside the file of which it would be a page."""
    name = "p/scan.tif#page=2"
    (folder / name).write_bytes(cv2.imencode(".png", SHOTS[0])[1].tobytes())
    assert index.add(name).added == 1
    assert index.search(SHOTS[0], crop=True).matches[0].id == name
    report = index.add("p", pages=True)
    assert [(each.name, each.reason) for each in report.failed] == [
        (name, "is the name of another file")
    ]
    assert ids(index) == ["p/scan.tif", name, "p/scan.tif#page=3"]
    assert index.remove(name).removed == 1 and len(index) == 2


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 1])
def test_frames_of_a_video_are_images(folder: Path, index: ImageIndex, jobs: int) -> None:
    blank = np.full((120, 160, 3), 90, np.uint8)
    make_video(folder / "p/clip.mp4", [*SHOTS, blank], 4)
    os.remove("p/scan.tif")
    report = index.add("p", jobs=jobs)
    frames = [f"p/clip.mp4#t={time}" for time in (0, 2, 4, 6)]
    assert (ids(index), report.added, report.failed) == (frames, 4, [])
    assert report.passed_over == {"blank frames of videos": 2}
    best = index.search(SHOTS[1][10:110, 20:150].copy(), crop=True).matches[0]
    assert best.id in frames[2:] and best.verified
    assert index.search("p/clip.mp4#t=5.5").matches[0].id in frames[2:]
    again = index.add("p", jobs=jobs)
    assert (again.added, again.unchanged, again.passed_over) == (0, 1, {})
    assert index.add("p", check_content=True).unchanged == 4
    os.rename("p/clip.mp4", "p/film.mp4")
    report = index.add("p", jobs=jobs)
    assert (report.moved, report.added) == (4, 0)
    assert index.remove("p/film.mp4").removed == 4
    assert index.add("p").passed_over == {"removed from the index before": 1}


@pytest.mark.slow
def test_a_run_that_ended_within_a_video_goes_on(folder: Path, index: ImageIndex) -> None:
    make_video(folder / "p/clip.mp4", SHOTS, 4)
    os.remove("p/scan.tif")
    report = index.add("p", stop=lambda: True)
    assert report.stopped and report.added == 0
    asked = iter([False, False, True])
    report = index.add("p", batch=1, stop=lambda: next(asked))
    assert report.stopped and 0 < report.added < 4
    assert index.add("p").added == 4 - report.added and len(index) == 4


@pytest.mark.slow
def test_the_command_counts_pages_and_names_cures(folder: Path) -> None:
    make_video(folder / "p/clip.mp4", SHOTS, 1)
    (folder / "p/photo.dng").write_bytes(dng(SHOTS[0]))
    blocked = folder / "blocked"
    for package in ("av", "rawpy"):
        (blocked / package).mkdir(parents=True)
    hide = "import sys\nfor name in ('av', 'rawpy'):\n    sys.modules[name] = None\n"
    (blocked / "sitecustomize.py").write_text(hide)
    paths = os.pathsep.join([str(blocked), *sys.path])
    done = run("index", "p", cwd=folder, env={"PYTHONPATH": paths})
    assert done.returncode == 0 and "1 images: 1 added" in done.stdout
    for text in ("2 further pages (--pages)", "1 .mp4 (pip install 'bovw[video]')"):
        assert text in done.stderr
    assert "1 .dng (pip install 'bovw[raw]')" in done.stderr
    done = run("index", "p/scan.tif", "--pages", cwd=folder)
    assert done.returncode == 0 and "further pages" not in done.stderr
    done = run("search", "p/scan.tif#page=3", "--draw", "out.png", "-k", "1", cwd=folder)
    assert "p/scan.tif#page=3" in done.stdout and (folder / "out.png").stat().st_size > 1000
