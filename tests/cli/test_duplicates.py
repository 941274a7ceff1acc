"""`bovw duplicates` as its users run it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest

from tests.helpers.command import run
from tests.helpers.pictures import textured

# What a shell, a table or a terminal might stumble over.
ODD = b'it\'s "$HOME" `x`;\n\xff #.png'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, copies of them, and an index."""
    folder = tmp_path_factory.mktemp("duplicates")
    (folder / "photos").mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), textured(number, 240, 180))
    shutil.copy(folder / "photos" / "0.png", folder / "photos" / os.fsdecode(ODD))
    half = cv2.resize(textured(0, 240, 180), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "photos" / "half.jpg"), half)
    assert run("index", "photos", "--jobs", "0", cwd=folder).returncode == 0
    return folder


def files(folder: Path) -> set[bytes]:
    return set(os.listdir(os.fsencode(folder / "photos")))


@pytest.mark.slow
def test_groups_as_text_json_table_and_page(folder: Path) -> None:
    before = files(folder)
    done = run(
        *("duplicates", "--prefer", "0.png", "--report", "page.html"),
        cwd=folder,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("  1  keep  photos/0.png  240 x 180")
    assert lines[1].endswith("identical")
    assert lines[2].startswith("     copy  photos/half.jpg")
    assert lines[2].endswith(": 0.5 x")
    assert lines[3].startswith("4 images, 3 compared now: 2 duplicates in 1 groups, ")
    table = run("duplicates", "--prefer", "0.png", "--csv", cwd=folder).stdout
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["role"] for row in rows] == ["keep", "copy", "copy"]
    assert [row["text"] for row in rows] == ["", "identical", "0.5 x"]
    page = (folder / "page.html").read_text()
    assert page.count("<img") == 3
    assert "0.5 x" in page
    done = run("duplicates", "--json", "--kind", "exact", cwd=folder)
    (group,) = json.loads(done.stdout)["groups"]
    assert [member["relation"] for member in group["members"]] == ["identical"]
    assert files(folder) == before


@pytest.mark.slow
def test_the_script_removes_what_it_names_and_only_that(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    folder = tmp_path / "copy"
    options = ("--prefer", "0.png", "--delete-script", "remove.sh")
    assert run("duplicates", *options, "--protect", "half*", cwd=folder).returncode == 1
    assert len(files(folder)) == 4
    script = (folder / "remove.sh").read_bytes()
    assert script.count(b"\nif kept ") == 1
    (folder / "photos" / "0.png").rename(folder / "elsewhere")
    done = subprocess.run(["sh", "remove.sh"], cwd=folder, capture_output=True, check=False)
    assert b"so its copies stay" in done.stderr
    assert len(files(folder)) == 3
    (folder / "elsewhere").rename(folder / "photos" / "0.png")
    with (folder / "photos" / "0.png").open("ab") as file:
        file.write(b"x")
    done = subprocess.run(["sh", "remove.sh"], cwd=folder, capture_output=True, check=False)
    assert b"not identical" in done.stderr
    assert len(files(folder)) == 4
    with (folder / "photos" / "0.png").open("rb+") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 1)
    subprocess.run(["sh", "remove.sh"], cwd=folder, capture_output=True, check=True)
    assert files(folder) == {b"0.png", b"1.png", b"half.jpg"}


@pytest.mark.slow
def test_it_ends_as_diff_does(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(folder / "photos" / "1.png", tmp_path / "one")
    assert run("index", "one", "--jobs", "0", cwd=tmp_path).returncode == 0
    done = run("duplicates", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 images, 1 compared now: no duplicates\n")
    done = run("duplicates", "--against", folder / "index.bovw", cwd=tmp_path)
    assert done.returncode == 1
    assert "keep" in done.stdout
    (tmp_path / "pairs.tsv").write_text(f"# no\n\none/1.png\t{folder}/photos/1.png\n")
    options = ("--against", folder / "index.bovw", "--ignore", "pairs.tsv")
    assert run("duplicates", *options, cwd=tmp_path).returncode == 0
    for wrong in (
        ("--index", "absent.bovw"),
        ("--kind", "some"),
        ("--ignore", "absent.tsv"),
        ("--report", "absent/page.html"),
        ("--csv", "--json"),
    ):
        done = run("duplicates", *wrong, cwd=tmp_path)
        assert done.returncode == 2, wrong
        assert done.stderr.startswith("bovw: error: ")
        assert done.stderr.count("\n") == 1
