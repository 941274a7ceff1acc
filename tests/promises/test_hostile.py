"""Collections with everything in them: the good pictures are all there, the bad ones all named, and
nothing is left behind.

`BOVW_PICTURES=2000 pytest tests/promises/test_hostile.py -k quarter` takes more than the few
pictures of the default run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import (
    FeatureSpec,
    ImageError,
    ImageIndex,
    Limits,
    SearchOptions,
    Vocabulary,
    train_vocabulary,
)
from bovw.cli.console import parsed_limits
from bovw.errors import ParameterError
from bovw.pictures.reading import read_picture
from tests.fuzz.pictures import fuzz, mutant, png
from tests.helpers.pictures import corners, encoded, endless_jpeg, textured

PICTURES = int(os.environ.get("BOVW_PICTURES", "120"))
CROP = SearchOptions(crop=True)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    folder = tmp_path_factory.mktemp("training")
    photos = [folder / f"{number}.png" for number in range(8)]
    for number, photo in enumerate(photos):
        cv2.imwrite(str(photo), textured(500 + number, 320, 240))
    vocabulary, _ = train_vocabulary(photos, 256, FeatureSpec(max_features=400))
    vocabulary.save(folder / "vocabulary")
    return Vocabulary.load(folder / "vocabulary")


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bovw", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, errors="surrogateescape"
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


# --- every bad thing at once


def make_everything(folder: Path) -> dict[str, str]:
    """A folder of good and bad things. Returns how the reason for each bad one begins."""
    (folder / "folder.jpg").mkdir(parents=True)
    good = encoded(textured(1, 240, 180))
    for name in ("good.png", "twin.png", "wrong ending.jpg", "folder.jpg/inside.png"):
        (folder / name).write_bytes(good)
    (folder / "link.png").symlink_to("good.png")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    for name, shape in (("blank.png", (90, 90)), ("point.png", (1, 1)), ("strip.png", (60_000, 1))):
        (folder / name).write_bytes(encoded(np.full(shape, 77, np.uint8)))
    (folder / "deep.png").write_bytes(encoded(textured(2, 240, 180).astype(np.uint16) * 16))
    bad = {
        "a\nb\x1b[31m\udcff.jpg": (b"text", "is not an image of a known format"),
        "empty.jpg": (b"", "is empty"),
        "huge.png": (png(65_535, 65_535, 8, 0, 0, b""), "is too large: 65535 x 65535 pixels"),
        "script.jpg": (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
            "is not an image of a known format",
        ),
        "slow.jpg": (endless_jpeg(), "took too long: more than 10 seconds (limit: seconds)"),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    reasons = {name: reason for name, (_, reason) in bad.items()}
    reasons |= {"pipe.jpg": "is not a regular file", "device.jpg": "is not a regular file"}
    return reasons | {"dangling.jpg": "there is no such file", "loop.jpg": "cannot be read: "}


@pytest.mark.slow
def test_the_command_names_all_that_is_bad_and_adds_all_that_is_good(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    expected = make_everything(tmp_path / "photos")
    vocabulary.save(tmp_path / "vocabulary")
    arguments = (
        "index",
        "photos",
        "--vocab",
        "vocabulary",
        "--jobs",
        "2",
        "--limit",
        "seconds=10",
        "--report-errors",
        "errors.jsonl",
    )
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        1,
        "index.bovw: 10 images: 10 added, 0 changed, 0 unchanged, 9 left out\n",
    )
    found = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert [set(error) for error in found] == [{"path", "reason"}] * 9
    reasons = {os.path.relpath(error["path"], "photos"): error["reason"] for error in found}
    assert reasons.keys() == expected.keys()
    assert {
        name: reason for name, reason in reasons.items() if not reason.startswith(expected[name])
    } == {}
    *named, summary = done.stderr.splitlines()
    assert (
        len(named) == 13
        and "bovw: photos/a\\nb\\x1b[31m\\udcff.jpg: is not an image of a known format" in named
    )
    kinds = Counter(reason.partition(":")[0] for reason in expected.values())
    assert summary.startswith("bovw: left out: ")
    assert set(summary.removeprefix("bovw: left out: ").split(", ")) == {
        f"{count} x {kind}" for kind, count in kinds.items()
    }
    with ImageIndex.open(tmp_path / "index.bovw") as index:
        names = {"good.png", "twin.png", "wrong ending.jpg", "folder.jpg/inside.png", "link.png"}
        matches = index.search(textured(1, 240, 180)[20:150, 30:200], CROP).matches
        same = {
            os.path.relpath(match.path, tmp_path / "photos") for match in matches if match.verified
        }
        assert same == {*names, "cut.png"} and len({match.score for match in matches[:5]}) == 1
        deep = index.search(textured(2, 240, 180)[20:150, 30:200], CROP).matches[0]
        assert deep.verified and deep.path.endswith("deep.png")


@pytest.mark.parametrize(
    "text", ["size=3", "pixels", "pixels=many", "memory=0", "seconds=nan", "pixels=1e999"]
)
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(
        ParameterError,
        match=f"--limit: '{text}' is not one of these with a number above 0: pixels=5e.08, memory=",
    ):
        parsed_limits([text])
    assert parsed_limits(["pixels=1e9", "seconds=0.5", "memory=7"]) == Limits(
        pixels=10**9, seconds=0.5, memory=7
    )


def test_a_file_without_permission_is_named(tmp_path: Path, vocabulary: Vocabulary) -> None:
    (tmp_path / "a.png").write_bytes(encoded(textured(1, 240, 180)))
    (tmp_path / "a.png").chmod(0)
    if os.access(tmp_path / "a.png", os.R_OK):
        pytest.skip("nothing is forbidden to this user")
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        assert [error.reason for error in index.add([tmp_path / "a.png"]).failed] == [
            "cannot be read: Permission denied"
        ]


def test_what_vanishes_or_changes_while_it_is_read_is_named(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("changed.png", "gone.png", "piped.png", "still.png")]
    for path in paths:
        path.write_bytes(encoded(textured(1, 240, 180)))

    def read(path: str, *arguments: object, **options: object) -> object:
        """Something happens just before a picture is decoded, after its content was hashed."""
        if path.endswith("changed.png"):
            Path(path).write_bytes(encoded(textured(2, 240, 180)))
        elif not path.endswith("still.png"):
            os.unlink(path)
            if path.endswith("piped.png"):
                os.mkfifo(path)
        return read_picture(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("bovw.pictures.reading.read_picture", read)
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        report = index.add(paths)
        assert report.added == 1
        reasons = [
            "changed while it was read: the next run reads it again",
            "there is no such file",
            "is not a regular file",
        ]
        assert [error.reason for error in report.failed] == reasons


# --- many


@pytest.mark.slow
def test_a_quarter_of_a_collection_is_bad(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """Small pictures, every fourth damaged at random: the good ones are there, the bad ones named,
    and memory is small.
    """
    photos, bad, number = tmp_path / "photos", set(), 0
    photos.mkdir()
    for place in range(PICTURES):
        path = photos / f"{place:05d}.jpg"
        if place % 4 == 3:
            while refused(path, mutant(1, number)[1]) is None:
                number += 1
            number += 1
            bad.add(path.name)
        else:
            path.write_bytes(
                encoded(
                    textured(place, 120, 90), (".png", ".jpg", ".webp", ".tiff")[place // 4 % 4]
                )
            )
    vocabulary.save(tmp_path / "vocabulary")
    done = run(
        "index",
        "photos",
        "--vocab",
        "vocabulary",
        "--jobs",
        "2",
        "--report-errors",
        "errors.jsonl",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert {
        Path(json.loads(line)["path"]).name
        for line in (tmp_path / "errors.jsonl").read_text().splitlines()
    } == bad
    with ImageIndex.open(tmp_path / "index.bovw") as index:
        assert {Path(record.path).name for record in index.records()} == {
            path.name for path in photos.iterdir()
        } - bad


def refused(path: Path, content: bytes) -> str | None:
    """Write a picture, and say why it is refused, if it is."""
    path.write_bytes(content)
    try:
        read_picture(path, 1024)
    except ImageError as error:
        return error.reason
    return None


@pytest.mark.slow
def test_damaged_pictures_of_every_format_end_in_a_picture_or_an_error() -> None:
    outcomes = dict(fuzz(300, 0))
    assert [outcome for outcome in outcomes.values() if outcome.startswith("!")] == []
    assert set(outcomes.values()) > {"read", "is damaged"}


# --- strange contents


def chart(width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """A test chart: a chessboard, a Siemens star, bars, a ramp."""
    y, x = np.mgrid[:height, :width]
    board = (x // 32 + y // 32) % 2 * 255
    star = np.where(np.sin(36 * np.arctan2(y - height / 2, x - width / 2)) > 0, 255, 0)
    bars = (x // np.maximum(1, y // 24) % 2) * 255
    whole = np.where(y < height // 3, board, np.where(y < 2 * height // 3, star, bars))
    whole[-20:] = np.linspace(0, 255, width)
    return whole.astype(np.uint8)


@pytest.mark.slow
def test_strange_pictures_give_sound_answers(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """Each picture that has features finds itself, in its place; what shows nothing of another is
    not verified in it.
    """
    noise = np.random.default_rng(0).integers(0, 256, (360, 480), dtype=np.uint8)
    spots = np.full((200, 200), 90, np.uint8)
    for number, place in enumerate(((40, 50), (150, 60), (90, 150))):
        cv2.circle(spots, place, 12 + number, (200, 20, 240)[number], -1, cv2.LINE_AA)
    strange = {
        "chart": chart(),
        "noise": noise,
        "other noise": np.random.default_rng(1).integers(0, 256, (360, 480), dtype=np.uint8),
        "repeated": np.tile(textured(3, 60, 60), (6, 8, 1)),
        "spots": spots,
        "photo": textured(4, 480, 360),
    }
    for name, pixels in strange.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        report = index.add(tmp_path)
        assert (report.added, report.failed) == (len(strange), [])
        for name in strange:
            matches = index.search(tmp_path / f"{name}.png").matches
            assert os.path.basename(matches[0].path) == f"{name}.png"
            assert [match.path for match in matches[1:] if match.verified] == []
            if name in ("chart", "noise", "other noise", "photo"):
                outline = matches[0].outline
                assert matches[0].verified and outline is not None
                np.testing.assert_allclose(outline, corners(*strange[name].shape[1::-1]), atol=2)
        blank = index.search(np.full((200, 200), 9, np.uint8))
        assert (blank.feature_count, blank.matches) == (0, [])


@pytest.mark.slow
def test_a_picture_with_fifty_thousand_features(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(5).integers(0, 256, (1100, 1100), dtype=np.uint8)
    cv2.imwrite(str(folder / "many.png"), pixels)
    spec = FeatureSpec("orb", max_features=60_000, max_side=1100)
    vocabulary, _ = train_vocabulary([folder / "many.png"], 1024, spec, max_descriptors=10_000)
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        assert index.add(folder).added == 1
        assert index.info().feature_count > 50_000
        match = index.search(pixels[300:400, 400:550], CROP).matches[0]
        assert match.verified and match.outline is not None
        np.testing.assert_allclose(match.outline, corners(150, 100) + np.array((400, 300)), atol=2)


@pytest.mark.slow
@pytest.mark.parametrize("colour", [False, True])
def test_a_crop_of_a_deep_picture_finds_it(
    tmp_path: Path, vocabulary: Vocabulary, colour: bool
) -> None:
    """A crop has another range than the whole, so it is stretched otherwise; bits 10 of 16, with a
    few hot pixels.
    """
    for number in range(4):
        pixels = textured(number, 480, 360) if colour else textured(number, 480, 360)[..., 1]
        deep = pixels.astype(np.uint16) * 3 + 40
        deep[:2, :4], deep[100:140, 100:180] = 65_535, deep[100:140, 100:180] // 3
        cv2.imwrite(str(tmp_path / f"{number}.png"), deep)
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        index.add(tmp_path)
        for number in range(4):
            whole = cv2.imread(str(tmp_path / f"{number}.png"), cv2.IMREAD_UNCHANGED)
            assert whole is not None and whole.dtype == np.uint16
            cv2.imwrite(str(tmp_path / "query.png"), whole[110:230, 90:240])
            match = index.search(tmp_path / "query.png", CROP).matches[0]
            assert (
                os.path.basename(match.path) == f"{number}.png"
                and match.verified
                and match.outline is not None
            )
            np.testing.assert_allclose(
                match.outline, corners(150, 120) + np.array((90, 110)), atol=2
            )


# --- processes and threads

PROGRAM = """
import multiprocessing, os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import cv2
from bovw import ImageIndex, SearchOptions, draw_match

def asked(_=None):
    with ImageIndex.open("i.bovw") as index:
        matches = index.search("query.png", SearchOptions(crop=True)).matches
        return [(match.path, match.score) for match in matches]

def added(name):
    with ImageIndex.open("i.bovw") as index:
        index.add([name])
    return asked()

def handles():
    return len(os.listdir("/proc/self/fd"))

def children():
    tasks = Path("/proc/self/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]

if __name__ == "__main__":
    cv2.setNumThreads(2)
    expected = asked()
    before = handles(), threading.active_count()
    with ImageIndex.open("i.bovw") as index:
        report = index.add("photos", jobs=2)
        assert (len(index), report.added) == (24, 23), report
        expected = asked()
        draw_match("query.png", expected[0][0], index.search("query.png").matches[0])
    assert (handles(), threading.active_count(), children()) == (*before, [])
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(asked, range(8))) == [expected] * 8
    for kind in ("fork", "spawn"):
        with multiprocessing.get_context(kind).Pool(1) as pool:
            assert pool.apply_async(asked).get(60) == expected, kind
            after = pool.apply_async(added, [f"{kind}.png"]).get(60)
        expected = asked()
        assert after == expected and len(after) > 1, kind
    assert cv2.getNumThreads() == 2
    assert os.listdir(os.environ["TMPDIR"]) == []
    print("sound")
"""


@pytest.mark.slow
def test_threads_forks_and_new_processes_leave_nothing_behind(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(24):
        cv2.imwrite(str(tmp_path / "photos" / f"{number:02d}.png"), textured(number, 160, 120))
    for number, name in ((30, "fork"), (31, "spawn")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), textured(number, 160, 120))
    cv2.imwrite(str(tmp_path / "query.png"), textured(5, 160, 120)[10:110, 20:150])
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        index.add(tmp_path / "photos" / "05.png")
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "temporary").mkdir()
    environment = {
        **ENVIRONMENT,
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONWARNINGS": "error,ignore::DeprecationWarning",
    }
    command = [sys.executable, "program.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert (done.stdout, done.stderr) == ("sound\n", "")
