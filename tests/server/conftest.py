"""A small collection, and servers of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

pytest.importorskip("fastapi", reason="bovw[serve] is not installed")

from starlette.testclient import TestClient

from bovw import ImageIndex, Vocabulary
from bovw.server.app import create_app
from bovw.server.settings import SERVER_LIMITS, ServerSettings
from tests.helpers.pictures import crop_query, encoded, textured

URL = "http://localhost"
HOSTILE = "<b onmouseover='alert(1)'>&.png"
Serve = Callable[..., TestClient]


@pytest.fixture(scope="session")
def collection(
    tmp_path_factory: pytest.TempPathFactory, photos: list[Path], vocabulary: Vocabulary
) -> Path:
    """A folder with `photos/0.png` to `9.png`, their index `photos.bovw`, and `crop.png`: a part of
    the larger picture `photos/large.png`.
    """
    folder = tmp_path_factory.mktemp("collection")
    (folder / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, folder / "photos")
    large = textured(77, 320, 240)
    (folder / "photos" / "large.png").write_bytes(encoded(large))
    crop, _ = crop_query(large, 60, 50, 160, 120, 20)
    (folder / "crop.png").write_bytes(encoded(crop))
    with ImageIndex.create(folder / "photos.bovw", vocabulary, picture_root=folder) as index:
        index.add(folder / "photos", metadata={"kind": "test"})
    return folder


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """A folder with three pictures and copies of two of them, and their index `copied.bovw`."""
    folder = tmp_path_factory.mktemp("copied")
    for name, seed in (("a.png", 3), ("b.png", 4), ("c.png", 5)):
        (folder / name).write_bytes(encoded(textured(seed, 320, 240)))
    shutil.copy(folder / "a.png", folder / HOSTILE)
    half = cv2.resize(textured(4, 320, 240), (160, 120), interpolation=cv2.INTER_AREA)
    (folder / "half.png").write_bytes(encoded(half))
    with ImageIndex.create(folder / "copied.bovw", vocabulary, picture_root=folder) as index:
        index.add(folder)
    return folder


@pytest.fixture(scope="session")
def settings(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> ServerSettings:
    """What servers of the collection are told."""
    return ServerSettings(
        [collection / "photos.bovw"],
        jobs=1,
        limits=replace(SERVER_LIMITS, file_bytes=2_000_000),
        cache=tmp_path_factory.mktemp("cache"),
    )


@pytest.fixture(scope="session")
def client(settings: ServerSettings) -> Iterator[TestClient]:
    """A server that changes nothing, for all tests."""
    with TestClient(create_app(settings), URL) as client:
        yield client


@pytest.fixture
def serve(settings: ServerSettings) -> Iterator[Serve]:
    """Starts servers of the collection with other settings, which end with the test."""
    clients: list[TestClient] = []

    def serve(**changes: object) -> TestClient:
        app = create_app(replace(settings, **changes))  # type: ignore[arg-type]
        client = TestClient(app, URL, follow_redirects=False)
        clients.append(client.__enter__())
        return clients[-1]

    yield serve
    for client in clients:
        client.__exit__(None, None, None)
