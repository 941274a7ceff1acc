"""The commands of a cluster, as a user would give them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from bovw import Vocabulary
from tests.helpers.command import run
from tests.helpers.pictures import textured


@pytest.mark.slow
def test_the_life_of_a_cluster(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path / "vocabulary")
    (tmp_path / "photos").mkdir()
    for number in range(5):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), textured(number, 160, 120))
    options = ("--store", "store", "--cache", "cache", "--address", "here", "--vocab", "vocabulary")
    made = run("cluster", "create", "c.toml", "--shards", "2", *options, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    again = run("cluster", "create", "c.toml", "--shards", "2", *options, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (1, "bovw: error: c.toml: is there already\n")
    added = run("cluster", "index", "c.toml", "photos", "absent", cwd=tmp_path)
    assert added.returncode == 1 and "absent" in added.stderr
    assert added.stdout == (
        "c.toml: 5 images: 5 added, 0 changed, 0 removed, 0 unchanged, 1 left out\n"
    )
    gone = run("cluster", "remove", "c.toml", "photos/3.png", cwd=tmp_path)
    assert gone.stdout.startswith("c.toml: 4 images: 0 added, 0 changed, 1 removed")
    status = json.loads(run("cluster", "status", "c.toml", "--json", cwd=tmp_path).stdout)
    assert (status["images"], [shard["answers"] for shard in status["shards"]]) == (4, [True, True])
    (tmp_path / "store" / "objects" / "00").mkdir(exist_ok=True)
    (tmp_path / "store" / "objects" / "00" / ("0" * 64)).write_bytes(bytes(2_000_000))
    told = run("cluster", "check", "c.toml", cwd=tmp_path).stdout.splitlines()
    assert told == [
        "c.toml: 1 objects (2.0 MB) are not needed: bovw cluster clean",
        "c.toml: sound",
    ]
    cleaned = run("cluster", "clean", "c.toml", "--older-than", "0", cwd=tmp_path)
    assert cleaned.stdout == "c.toml: 1 objects (2.0 MB) removed\n"
    cv2.imwrite(str(tmp_path / "query.png"), textured(2, 160, 120)[10:100, 20:140])
    found = run("search", "--index", "c.toml", "--crop", "--json", "query.png", cwd=tmp_path)
    (match, *_) = json.loads(found.stdout)["matches"]
    assert match["verified"] and match["id"] == "photos/2.png"
    listed = run("list", "--index", "c.toml", cwd=tmp_path).stdout.splitlines()
    assert sorted(Path(path).name for path in listed) == ["0.png", "1.png", "2.png", "4.png"]
    largest = max(
        (path for path in (tmp_path / "store").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    largest.write_bytes(largest.read_bytes()[:-1])
    checked = run("cluster", "check", "c.toml", cwd=tmp_path)
    assert checked.returncode == 1 and largest.name in checked.stdout
