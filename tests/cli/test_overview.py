"""`bovw cluster` and `bovw map` as their users run them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import ImageIndex, Vocabulary
from tests.helpers.command import run_here
from tests.helpers.pictures import textured

COLOURS = [(40, 40, 220), (220, 60, 40), (60, 200, 60)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """Four red pictures, three blue and two green ones, indexed; the last file of each is gone."""
    folder = tmp_path_factory.mktemp("overview")
    (folder / "photos").mkdir()
    for kind, (colour, count) in enumerate(zip(COLOURS, (4, 3, 2), strict=True)):
        for number in range(count):
            pixels = textured(10 * kind + number, 64, 48) // 8 + np.array(colour, np.uint8) // 8 * 7
            cv2.imwrite(str(folder / "photos" / f"{kind} {number} é.png"), pixels)
    with ImageIndex.create(folder / "index.bovw", vocabulary) as index:
        assert index.add(folder / "photos", batch=4).added == 9
    (folder / "photos" / "0 3 é.png").unlink()
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the current folder."""
    monkeypatch.chdir(made)
    return made


def kinds(paths: list[str]) -> set[str]:
    return {Path(path).name[0] for path in paths}


@pytest.mark.slow
def test_clusters_are_shown_written_and_become_metadata(folder: Path) -> None:
    done = run_here(
        "cluster", "--by", "colour", "--json", "--sheets", "sheets", "--csv", "labels.csv",
        "--label", "group=cluster",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # a file of a sheet is gone, and named
    assert "0 3 é.png" in done.stderr and "3 clusters of 9 images, 0 in none" in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["cluster"], len(each["images"])) for each in found] == [
        ("cluster-1", 4), ("cluster-2", 3), ("cluster-3", 2),
    ]  # fmt: skip
    assert [kinds(each["images"]) for each in found] == [{"0"}, {"1"}, {"2"}]
    sheets = sorted(path.name for path in (folder / "sheets").iterdir())
    assert sheets == ["cluster-1.jpg", "cluster-2.jpg", "cluster-3.jpg"]
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_path = {path: each["cluster"] for each in found for path in each["images"]}
    assert {row["image"]: row["label"] for row in rows} == by_path
    with ImageIndex.open(folder / "index.bovw") as index:
        labels = {Path(each.path).name[0]: each.metadata["group"] for each in index.records()}
    assert labels == {"0": "cluster-1", "1": "cluster-2", "2": "cluster-3"}

    done = run_here("cluster", "--by", "colour", "--least", "4", "--label", "group=cluster")
    assert done.returncode == 0 and "1 clusters of 4 images, 5 in none" in done.stderr
    with ImageIndex.open(folder / "index.bovw") as index:
        groups = [each.metadata.get("group") for each in index.records()]
    assert groups == ["cluster-1"] * 4 + [None] * 5


@pytest.mark.slow
def test_a_map_is_written_in_every_form(folder: Path) -> None:
    outputs = {"page": "map.html", "picture": "map.png", "csv": "map.csv", "tune": "tune.html"}
    options = [text for name, file in outputs.items() for text in (f"--{name}", file)]
    done = run_here("map", "--by", "colour", "--jobs", "0", *options)
    assert done.returncode == 1, done.stderr
    assert "9 images: t-SNE with 2 neighbours, trustworthiness" in done.stdout
    assert "(4 neighbours, 9 images)" in done.stdout
    assert "0 3 é.png" in (folder / "map.html").read_text(encoding="utf-8")
    picture = cv2.imread(str(folder / "map.png"))
    assert picture is not None and picture.shape == (396, 396, 3)
    assert (folder / "tune.html").read_text().count("<circle") == 1
    with (folder / "map.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["row"], row["column"]) for row in rows}) == len(rows) == 9

    done = run_here("map", "--by", "colour", "--jobs", "0", "--picture", "map.dzi")
    assert done.returncode == 1 and (folder / "map_files" / "0" / "0_0.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["cluster", "--label", "group"], "--label: 'group' is not NAME=cluster"),
        (["cluster", "--by", "colour", "--count", "2", "--confident"], "only one of them"),
        (["map"], "says nothing by itself"),
        (["map", "--csv", "map.csv", "--by", "taste"], "by: 'taste' is unknown"),
        (["map", "--csv", "map.csv", "--method", "pca"], "method: 'pca' is none of tsne, umap"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_makes_no_sense_is_told(arguments: list[str], reason: str) -> None:
    done = run_here(*arguments)
    assert done.returncode == 2 and reason in done.stderr


@pytest.mark.parametrize("count", range(4))
def test_few_images_have_clusters_and_a_map(count: int, vocabulary: Vocabulary) -> None:
    from bovw import cluster_images, map_images

    with ImageIndex.in_memory(vocabulary) as index:
        index.add_images([(str(number), textured(1, 64, 48), None) for number in range(count)])
        found = cluster_images(index, by="colour")
        assert [len(each.records) for each in found.clusters] == ([count] if count > 1 else [])
        image_map = map_images(index, by="colour")
        assert image_map.positions.shape == image_map.cells.shape == (count, 2)
