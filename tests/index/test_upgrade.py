"""`bovw upgrade`: an index of each format becomes one of this version, and answers as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bovw import ImageIndex, check_index
from bovw.errors import IndexCorruptError, IndexLockedError
from bovw.index.manifest import read_latest, serialised
from bovw.storage.directory import Directory
from tests.helpers.command import run_here
from tests.helpers.pictures import textured

FIXTURES = Path(__file__).parents[1] / "fixtures"
# What each has to be written anew, and how many of its images lack what `similar` looks at.
FORMATS = {"index-2": (2, 2, 6), "index-3": (3, 0, 4), "index-3-columns": (3, 0, 0)}


@pytest.fixture
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of one of the fixtures, which may be changed."""
    name = getattr(request, "param", "index-2")
    return Path(shutil.copytree(FIXTURES / name, tmp_path / name))


def answers(path: Path) -> list[object]:
    """What an index says, to the last bit."""
    said: list[object] = []
    with ImageIndex.open(path) as index:
        said += [list(index.records()), index.picture_root]
        for seed in (0, 11, 21):
            for crop in (True, False):
                query = textured(seed, 240, 180)[20:150, 30:200]
                for match in index.search(query, crop=crop).matches:
                    said += [match.id, match.score, match.inliers, match.log_false_alarms]
                    said.append(None if match.outline is None else match.outline.tobytes())
    return said


def content(path: Path) -> dict[str, bytes]:
    """All files of an index."""
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def formats(path: Path) -> set[str]:
    """The formats of the segments of an index."""
    return {json.loads(file.read_bytes())["format"] for file in path.rglob("segment.json")}


@pytest.mark.parametrize("path", FORMATS, indirect=True)
def test_an_index_of_each_format_answers_as_before(path: Path) -> None:
    version, old, incomplete = FORMATS[path.name]
    before, files = answers(path), content(path)
    with ImageIndex.open(path) as index:
        tried = index.upgrade(dry_run=True)
        assert content(path) == files, "a dry run does nothing"
        report = index.upgrade()
        assert report == tried
        assert (report.version, report.segment_count, report.incomplete_count) == (
            version,
            old,
            incomplete,
        )
        assert report.is_current == (content(path) == files) == (old == 0)
        assert index.upgrade().is_current
    assert read_latest(Directory(path)).version == 3 and formats(path) == {"bovw-segment-2"}
    checked = check_index(path)
    assert (checked.damages, checked.leftovers) == ([], [])
    assert answers(path) == before


def test_an_empty_index_of_version_2_becomes_one_of_3(path: Path) -> None:
    """There is no segment to write anew, and yet something to do."""
    manifest = path / "manifest-00000004.json"
    body = {**json.loads(manifest.read_bytes()), "segments": []}
    del body["sha256"]
    manifest.write_bytes(serialised(body))
    with ImageIndex.open(path) as index:
        report = index.upgrade()
        assert (report.version, report.segment_count, report.is_current) == (2, 0, False)
        assert index.upgrade().is_current and len(index) == 0
    assert check_index(path).damages == []


def test_what_is_damaged_is_not_written_anew_and_what_was_is_kept(path: Path) -> None:
    """A run that is stopped between two segments: the next goes on from there."""
    before = answers(path)
    damaged = path / "segments" / "00000002" / "posting_signatures.npy"
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with ImageIndex.open(path) as index, pytest.raises(IndexCorruptError, match="damaged"):
        index.upgrade()
    assert formats(path) == {"bovw-segment-1", "bovw-segment-2"}
    assert check_index(path).leftovers == []
    damaged.write_bytes(sound)
    assert answers(path) == before
    with ImageIndex.open(path) as index:
        report = index.upgrade()
        assert (report.version, report.segment_count, report.is_current) == (3, 1, False)
    assert formats(path) == {"bovw-segment-2"} and answers(path) == before


def test_one_writer_at_a_time(path: Path) -> None:
    with ImageIndex.open(path) as index, Directory(path).lock():
        with pytest.raises(IndexLockedError):
            index.upgrade()
        assert index.upgrade(dry_run=True).segment_count == 2


def test_images_that_lack_columns_get_them_by_complete(path: Path) -> None:
    shutil.copytree(FIXTURES / "photos", path.parent / "photos")
    with ImageIndex.open(path) as index:
        index.upgrade()
        # the picture of one is gone since the fixture was made
        assert index.add([], complete=True).changed == 5
        assert index.upgrade().incomplete_count == 1


def test_the_command_says_what_it_does(path: Path) -> None:
    asked = ["upgrade", "--index", str(path)]
    told = f"{path}: format 2 -> format 3: 2 segments written anew, 28,922 bytes"
    assert run_here(*asked, "--dry-run").stdout == f"{told} (dry run: nothing was done)\n"
    done = run_here(*asked)
    assert (done.returncode, done.stdout) == (0, f"{told}\n")
    assert "6 images lack" in done.stderr and "bovw index --complete" in done.stderr
    done = run_here(*asked)
    assert (done.returncode, done.stdout) == (
        0,
        f"{path}: is of format 3, the newest: there is nothing to do\n",
    )
    missing = run_here("upgrade", "--index", str(path.parent / "absent"))
    assert missing.returncode == 1 and "there is no index here" in missing.stderr
