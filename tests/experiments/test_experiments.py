"""Classes as what is relevant, modes side by side, and CIFAR's files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import (
    EvaluationError,
    GroundTruth,
    ImageIndex,
    Query,
    SimilarSearcher,
    evaluate,
    evaluate_modes,
    labelled_truth,
    read_labels,
    unpack_cifar,
)
from bovw.evaluation.metrics import classes_ap
from bovw.experiments.modes import default_modes, modes_text
from tests.helpers.command import run
from tests.helpers.pictures import textured

COLOURS = {"red": (40, 40, 220), "green": (50, 200, 60), "blue": (210, 70, 40)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of three pictures, which have a tint in common, and an index of them."""
    folder = tmp_path_factory.mktemp("experiments")
    for number, (name, colour) in enumerate(COLOURS.items()):
        (folder / "photos" / name).mkdir(parents=True)
        for one in range(3):
            pixels = textured(10 * number + one, 160, 120) * 0.3 + np.array(colour) * 0.7
            cv2.imwrite(str(folder / "photos" / name / f"{one}.png"), pixels.astype(np.uint8))
    with ImageIndex.create(folder / "index.bovw") as index:
        index.add(folder / "photos")
    return folder


def test_folders_are_classes_and_colour_finds_those_of_a_tint(home: Path) -> None:
    with ImageIndex.open(home / "index.bovw") as index:
        truth = labelled_truth(index)
        assert len(truth.queries) == 9
        for query in truth.queries:
            label = Path(query.path).parent.name
            mates = {f"photos/{label}/{one}.png" for one in range(3)} - {query.own}
            assert query.relevant == mates and query.group == label
        (scores,) = evaluate(SimilarSearcher(index, "colour"), truth).by_set()
        assert scores.means["AP"].mean == 1
        assert labelled_truth(index, sample=4) == labelled_truth(index, sample=4)
        assert len(labelled_truth(index, sample=4).queries) == 4


def test_a_table_names_classes_and_others_may_ask(home: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "new.png"), np.full((50, 50, 3), COLOURS["blue"], np.uint8))
    table = tmp_path / "labels.csv"
    rows = [f"{home}/photos/{name}/0.png,{'warm' if name == 'red' else 'cold'}" for name in COLOURS]
    table.write_text("\n".join(["image,label", "new.png,cold", *rows, ""]))
    with ImageIndex.open(home / "index.bovw") as index:
        (query,) = labelled_truth(index, read_labels(table), [tmp_path]).queries
        assert query.relevant == {"photos/green/0.png", "photos/blue/0.png"}
        asked = labelled_truth(index, read_labels(table)).queries
        assert {each.own for each in asked} == query.relevant
        table.write_text("image,label\n")
        with pytest.raises(EvaluationError, match="no two pictures of one class"):
            labelled_truth(index, read_labels(table))


@pytest.mark.parametrize(
    ("text", "reason"), [("image\na\n", "no column label"), ("image,label\na,\n", "line 2")]
)
def test_a_table_without_labels_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(EvaluationError, match=reason):
        read_labels(tmp_path / "labels.csv")


def test_average_precision_of_large_classes() -> None:
    assert classes_ap(list(range(1, 101)), 5000) == 1
    assert classes_ap([2], 1) == 0.5 and classes_ap([101], 3) == 0
    assert classes_ap([1, 3], 400, depth=4) == pytest.approx((1 + 2 / 3) / 4)


def test_modes_find_what_they_look_at(home: Path) -> None:
    """A grey copy keeps the details and loses the colours."""
    path = home / "photos" / "red" / "1.png"
    gray = cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(home / "gray.png"), gray)
    truth = GroundTruth(
        [Query("q", "gray", str(home / "gray.png"), frozenset(["photos/red/1.png"]))], str(home)
    )
    with ImageIndex.open(home / "index.bovw") as index:
        modes = default_modes(index)
        assert modes == ["search", "fused", "vlad", "colour", "shape", "hash", "words"]
        scores = evaluate_modes(index, truth, modes)
    found = {each.mode: each.means()["gray"]["Success@1"] for each in scores}
    assert found["search"] == found["vlad"] == found["hash"] == 1 and found["colour"] == 0
    assert {each.mode: each.image_bytes for each in scores}["fused"] == 256 + 64 + 128
    text = modes_text(scores)
    assert all(mode in text.splitlines()[0] for mode in modes) and "bytes an image" in text


def cifar_record(rng: np.random.Generator, label: bytes) -> tuple[bytes, np.ndarray]:
    pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)  # red, green, blue
    return label + pixels.transpose(2, 0, 1).tobytes(), pixels


@pytest.mark.parametrize("kind", ["CIFAR-10", "CIFAR-100"])
def test_cifar_is_unpacked_and_damage_is_said(tmp_path: Path, kind: str) -> None:
    rng, source = np.random.default_rng(0), tmp_path / "binary"
    source.mkdir()
    fine, before = kind == "CIFAR-100", b"\x05" if kind == "CIFAR-100" else b""
    names = ["cat", "dog"]
    meta = source / ("fine_label_names.txt" if fine else "batches.meta.txt")
    meta.write_text("\n".join(names) + "\n\n")
    first = "train.bin" if fine else "data_batch_1.bin"
    expected = {}
    for file, part in ((first, "train"), ("test.bin" if fine else "test_batch.bin", "test")):
        content = b""
        for number in range(3):
            record, pixels = cifar_record(rng, before + bytes([number % 2]))
            content += record
            expected[f"{part}/{names[number % 2]}/{number:05d}.png"] = pixels
        (source / file).write_bytes(content)
    assert unpack_cifar(source, tmp_path / "out") == {"train": 3, "test": 3}
    found = {
        str(path.relative_to(tmp_path / "out")): np.asarray(cv2.imread(str(path)))[..., ::-1]
        for path in (tmp_path / "out").rglob("*.png")
    }
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    (source / first).write_bytes((source / first).read_bytes()[:-1])
    with pytest.raises(EvaluationError, match="damaged"):
        unpack_cifar(source, tmp_path / "other")
    (source / first).write_bytes(cifar_record(rng, before + b"\x02")[0])
    with pytest.raises(EvaluationError, match="a class that"):
        unpack_cifar(source, tmp_path / "other")


@pytest.mark.slow
def test_the_commands(home: Path) -> None:
    done = run(
        *("evaluate", "labels", "--by", "colour", "--jobs", "0", "--save", "scores.json"), cwd=home
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((home / "scores.json").read_text())["by"] == "colour"
    done = run(
        *("evaluate", "modes", "--classes", "--by", "colour", "--by", "search"),
        *("--jobs", "0", "--save", "modes.json"),
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    saved = json.loads((home / "modes.json").read_text())["modes"]
    assert [each["mode"] for each in saved] == ["colour", "search"]
    assert saved[0]["sets"]["classes"]["AP"] == 1
    assert run("evaluate", "cifar", "photos", "--out", "cifar", cwd=home).returncode != 0
