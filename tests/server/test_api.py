"""What programs get."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from bovw import ImageIndex, Vocabulary
from bovw.index.record import image_key
from bovw.server.settings import ServerSettings
from tests.fuzz.pictures import png
from tests.helpers.command import run
from tests.helpers.pictures import encoded, endless_jpeg, textured

from .conftest import Serve

API = "/api/v1"
MORE = ("key", "width", "height", "thumbnail", "generation", "picture", "correspondences")


def without_more(facts: dict[str, Any]) -> dict[str, Any]:
    """An answer as the command prints it, without times."""
    kept = {name: value for name, value in facts.items() if name not in (*MORE, "seconds")}
    if "matches" in kept:
        kept["matches"] = [without_more(match) for match in kept["matches"]]
    return kept


def asked(client: TestClient, picture: Path, **fields: str) -> dict[str, Any]:
    with picture.open("rb") as file:
        answer = client.post(f"{API}/search", files={"picture": file}, data=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def problem(answer: Any, status: int) -> str:
    """The title of an answer that is a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return str(answer.json()["title"])


@pytest.mark.slow
def test_a_search_answers_what_the_command_prints(client: TestClient, collection: Path) -> None:
    index = collection / "photos.bovw"
    for options, fields in (
        (["--crop", "-k", "3"], {"crop": "true", "k": "3"}),
        (
            ["--no-mirror", "--words", "2", "--box", "10,20,90,80", "--where", "kind=test"],
            {"mirror": "0", "words": "2", "box": "10,20,90,80", "where": '{"kind": "test"}'},
        ),
    ):
        done = run("search", "--json", "--index", index, *options, "crop.png", cwd=collection)
        answer = asked(client, collection / "crop.png", **fields)
        assert without_more(answer) == without_more(json.loads(done.stdout))
        for match in answer["matches"]:
            assert match["key"] == image_key(match["id"])
            assert client.get(match["thumbnail"]).headers["content-type"] == "image/jpeg"


def test_a_query_that_is_kept_or_an_image_is_asked_with_by_its_key(
    client: TestClient, collection: Path
) -> None:
    with (collection / "crop.png").open("rb") as file:
        kept = client.post(f"{API}/queries", files={"picture": file}).json()
    assert (kept["name"], kept["width"], kept["height"]) == ("crop.png", 160, 120)
    answer = client.post(f"{API}/search", json={"query": kept["key"], "crop": True}).json()
    first = answer["matches"][0]
    assert first["id"] == "photos/large.png" and first["verified"]
    assert without_more(first) == without_more(
        asked(client, collection / "crop.png", crop="true")["matches"][0]
    )
    body = {"image": first["key"], "k": 1, "correspondences": True}
    itself = client.post(f"{API}/search", json=body).json()["matches"][0]
    assert itself["key"] == first["key"]
    assert len(itself["correspondences"]) == itself["inliers"] > 20
    assert client.get(f"{API}/queries/{kept['key']}/thumbnail").status_code == 200


@pytest.mark.slow
def test_a_comparison_answers_what_the_command_prints(client: TestClient, collection: Path) -> None:
    done = run("compare", "--json", "photos/large.png", "crop.png", cwd=collection)
    key = image_key("photos/large.png")
    with (collection / "crop.png").open("rb") as file:
        content = file.read()
    form = {"first": json.dumps({"image": key})}
    answer = client.post(f"{API}/compare", data=form, files={"second": ("crop.png", content)})
    expected = json.loads(done.stdout)
    found = without_more(answer.json())
    assert found.pop("first").endswith(expected.pop("first"))
    assert found == expected and found["verified"] and found["differences"] == []
    assert len(answer.json()["correspondences"]) == found["inliers"]
    for draw in ("match", "differences"):
        drawn = client.post(
            f"{API}/compare",
            data={**form, "draw": draw},
            files={"second": ("crop.png", content)},
        )
        assert drawn.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(drawn.content)).width > 400


def test_the_images_of_an_index_come_page_by_page(client: TestClient, collection: Path) -> None:
    with ImageIndex.open(collection / "photos.bovw") as index:
        ids = [record.id for record in index.records()]
    pages = [
        client.get(f"{API}/images", params={"first": first, "count": 4}).json()
        for first in range(0, 12, 4)
    ]
    assert [image["id"] for page in pages for image in page["images"]] == ids
    assert {page["total"] for page in pages} == {11}
    one = pages[0]["images"][2]
    assert client.get(f"{API}/images/{one['key']}").json() == one
    assert client.get(one["file"]).content == (collection / one["id"]).read_bytes()
    shown = Image.open(io.BytesIO(client.get(f"{one['thumbnail']}&side=1600").content))
    assert shown.size == (160, 120)
    assert "side: 7" in problem(client.get(f"{one['thumbnail']}&side=7"), 422)
    (facts,) = client.get(f"{API}/indexes").json()["indexes"]
    assert (facts["index"], facts["images"]) == ("photos", 11)


def test_whatever_is_wrong_is_said_in_one_sentence(client: TestClient, collection: Path) -> None:
    post = client.post
    text = {"picture": ("notes.txt", b"no picture")}
    title = problem(post(f"{API}/search", files=text), 422)
    assert title == "notes.txt: is not an image of a known format"
    assert "is empty" in problem(post(f"{API}/search", files={"picture": ("a", b"")}), 422)
    crop = {"picture": (collection / "crop.png").read_bytes()}
    for fields, expected in (
        ({"k": "0"}, "k: "),
        ({"k": "many"}, "k: "),
        ({"colour": "red"}, "colour: "),
        ({"box": "1,2,3"}, "box"),
        ({"box": "150,0,100,100"}, "box: (150, 0, 100, 100) does not lie in a picture"),
        ({"crop": "1", "expand": "1"}, "expand: is for whole pictures"),
        ({"false_alarms": "nan"}, "false_alarms: "),
        ({"where": "[1]"}, "where: "),
    ):
        assert expected in problem(post(f"{API}/search", files=crop, data=fields), 422), fields
    assert "there is no index 'other'" in problem(
        post(f"{API}/search", files=crop, data={"index": "other"}), 404
    )
    assert "give a file or one of" in problem(post(f"{API}/search", json={}), 422)
    assert "not JSON" in problem(
        post(f"{API}/search", content=b"{", headers={"Content-Type": "application/json"}), 400
    )
    deep = b"[" * 60_000
    headers = {"Content-Type": "application/json"}
    problem(post(f"{API}/search", content=deep, headers=headers), 400)
    assert "send JSON or" in problem(post(f"{API}/search", content=b"x"), 415)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "form" in problem(post(f"{API}/search", content=b"--y", headers=form), 400)
    assert "no image" in problem(client.get(f"{API}/images/0123456789abcdef"), 404)
    problem(client.get(f"{API}/nothing"), 404)
    problem(client.put(f"{API}/search"), 405)


def test_what_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    huge = {"picture": ("huge.png", bytes(2_100_000))}
    assert "more than" in problem(client.post(f"{API}/search", files=huge), 413)

    def parts() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield bytes(100_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post(f"{API}/search", content=parts(), headers=headers)
    assert "more than" in problem(answer, 413)
    files = {"picture": ("bomb.png", png(30_000, 30_000, 8, 0, 0, b""))}
    assert "is too large" in problem(client.post(f"{API}/search", files=files), 422)


@pytest.mark.slow
def test_a_decoder_that_hangs_costs_its_request_and_others_are_told_to_come_back(
    serve: Serve, settings: ServerSettings, collection: Path
) -> None:
    limits = replace(settings.limits, seconds=2.0, file_bytes=20_000_000)
    client = serve(waiting=0, limits=limits)
    asked(client, collection / "crop.png")
    slow = {"picture": ("slow.jpg", endless_jpeg())}
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.post, f"{API}/search", files=slow)
        while not client.app.state.hosted.searching.unfinished:  # type: ignore[attr-defined]
            pass
        crop = {"picture": (collection / "crop.png").read_bytes()}
        refused = client.post(f"{API}/search", files=crop)
        assert "ask again later" in problem(refused, 503)
        assert int(refused.headers["retry-after"]) > 0
        assert client.get(f"{API}/images").status_code == 200
        assert "took too long" in problem(hanging.result(), 422)
    assert asked(client, collection / "crop.png")["matches"]


@pytest.mark.slow
def test_a_writable_server_adds_and_removes_and_a_commit_is_seen_at_once(
    serve: Serve, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "new").mkdir()
    with ImageIndex.create(tmp_path / "a.bovw", vocabulary, picture_root=tmp_path) as index:
        client = serve(indexes=[tmp_path / "a.bovw"], writable=True, upload_to=tmp_path / "new")
        picture = {"picture": ("../../up.php", encoded(textured(5, 160, 120)))}
        added = client.post(f"{API}/images", files=picture, data={"metadata": '{"of": "me"}'})
        assert added.status_code == 201, added.text
        facts = added.json()
        assert facts["metadata"] == {"of": "me"}
        (path,) = (tmp_path / "new").iterdir()
        assert path.suffix == ".png" and facts["id"] == f"new/{path.name}"
        found = client.post(f"{API}/search", files=picture).json()
        assert found["matches"][0]["key"] == facts["key"]
        title = problem(
            client.post(f"{API}/images", files={"picture": ("a.png", b"\x89PNG\r\n\x1a\n")}), 422
        )
        assert title.startswith("a.png: ")
        problem(client.post(f"{API}/images", files={"picture": ("a.svg", b"<svg/>")}), 422)
        assert len(list((tmp_path / "new").iterdir())) == 1
        index.refresh()
        before = found["generation"]
        shutil.copy(path, tmp_path / "other.png")
        index.add(tmp_path / "other.png")
        found = client.post(f"{API}/search", files=picture).json()
        assert found["generation"] > before and len(found["matches"]) == 2
        assert client.get(f"{API}/images").json()["total"] == 2
        assert client.delete(f"{API}/images/{facts['key']}").status_code == 204
        problem(client.delete(f"{API}/images/{facts['key']}"), 404)
        assert path.exists()


def test_another_server_changes_nothing(client: TestClient, collection: Path) -> None:
    key = image_key("photos/0.png")
    crop = {"picture": (collection / "crop.png").read_bytes()}
    assert "--writable" in problem(client.post(f"{API}/images", files=crop), 403)
    assert "--writable" in problem(client.delete(f"{API}/images/{key}"), 403)
    assert client.get(f"{API}/images/{key}").status_code == 200


def test_figures_are_those_of_prometheus(client: TestClient, collection: Path) -> None:
    asked(client, collection / "crop.png")
    client.get("/no/such/page")
    families = {
        family.name: family
        for family in text_string_to_metric_families(client.get(f"{API}/metrics").text)
    }
    labels = [sample.labels for sample in families["bovw_requests"].samples]
    searches = {"method": "POST", "route": f"{API}/search", "status": "200"}
    assert searches in labels
    assert all("/no/such" not in label.get("route", "") for label in labels)
    (generation,) = families["bovw_index_generation"].samples
    assert generation.labels == {"index": "photos"} and generation.value == 2
    steps = {sample.labels["step"] for sample in families["bovw_search_step_seconds"].samples}
    assert {"extract", "scan", "verify"} <= steps


def test_the_description_names_every_way_to_ask(client: TestClient) -> None:
    described = client.get(f"{API}/openapi.json").json()
    assert set(described["paths"]) == {
        f"{API}/{name}"
        for name in (
            "search", "similar", "compare", "queries", "queries/{key}/thumbnail", "indexes",
            "images", "images/{key}", "images/{key}/thumbnail", "images/{key}/file", "duplicates",
            "clusters", "map", "map/sheets/{name}", "healthz", "metrics",
        )
    }  # fmt: skip
    body = described["paths"][f"{API}/search"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["properties"]["k"]["maximum"] == 1000
    assert "picture" in body["multipart/form-data"]["schema"]["properties"]
