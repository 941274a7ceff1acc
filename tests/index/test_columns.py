"""An optional column of images: one declaration, its producer, and it lives through everything."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import ImageIndex, check_index
from bovw.errors import IndexCorruptError
from bovw.features.local import Features
from bovw.index import columns, extraction
from bovw.index import writer as writers
from bovw.index.columns import Column
from tests.helpers.pictures import textured

FIXTURE = Path(__file__).parents[1] / "fixtures" / "index-2"
COLUMN = Column("pixel_hash", "|u1", "image", 32, optional=True)


def pixel_hash(colours: NDArray[np.uint8], _: Features) -> NDArray[np.uint8]:
    gray = np.ascontiguousarray(colours[..., 0])
    return np.frombuffer(hashlib.sha256(gray.tobytes()).digest(), np.uint8)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The column is declared and produced; small segments are merged soon."""
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, COLUMN))
    monkeypatch.setitem(extraction.PRODUCERS, "pixel_hash", pixel_hash)
    monkeypatch.setattr(writers, "FAN_IN", 3)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "photos" / f"{number}.png" for number in range(7)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), cv2.cvtColor(textured(number, 160, 120), cv2.COLOR_BGR2GRAY))
    return paths


def hashes(index: ImageIndex) -> dict[str, bytes | None]:
    """The column of the live images, by id."""
    snapshot = index._snapshot
    rows = snapshot.optional("pixel_hash")
    return {
        record.id: rows.values[image].tobytes() if rows.known[image] else None
        for image, record in snapshot.live_records()
    }


def expected(photos: list[Path]) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for path in photos:
        pixels = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        found[f"photos/{path.name}"] = hashlib.sha256(pixels.tobytes()).digest()
    return found


def sound(path: Path) -> bool:
    report = check_index(path)
    return report.damages == [] and report.leftovers == []


@pytest.mark.slow
@pytest.mark.usefixtures("declared")
def test_a_column_survives_merging_and_deleting(tmp_path: Path, photos: list[Path]) -> None:
    path = tmp_path / "i.bovw"
    with ImageIndex.create(path) as index:
        assert hashes(index) == {}
        for photo in photos:  # a segment each, merged by threes
            index.add([photo])
        assert hashes(index) == expected(photos)
        index.remove(photos[2])
        assert hashes(index) == expected(photos[:2] + photos[3:])
        index.merge()
        assert hashes(index) == expected(photos[:2] + photos[3:])
        assert len(index._snapshot.segments) == 1
        assert index.search(photos[4]).matches[0].id == "photos/4.png"
    assert sound(path)
    with ImageIndex.open(path) as index:
        assert hashes(index) == expected(photos[:2] + photos[3:])


@pytest.mark.usefixtures("declared")
def test_images_without_the_column_live_beside_those_with_it(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of before the column, which was written by format 2, goes on; its images lack it."""
    shutil.copytree(FIXTURE, tmp_path / "old")
    path = tmp_path / "old" / "index.bovw"
    if not path.is_dir():
        path = next((tmp_path / "old").rglob("manifest-*.json")).parent
    with ImageIndex.open(path) as index:
        before = hashes(index)
        assert before and set(before.values()) == {None}
        index.add(photos[:2])
        both = hashes(index)
        assert {name: both[name] for name in before} == before
        new = {Path(name).name: value for name, value in both.items() if name not in before}
        assert new == {Path(name).name: value for name, value in expected(photos[:2]).items()}
        index.merge()
        assert hashes(index) == both
        assert len(index._snapshot.segments) == 1
    assert sound(path)
    # a program that knows nothing of the column opens the index, and merges it away
    monkeypatch.setattr(columns, "COLUMNS", columns.COLUMNS[:-1])
    monkeypatch.delitem(extraction.PRODUCERS, "pixel_hash")
    with ImageIndex.open(path) as index:
        assert len(index) == len(both)
        index.add(photos[2])
        index.merge()
    assert sound(path)


@pytest.mark.slow
@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("damage", ["truncated", "missing", "other type"])
def test_damage_to_the_column_is_noticed(tmp_path: Path, photos: list[Path], damage: str) -> None:
    path = tmp_path / "i.bovw"
    with ImageIndex.create(path) as index:
        index.add(photos)
    (file,) = path.rglob("pixel_hash.npy")
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[:-1] if damage == "truncated" else content.replace(b"u1", b"i1"))
    with pytest.raises(IndexCorruptError, match=r"pixel_hash\.npy"):
        ImageIndex.open(path)
    (found,) = check_index(path).damages
    assert found.file == str(file) and found.lost == len(photos)


@pytest.mark.slow
@pytest.mark.usefixtures("declared")
def test_a_changed_value_of_the_column_is_found_by_a_check(
    tmp_path: Path, photos: list[Path]
) -> None:
    path = tmp_path / "i.bovw"
    with ImageIndex.create(path) as index:
        index.add(photos)
    (file,) = path.rglob("pixel_hash.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "checksum" in check_index(path).damages[0].reason
    with ImageIndex.open(path) as index, pytest.raises(IndexCorruptError, match="checksum"):
        for photo in photos:
            photo.touch()
        index.add(photos, batch=1)  # deletes more than half, so that the segment is merged


def test_complete_reads_again_what_an_older_version_added(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.bovw"
    with ImageIndex.create(path) as index:
        index.add(photos[:3])
        index.add_images([("memory", textured(9, 160, 120), None), ("named", photos[4], {"a": 1})])
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, COLUMN))
    monkeypatch.setitem(extraction.PRODUCERS, "pixel_hash", pixel_hash)
    photos[2].unlink()
    with ImageIndex.open(path) as index:
        report = index.add(photos[3], complete=True)
        assert (report.added, report.changed) == (1, 3)
        reasons = {os.path.basename(failure.name): failure.reason for failure in report.failed}
        assert set(reasons) == {"2.png", "memory"}
        assert "add it again" in reasons["memory"] and "no such file" in reasons["2.png"]
        found = hashes(index)
        named = index.record("named")
        assert named and named.metadata == {"a": 1} and found.pop("named") is not None
        known = expected([*photos[:2], photos[3]])
        assert found == {**known, "photos/2.png": None, "memory": None}
        assert index.add([], complete=True).changed == 0
