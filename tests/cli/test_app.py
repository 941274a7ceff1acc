"""The command as its users run it: whole commands in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bovw.cli.interrupts import NOTE
from bovw.errors import printable
from bovw.pictures.reading import read_colours
from tests.helpers.command import run
from tests.helpers.pictures import crop_query, textured

NAMES = [
    ("bild 0 é.jpg",),
    ("bild 2 é.jpg",),
    ("bild 4 é.jpg",),
    ("sub dir", "bild 1 é.jpg"),
    ("sub dir", "bild 3 é.jpg"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a query with known place, and an index."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "photos" / "sub dir").mkdir(parents=True)
    for number in range(5):
        place = folder / "photos" / ("sub dir" if number % 2 else ".") / f"bild {number} é.jpg"
        place.write_bytes(cv2.imencode(".jpg", textured(number, 480, 360))[1].tobytes())
    query, _ = crop_query(textured(3, 480, 360), 120, 80, 220, 180, 40, 0.8)
    cv2.imwrite(str(folder / "query.png"), query)
    cv2.imwrite(str(folder / "blank.png"), np.full((64, 64), 9, np.uint8))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a picture")
    done = run("index", "photos", "--jobs", "0", cwd=folder)
    assert (done.returncode, done.stdout) == (
        0,
        "index.bovw: 5 images: 5 added, 0 changed, 0 unchanged, 0 left out\n",
    )
    return folder


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_index_again_skips_what_it_has_and_names_what_it_leaves_out(
    folder: Path, tmp_path: Path
) -> None:
    done = run(
        "index",
        "photos",
        folder / "broken.jpg",
        "absent",
        "--index",
        tmp_path / "i.bovw",
        cwd=folder,
    )
    assert done.returncode == 1 and "5 added, 0 changed, 0 unchanged, 2 left out" in done.stdout
    assert "broken.jpg: " in done.stderr and "absent: there is no such file" in done.stderr
    again = run(
        "index",
        "-",
        "-0",
        cwd=folder,
        stdin=b"photos\0",
        env={"BOVW_INDEX": str(tmp_path / "i.bovw")},
    )
    assert (again.returncode, again.stderr) == (
        0,
        "",
    ) and "0 added, 0 changed, 5 unchanged, 0 left out" in again.stdout


@pytest.mark.slow
def test_search_prints_the_place_and_draws_it(folder: Path, tmp_path: Path) -> None:
    done = run("search", "--crop", "query.png", "--draw", tmp_path / "match.png", cwd=folder)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert (
        lines[0].startswith("query.png: ")
        and lines[1].split()[:2] == ["1", "verified"]
        and "bild 3 é.jpg" in lines[1]
    )
    assert "corners at" in lines[2]
    assert read_colours(tmp_path / "match.png", 4000)[1] >= (1000, 400)


@pytest.mark.slow
def test_json_is_what_the_readme_documents(folder: Path) -> None:
    done = run(
        "search", "--crop", "query.png", "blank.png", "absent.png", "--json", "-k", "2", cwd=folder
    )
    assert done.returncode == 1
    found, blank, absent = answers(done)
    assert (
        list(found) == ["query", "features", "seconds", "matches"] and found["query"] == "query.png"
    )
    first = found["matches"][0]
    assert list(first) == [
        "rank",
        "image",
        "score",
        "inliers",
        "checked",
        "verified",
        "expanded",
        "confidence",
        "log_false_alarms",
        "mirrored",
        "negative",
        "model",
        "rotation",
        "scale",
        "outline",
        "homography",
        "query_overlap",
        "image_overlap",
        "sisters",
        "likeness",
        "id",
        "metadata",
    ]
    assert (first["rank"], first["image"], first["verified"], first["mirrored"]) == (
        1,
        "photos/sub dir/bild 3 é.jpg",
        True,
        False,
    )
    assert first["confidence"] > 0.99 and first["log_false_alarms"] < -2
    assert (
        np.array(first["outline"]).shape == (4, 2)
        and len(first["homography"]) == 9
        and first["inliers"] >= 10
    )
    assert len(found["matches"]) <= 2 and all(seconds >= 0 for seconds in found["seconds"].values())
    assert (blank["features"], blank["matches"]) == (0, [])
    assert (absent["matches"], absent["error"]) == ([], "there is no such file")
    assert (
        "warning: blank.png: no features" in done.stderr
        and "absent.png: there is no such file" in done.stderr
    )


@pytest.mark.slow
def test_a_report_shows_all_queries_and_what_was_found(folder: Path) -> None:
    done = run(
        "search",
        "--crop",
        "query.png",
        "blank.png",
        "absent.png",
        "--report",
        "out.html",
        "-k",
        "3",
        cwd=folder,
    )
    assert done.returncode == 1
    page = (folder / "out.html").read_text()
    # a query that cannot be read is not passed over
    assert page.count("<h2>") == 3 and all(
        f">{name}.png</a>" in page for name in ("query", "blank", "absent")
    )
    assert "there is no such file" in page and "so nothing can match" in page
    assert (
        "<b>✓ 1. verified</b>" in page
        and "photos/sub dir/bild 3 é.jpg" in page
        and "<polygon" in page
    )
    done = run("search", "query.png", "--report", "no such folder/out.html", cwd=folder)
    assert (
        done.returncode == 1
        and "bovw: error: no such folder/out.html: cannot be written" in done.stderr
    )


@pytest.mark.slow
def test_two_pictures_are_compared_without_an_index(folder: Path) -> None:
    changed = cv2.imread(str(folder / "photos/bild 2 é.jpg"))
    assert changed is not None
    changed[60:90, 40:80] = 255 - changed[60:90, 40:80].mean() // 128 * 255
    cv2.imwrite(str(folder / "changed.png"), changed)
    arguments = ("compare", "photos/bild 2 é.jpg", "changed.png")
    done = run(*arguments, "--json", cwd=folder)
    found = json.loads(done.stdout)
    assert (
        done.returncode == 0
        and found["verified"]
        and (found["first"], found["second"]) == arguments[1:]
    )
    assert [set(one) for one in found["differences"]] == [{"box", "contrast", "pixels"}] * len(
        found["differences"]
    )
    x, y, width, height = found["differences"][0]["box"]
    assert x < 80 and x + width > 40 and y < 90 and y + height > 60
    done = run(
        *arguments, "--draw", "out.png", "--tolerance", "3", "--sensitivity", "2", cwd=folder
    )
    assert (
        "changed.png in photos/bild 2 é.jpg: verified" in done.stdout
        and (folder / "out.png").stat().st_size > 1000
    )
    assert (
        run("compare", "blank.png", "changed.png", cwd=folder).stdout
        == "changed.png in blank.png: -, 0 inliers\n"
    )
    done = run("compare", "photos/bild 2 é.jpg", "absent.png", cwd=folder)
    assert done.returncode == 1 and "bovw: error: absent.png: there is no such file" in done.stderr


@pytest.mark.slow
def test_queries_come_from_stdin_one_a_line(folder: Path) -> None:
    done = run(
        "search",
        "-",
        "--json",
        "--scoring",
        "tfidf",
        "--verify",
        "0",
        cwd=folder,
        stdin=b"query.png\n\nblank.png\n",
    )
    assert done.returncode == 0 and [answer["query"] for answer in answers(done)] == [
        "query.png",
        "blank.png",
    ]


@pytest.mark.slow
def test_a_box_of_the_query(folder: Path) -> None:
    done = run(
        "search", "--crop", "photos/bild 2 é.jpg", "--box", "100,50,200,150", "--json", cwd=folder
    )
    outline = np.array(answers(done)[0]["matches"][0]["outline"])
    np.testing.assert_allclose(outline, [[100, 50], [299, 50], [299, 199], [100, 199]], atol=1)


@pytest.mark.slow
def test_orb_works_through_every_command(folder: Path, tmp_path: Path) -> None:
    trained = run(
        "train-vocab",
        "photos",
        "--out",
        tmp_path / "v",
        "--words",
        "64",
        "--features",
        "orb",
        cwd=folder,
    )
    assert trained.returncode == 0 and "64 words from" in trained.stdout
    assert "recommended for 5 images: 65,536 words" in trained.stdout
    made = run(
        "index", "photos", "--index", tmp_path / "i.bovw", "--vocab", tmp_path / "v", cwd=folder
    )
    assert made.returncode == 0
    found = answers(
        run("search", "--crop", "query.png", "--index", tmp_path / "i.bovw", "--json", cwd=folder)
    )[0]
    assert found["matches"][0]["image"] == str(folder / "photos/sub dir/bild 3 é.jpg")
    other = run(
        "index", "photos", "--index", tmp_path / "i.bovw", "--features", "rootsift", cwd=folder
    )
    assert other.returncode == 1 and "features orb, asked for is rootsift" in other.stderr


@pytest.mark.slow
def test_training_with_too_few_descriptors_says_how_many_there_are(
    folder: Path, tmp_path: Path
) -> None:
    large = ("--collection", "5000000")  # as many words as suit it
    for asked, words in (("--words", "50000"), 50_000), (large, 262_144):
        done = run("train-vocab", "photos", "--out", tmp_path / "v", *asked, cwd=folder)
        assert done.returncode == 1
        assert f"descriptors from 5 images are too few for {words} words" in done.stderr
        assert not (tmp_path / "v").exists()


@pytest.mark.slow
def test_training_that_fails_still_reports_the_pictures_that_it_left_out(
    folder: Path, tmp_path: Path
) -> None:
    errors = tmp_path / "errors.jsonl"
    done = run(
        "train-vocab",
        "broken.jpg",
        "absent.jpg",
        "--out",
        tmp_path / "v",
        "--report-errors",
        errors,
        "--jobs",
        "1",
        cwd=folder,
    )
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        "bovw: error: 0 descriptors from 0 images"
    )
    found = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [(error["path"], error["reason"].partition(":")[0]) for error in found] == [
        ("absent.jpg", "there is no such file or folder"),
        ("broken.jpg", "is not an image of a known format"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["search", "query.png", "--index", "none.bovw"],
            1,
            "none.bovw: there is no index here; make one with `bovw index`",
        ),
        (["search", "query.png", "--box", "1,2,3"], 2, "--box: '1,2,3' is not X,Y,W,H"),
        (["search", "query.png", "--scoring", "bm25"], 2, "scoring: 'bm25' is unknown"),
        (["search", "query.png", "blank.png", "--draw", "x.png"], 2, "--draw: takes one query"),
        (["search", "--crop", "query.png", "--draw", "absent/x.png"], 1, "cannot be written"),
        (["search", "--nonsense"], 2, "No such option"),
        (["search", "query.png", "-k", "0"], 2, "-k"),
        (["nonsense"], 2, "nonsense"),
        (
            ["index", "photos", "--features", "surf", "--index", "new.bovw"],
            2,
            "features: 'surf' is unknown",
        ),
        (
            ["index", "photos", "--vocab", "absent", "--index", "new.bovw"],
            1,
            "absent: there is no vocabulary here",
        ),
    ],
)
def test_errors_are_one_line_with_a_code(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(*arguments, cwd=folder)
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bovw: error: ") and message in last


@pytest.mark.slow
def test_version_and_help(folder: Path) -> None:
    assert run("--version", cwd=folder).stdout.startswith("bovw ")
    for command in ("train-vocab", "index", "search"):
        assert command in run("--help", cwd=folder).stdout
        assert "Usage" in run(command, "--help", cwd=folder).stdout


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b.jpg", "a b.jpg"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff", "\\udcff"),
        ("é", "é"),
        ("3.14\u202fPM", "3.14\u202fPM"),
        ("v\u00a013 写真\u3000", "v\u00a013 写真\u3000"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("a\u2028b\x85c\x7f", "a\\u2028b\\x85c\\x7f"),
    ],
)
def test_printed_names_cannot_harm_a_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.slow
def test_a_box_that_does_not_fit_one_query_does_not_stop_the_others(folder: Path) -> None:
    done = run("search", "blank.png", "query.png", "--box", "0,0,100,100", "--json", cwd=folder)
    assert done.returncode == 1
    small, fitting = answers(done)
    assert "64 x 64" in small["error"] and small["matches"] == [] and fitting["features"] > 0
    assert "blank.png: box:" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_index_run_says_so_and_goes_on_later(
    folder: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for number in range(40):
        cv2.imwrite(str(tmp_path / f"{number}.png"), textured(number, 640, 480))
    command = [
        sys.executable,
        "-m",
        "bovw",
        "index",
        str(tmp_path),
        "--jobs",
        "0",
        "--index",
        str(tmp_path / "i.bovw"),
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # in the background of a script it would be ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not list((tmp_path / "i.bovw").glob("manifest-*")):
        time.sleep(0.01)
    process.send_signal(sent)
    stdout, stderr = process.communicate()
    lines = stderr.splitlines()
    assert process.returncode == 128 + sent
    assert lines[-1] == "bovw: error: interrupted; what was committed is kept"
    if len(lines) > 1:  # it was at work already
        assert lines[:-1] == [NOTE.decode().rstrip()] and " images: " in stdout
    again = run("index", tmp_path, "--index", tmp_path / "i.bovw", cwd=folder)
    assert again.returncode == 0 and "40 images: " in again.stdout


@pytest.mark.slow
def test_the_life_of_an_index(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "photos", tmp_path / "a" / "photos")
    here = tmp_path / "a"
    assert run("index", "photos", "--batch", "2", "--jobs", "0", cwd=here).returncode == 0
    listed = run("list", cwd=here).stdout.splitlines()
    assert listed == [os.path.join("photos", *name) for name in NAMES]
    assert run("list", "-0", cwd=here).stdout == "".join(f"{path}\0" for path in listed)
    facts = json.loads(run("info", "--json", cwd=here).stdout)
    assert (facts["images"], facts["deleted"], facts["segments"], facts["root"]) == (5, 0, 3, ".")
    removed = run("remove", listed[0], "photos/sub dir", "absent.jpg", cwd=here)
    assert (removed.returncode, removed.stdout) == (1, "index.bovw: 2 images: 3 removed\n")
    assert removed.stderr == "bovw: absent.jpg: is not in the index\n"
    os.unlink(here / listed[1])
    again = run("index", "photos", "--jobs", "0", cwd=here)
    assert again.stderr == "bovw: not looked at: 3 removed from the index before\n"
    named = [listed[0], "photos/sub dir", "photos"]
    pruned = run("index", *named, "--prune", "--jobs", "0", cwd=here)
    assert (
        pruned.stdout
        == "index.bovw: 4 images: 3 added, 0 changed, 1 removed, 1 unchanged, 0 left out\n"
    )
    merged = run("merge", cwd=here)
    assert merged.returncode == 0 and "segments -> 1, " in merged.stdout
    assert "images             4" in run("info", cwd=here).stdout
    assert run("check", cwd=here).stdout.startswith("index.bovw: sound: 4 images")
    here = here.rename(tmp_path / "b")
    found = answers(
        run(
            "search",
            "--crop",
            folder / "query.png",
            "--index",
            here / "index.bovw",
            "--json",
            cwd=tmp_path,
        )
    )[0]
    assert found["matches"][0]["image"] == str(here / "photos/sub dir/bild 3 é.jpg")
    (here / "photos").rename(tmp_path / "c")
    draw = ("search", "--crop", folder / "query.png", "--draw", tmp_path / "drawing.png")
    lost = run(*draw, cwd=here)
    assert lost.returncode == 1 and "there is no such file" in lost.stderr
    assert run(*draw, "--root", tmp_path, cwd=here).returncode == 1
    (tmp_path / "d").mkdir()
    (tmp_path / "c").rename(tmp_path / "d" / "photos")
    assert run(*draw, "--root", tmp_path / "d", cwd=here).returncode == 0
    moved = run("index", tmp_path / "d" / "photos", "--root", tmp_path / "d", cwd=here)
    assert moved.stdout == "index.bovw: 4 images: 0 added, 0 changed, 4 unchanged, 0 left out\n"
    assert run(*draw, cwd=here).returncode == 0
