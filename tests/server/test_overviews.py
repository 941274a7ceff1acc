"""What programs get of a collection as a whole: what looks alike, duplicates, clusters, maps."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from bovw import ImageIndex
from bovw.index.record import image_key
from bovw.server.cache import FolderCache
from bovw.server.surveys import Found, Surveys
from tests.helpers.command import run

from .conftest import Serve
from .test_api import API, problem, without_more


def found(client: TestClient, url: str) -> Any:
    """The answer to a survey, once it is there."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        answer = client.get(f"{API}/{url}{'&' if '?' in url else '?'}wait=20")
        if answer.status_code != 202:
            assert answer.status_code == 200, answer.text
            return answer.json()
    raise TimeoutError(url)


@pytest.mark.slow
def test_what_looks_alike_is_what_the_command_prints(client: TestClient, collection: Path) -> None:
    index = collection / "photos.bovw"
    options = [
        "--json",
        "--by",
        "vlad=1,colour=.5",
        "-k",
        "3",
        "--index",
        str(index),
        "--box",
        "9,9,99,90",
    ]
    done = run("similar", *options, "crop.png", cwd=collection)
    fields = {"by": "vlad=1,colour=.5", "k": "3", "box": "9,9,99,90"}
    files = {"picture": ("crop.png", (collection / "crop.png").read_bytes())}
    answer = client.post(f"{API}/similar", files=files, data=fields).json()
    assert without_more(answer) == without_more(json.loads(done.stdout))
    assert (answer["width"], answer["height"]) == (160, 120)
    assert {match["key"] for match in answer["matches"]} <= {
        image["key"] for image in client.get(f"{API}/images").json()["images"]
    }
    body = {"image": image_key("photos/large.png"), "k": 2}
    again = client.post(f"{API}/similar", json={**body, "query": None}).json()
    assert again["query"] == "photos/large.png"  # by what is known of it, without itself
    assert [match["id"] != again["query"] for match in again["matches"]] == [True, True]
    for wrong, expected in (
        ({"by": "taste"}, "by: 'taste' is unknown"),
        ({"image": "0" * 16}, "no image of this key"),
        ({"k": 0}, "k: "),
    ):
        assert expected in problem(client.post(f"{API}/similar", json={**body, **wrong}), 422)


@pytest.mark.slow
def test_duplicates_clusters_and_the_map_are_what_the_commands_find(
    serve: Serve, copied: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(copied, tmp_path / "own"))  # it is changed in the end
    client = serve(indexes=[copied / "copied.bovw"], cache=tmp_path / "cache")
    answer = client.get(f"{API}/duplicates", params={"wait": 0})
    assert answer.status_code == 202 and answer.json()["state"] == "working"
    assert int(answer.headers["retry-after"]) > 0
    facts = found(client, "duplicates")
    done = run("duplicates", "--json", "--index", "copied.bovw", cwd=copied)
    printed = json.loads(done.stdout)
    first = facts["groups"][0]
    assert (facts["total"], first["number"]) == (2, 1)
    for group, expected in zip(facts["groups"], printed["groups"], strict=True):
        for image in (group["kept"], *group["members"]):
            assert image.pop("key") == image_key(image["id"])
            image["image"] = os.path.basename(image["image"])
            assert client.get(image.pop("thumbnail")).status_code == 200
        for image in (expected["kept"], *expected["members"]):
            image["image"] = os.path.basename(image["image"])
        del group["number"]
        assert group == expected
    assert {each: facts[each] for each in ("images", "duplicates", "removable_bytes", "notes")} == {
        each: printed[each] for each in ("images", "duplicates", "removable_bytes", "notes")
    }
    second = found(client, "duplicates?first=1&count=1")
    assert [group["number"] for group in second["groups"]] == [2]

    clusters = found(client, "clusters?by=colour&count=2&least=1")
    options = ["--by", "colour", "--count", "2", "--least", "1"]
    done = run("cluster", "--json", "--index", "copied.bovw", *options, cwd=copied)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for each, line in zip(clusters["clusters"], lines, strict=True):
        assert each["cluster"] == line["cluster"]
        assert [os.path.basename(name) for name in each["images"]] == line["images"]
        assert each["keys"] == [image_key(name) for name in each["ids"]]
        assert each["size"] == len(line["images"])
    assert "only one of them" in problem(
        client.get(f"{API}/clusters", params={"count": 2, "confident": 1, "wait": 20}), 422
    )

    facts = found(client, "map?by=colour")
    run("map", "--by", "colour", "--index", "copied.bovw", "--csv", "map.csv", cwd=copied)
    with (copied / "map.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for image, row in zip(facts["images"], rows, strict=True):
        assert os.path.basename(image["image"]) == row["image"]
        assert f"{image['x']:.4f} {image['y']:.4f}" == f"{row['x']} {row['y']}"
        assert (image["row"], image["column"]) == (int(row["row"]), int(row["column"]))
    (sheet,) = facts["sheets"]["urls"]
    pixels = Image.open(io.BytesIO(client.get(sheet).content))
    assert pixels.width == 5 * facts["sheets"]["side"] and facts["sheets"]["widths"] == [128] * 5
    assert "not kept" in problem(client.get(sheet.replace("-0", "-7")), 404)
    problem(client.get(f"{API}/map/sheets/..%2Fx"), 404)

    # each page holds what was found, and no name escapes
    for place, expected in (
        ("duplicates", "identical"),
        ("clusters?by=colour&count=2&least=1", "cluster-2"),
        ("browse?by=colour&count=2&least=1&cluster=cluster-1", "copied: cluster-1"),
        ("map?by=colour", "data-url="),
    ):
        text = client.get(f"/{place}").text
        assert expected in text and "<b onmouseover" not in text
    problem(client.get("/browse?by=colour&count=2&least=1&cluster=cluster-9"), 404)

    # another server finds what was kept, until the index changes
    again = serve(indexes=[copied / "copied.bovw"], cache=tmp_path / "cache")
    assert again.get(f"{API}/clusters?by=colour&count=2&least=1&wait=0").status_code == 200
    with ImageIndex.open(copied / "copied.bovw") as index:
        index.remove_images(["c.png"])
    assert again.get(f"{API}/clusters?by=colour&count=2&least=1&wait=0").status_code == 202


class Endless:
    """A survey that never ends."""

    index = "copied"

    def run(self, _index: ImageIndex, _key: str, progress: Any) -> Found:
        progress("comparing", 3, 9)
        while True:
            time.sleep(1)


class Fatal:
    """A survey that ends its process."""

    index = "copied"

    def run(self, _index: ImageIndex, _key: str, _progress: Any) -> Found:
        os._exit(3)


@pytest.mark.slow
def test_a_survey_tells_how_far_it_is_and_ends_with_the_server(
    copied: Path, tmp_path: Path
) -> None:
    surveys = Surveys({"copied": copied / "copied.bovw"}, None, FolderCache(tmp_path, 1_000_000))
    begun = surveys.begin("endless", Endless())
    assert surveys.begin("endless", Endless()) is begun
    end = time.monotonic() + 120
    while begun.progress()["done"] != 3 and time.monotonic() < end:
        time.sleep(0.1)
    assert begun.progress()["stage"] == "comparing" and begun.progress()["total"] == 9
    waiting = surveys.begin("more", Endless())
    assert waiting.progress()["stage"] == "waiting"
    fatal = surveys.begin("fatal", Fatal())  # another kind waits for none of them
    with pytest.raises(Exception, match="exit code 3"):
        fatal.future.result(120)
    with pytest.raises(Exception, match="exit code 3"):
        surveys.found("fatal")
    assert surveys.found("fatal") is None  # told once: it may be tried again
    surveys.close()
    for each in (begun, waiting):
        with pytest.raises(Exception, match="the server is ending"):
            each.future.result(0)
