"""Pictures that several tests evaluate, with an index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from bovw import ImageIndex
from tests.helpers.pictures import textured


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, one of them twice, with an index."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "photos").mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / "photos" / f"picture {number}.png"), textured(number, 320, 240))
    shutil.copy(folder / "photos" / "picture 0.png", folder / "photos" / "twin.png")
    with ImageIndex.create(folder / "index.bovw") as index:
        index.add([folder / "photos"])
    return folder


@pytest.fixture(scope="session")
def index(folder: Path) -> Iterator[ImageIndex]:
    with ImageIndex.open(folder / "index.bovw") as index:
        yield index
