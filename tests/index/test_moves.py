"""Pictures whose files have moved are known by their content."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bovw import ImageIndex, Vocabulary, check_index


@pytest.fixture
def home(tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with six pictures in pics/."""
    (tmp_path / "pics").mkdir()
    for photo in photos[:6]:
        shutil.copy(photo, tmp_path / "pics")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("home")
def test_a_renamed_folder_keeps_its_images(vocabulary: Vocabulary, photos: list[Path]) -> None:
    with ImageIndex.create("i.bovw", vocabulary) as index:
        index.add("pics", batch=2, metadata={"by": "me"})
        before = index.search(photos[3]).matches
        os.rename("pics", "Bilder")
        os.unlink("Bilder/5.png")
        shutil.copy("Bilder/4.png", "Bilder/copy.png")
        report = index.add("Bilder")
        assert (report.moved, report.added, report.changed) == (5, 1, 0)
        records = {record.id: record for record in index.records()}
        assert sorted(records) == [
            *(f"Bilder/{n}.png" for n in range(5)),
            "Bilder/copy.png",
            "pics/5.png",
        ]
        assert records["Bilder/3.png"].metadata == {"by": "me"}
        after = index.search(photos[3]).matches
        assert (after[0].path, after[0].inliers) == ("Bilder/3.png", before[0].inliers)
        again = index.add("Bilder")
        assert (again.moved, again.added, again.unchanged) == (0, 0, 6)
    assert check_index("i.bovw").damages == []


@pytest.mark.usefixtures("home")
def test_what_is_still_there_is_a_copy_and_not_a_move(vocabulary: Vocabulary) -> None:
    with ImageIndex.create("i.bovw", vocabulary) as index:
        index.add("pics")
        shutil.copytree("pics", "copies")
        assert index.add("copies").added == 6 and len(index) == 12


@pytest.mark.usefixtures("home")
def test_an_id_of_ones_own_stays(vocabulary: Vocabulary) -> None:
    with ImageIndex.create("i.bovw", vocabulary) as index:
        index.add_images([("label 0", "pics/0.png", None)])
        os.rename("pics", "Bilder")
        assert index.add("Bilder/0.png").moved == 1
        record = index.record("label 0")
        assert record is not None and record.path == "Bilder/0.png" and len(index) == 1
