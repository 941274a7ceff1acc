"""A cluster behind the page and the API: it answers as the index of the same pictures does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bovw import ParameterError, Vocabulary
from bovw.cluster.building import create_cluster
from bovw.cluster.config import ClusterConfig, write_config
from bovw.cluster.machines import HERE, change_cluster
from bovw.server import shelf
from bovw.server.app import create_app
from bovw.server.settings import ServerSettings
from tests.helpers.pictures import encoded, textured

from .conftest import URL
from .test_api import API, asked, problem, without_more
from .test_overviews import found as survey_of


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, collection: Path, vocabulary: Vocabulary
) -> Path:
    """The pictures of the collection, a cluster of them, and its file `many.toml`."""
    folder = tmp_path_factory.mktemp("many")
    shutil.copytree(collection / "photos", folder / "photos")
    config = ClusterConfig(
        store=str(folder / "store"),
        shards=2,
        picture_root=str(folder),
        cache=str(folder / "cache"),
        address=HERE,
    )
    write_config(folder / "many.toml", config)
    create_cluster(config, vocabulary)
    change_cluster(config, [str(folder / "photos")], jobs=0)
    return folder


@pytest.fixture(scope="module")
def both(settings: ServerSettings, collection: Path, folder: Path) -> Iterator[TestClient]:
    """A server of the cluster and of the index of the same pictures."""
    served = replace(
        settings,
        indexes=[folder / "many.toml", collection / "photos.bovw"],
        writable=True,
        upload_to=folder,
    )
    with TestClient(create_app(served), URL) as client:
        yield client


def test_a_cluster_answers_as_the_index_does(both: TestClient, collection: Path) -> None:
    total = both.get(f"{API}/images?count=1").json()["total"]
    pages = [both.get(f"{API}/images?first={n}&count=4").json()["images"] for n in (0, 4, 8)]
    listed = both.get(f"{API}/images?index=photos").json()
    assert total == listed["total"] == 11
    assert sorted(each["key"] for page in pages for each in page) == sorted(
        each["key"] for each in listed["images"]
    )
    for fields in ({"crop": "true"}, {"k": "3"}):
        found, expected = (
            asked(both, collection / "crop.png", index=index, **fields)
            for index in ("many", "photos")
        )
        for answer in (found, expected):  # the pictures are copies, in another folder
            for match in answer["matches"]:
                assert both.get(match["thumbnail"]).headers["content-type"] == "image/jpeg"
                del match["image"], match["metadata"]
        assert without_more(found) == without_more(expected)
    (first, *_) = found["matches"]
    of_image = both.post(f"{API}/search", json={"image": first["key"], "index": "many"}).json()
    assert of_image["matches"][0]["key"] == first["key"]
    assert both.get(f"{API}/images/{first['key']}/file").content.startswith(b"\x89PNG")
    assert "many" in both.get("/browse").text and both.get("/").status_code == 200
    assert 'bovw_index_images{index="many"} 11.0' in both.get(f"{API}/metrics").text


def test_a_cluster_is_surveyed_as_one_index(both: TestClient) -> None:
    fields = "by=colour&count=2&least=1"
    found, expected = (
        survey_of(both, f"clusters?index={index}&{fields}")["clusters"]
        for index in ("many", "photos")
    )
    groups = [sorted(sorted(each["keys"]) for each in answer) for answer in (found, expected)]
    assert groups[0] == groups[1]


def test_a_cluster_is_not_changed_here(both: TestClient) -> None:
    (image,) = both.get(f"{API}/images?count=1").json()["images"]
    for answer in (
        both.delete(f"{API}/images/{image['key']}"),
        both.post(f"{API}/images", files={"picture": b"x"}),
    ):
        assert "is a cluster" in problem(answer, 403)
    writable = {
        each["index"]: each["writable"] for each in both.get(f"{API}/indexes").json()["indexes"]
    }
    assert writable == {"many": False, "photos": True}


def test_pictures_that_are_not_on_this_machine_are_said_to_be_so(
    both: TestClient, folder: Path, collection: Path
) -> None:
    path = folder / "photos" / "large.png"
    path.rename(folder / "elsewhere.png")
    try:
        (match, *_) = asked(both, collection / "crop.png", crop="true")["matches"]
        assert match["id"] == "photos/large.png" and match["unreachable"] and "gone" not in match
        for answer in (
            both.get(match["thumbnail"]),
            both.get(f"{API}/images/{match['key']}/file"),
            both.post(f"{API}/search", json={"image": match["key"]}),
        ):
            assert "cannot be reached from this machine" in problem(answer, 422)
        assert both.get("/browse").text.count("not reachable here") == 1
    finally:
        (folder / "elsewhere.png").rename(path)


def test_a_new_generation_is_asked_once_the_shards_have_it(
    settings: ServerSettings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "WATCH_SECONDS", 0.05)
    shutil.copytree(folder / "store", tmp_path / "store")
    config = shelf.source_of(folder / "many.toml", None, 30.0)
    assert isinstance(config, ClusterConfig) and config.timeout_seconds == 15.0
    own = replace(config, store=str(tmp_path / "store"))
    write_config(tmp_path / "own.toml", own)
    with TestClient(create_app(replace(settings, indexes=[tmp_path / "own.toml"])), URL) as client:
        added = folder / "added.png"
        added.write_bytes(encoded(textured(78, 160, 120)))
        change_cluster(own, [str(added)], jobs=0)
        end = time.monotonic() + 60
        while client.get(f"{API}/images").json()["total"] != 12:
            assert time.monotonic() < end
    with pytest.raises(ParameterError, match="where the pictures"):
        shelf.source_of(folder / "many.toml", folder, 30.0)
