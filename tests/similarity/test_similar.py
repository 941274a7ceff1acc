"""What looks like a picture: in whatever way it is asked, and for pictures that have nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import (
    Embedder,
    ImageError,
    ImageIndex,
    IncompatibleError,
    ParameterError,
    SimilarResult,
    TextEncoder,
    Vocabulary,
    find_similar,
    find_similar_to_text,
)
from bovw.index import columns
from tests.helpers.command import run
from tests.helpers.networks import text_network
from tests.helpers.pictures import textured

SMALL = (320, 240)
MODES = ["fused", "vlad", "colour", "shape", "hash", "words", "vlad=1,words=.5,hash=.2"]


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels.mean(axis=(0, 1)) - 100)


def pixels_of(seed: int) -> np.ndarray:
    """A picture of its own texture and tint."""
    tint = np.random.default_rng(seed).uniform(0.4, 1, 3)
    return np.asarray(textured(seed, *SMALL) * tint, np.uint8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five textured pictures, a blank one and one of a single pixel, and an index of them."""
    folder = tmp_path_factory.mktemp("similar")
    (folder / "photos").mkdir()
    for seed in range(5):
        cv2.imwrite(str(folder / "photos" / f"{seed}.png"), pixels_of(seed))
    cv2.imwrite(str(folder / "photos" / "blank.png"), np.full((60, 90, 3), (30, 80, 200), np.uint8))
    cv2.imwrite(str(folder / "photos" / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(
        str(folder / "copy.jpg"),
        cv2.resize(pixels_of(3), (200, 150), interpolation=cv2.INTER_AREA),
        [cv2.IMWRITE_JPEG_QUALITY, 60],
    )
    with ImageIndex.create(folder / "index.bovw") as index:
        index.add(folder / "photos", embedders=[Embedder("tint", mean_colour, "1")])
    return folder


def first(result: SimilarResult) -> str:
    return Path(result.matches[0].id).name


@pytest.mark.parametrize("by", MODES)
def test_a_picture_is_most_like_itself_and_its_copy(home: Path, by: str) -> None:
    with ImageIndex.open(home / "index.bovw") as index:
        same = find_similar(index, home / "photos" / "3.png", by)
        assert first(same) == "3.png" and same.matches[0].similarity == pytest.approx(1, abs=1e-6)
        assert [m.similarity for m in same.matches] == sorted(
            (m.similarity for m in same.matches), reverse=True
        )
        assert first(find_similar(index, home / "copy.jpg", by, k=1)) == "3.png"
        by_id = find_similar(index, "photos/3.png", by)
        # the index knows what reading the picture gives, and leaves the image itself out
        assert [(m.id, m.parts) for m in by_id.matches] == [
            (m.id, m.parts) for m in same.matches if m.id != "photos/3.png"
        ]


def test_a_mixture_is_the_mean_of_its_parts(home: Path) -> None:
    with ImageIndex.open(home / "index.bovw") as index:
        found = find_similar(index, home / "copy.jpg", {"vlad": 3, "colour": 1})
    for match in found.matches:
        mean = (3 * match.parts["vlad"] + match.parts["colour"]) / 4
        assert match.similarity == pytest.approx(mean, abs=1e-6)


def test_what_is_removed_is_not_found(tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add_images((str(seed), pixels_of(seed), {"odd": seed % 2}) for seed in range(4))
        assert find_similar(index, pixels_of(2)).matches[0].id == "2"
        index.remove_images("2")
        assert {m.id for m in find_similar(index, pixels_of(2)).matches} == {"0", "1", "3"}
        odd = find_similar(index, pixels_of(2), "words", where={"odd": 1})
        assert {m.id for m in odd.matches} == {"1", "3"}


def test_pictures_without_features_are_compared_by_what_they_have(home: Path) -> None:
    with ImageIndex.open(home / "index.bovw") as index:
        blank = find_similar(index, home / "photos" / "blank.png")
        assert first(blank) == "blank.png"
        assert "not compared by vlad: the picture has no features" in blank.note
        assert "not compared by shape: the picture has no edges" in blank.note
        assert blank.matches[0].parts == {"colour": pytest.approx(1)}
        assert find_similar(index, home / "photos" / "blank.png", "vlad").matches == []
        assert first(find_similar(index, np.zeros((1, 1, 3), np.uint8), "colour")) == "dot.png"
        assert len(find_similar(index, home / "photos" / "dot.png", "hash").matches) == 7


def test_an_index_of_other_features_or_older_says_what_it_lacks(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ImageIndex.create(tmp_path / "orb.bovw", Vocabulary.shipped("orb")) as orb:
        orb.add(home / "photos")
        found = find_similar(orb, home / "copy.jpg")
        assert first(found) == "3.png" and sorted(found.matches[0].parts) == ["colour", "shape"]
        assert "the index has orb features" in found.note
        with pytest.raises(IncompatibleError, match="compare by colour"):
            find_similar(orb, home / "copy.jpg", "vlad")
    plain = tuple(column for column in columns.COLUMNS if not column.optional)
    with monkeypatch.context() as patch, ImageIndex.create(tmp_path / "old.bovw") as old:
        patch.setattr(columns, "COLUMNS", plain)
        old.add(home / "photos" / "3.png")
    with ImageIndex.open(tmp_path / "old.bovw") as old:
        with pytest.raises(IncompatibleError, match="index --complete"):
            find_similar(old, home / "copy.jpg")
        assert first(find_similar(old, home / "copy.jpg", "words")) == "3.png"
        old.add(home / "photos" / "4.png")
        found = find_similar(old, home / "copy.jpg")
        assert first(found) == "4.png" and "1 images lack what is compared" in found.note


def test_an_embedding_is_asked_with_its_network_alone(home: Path) -> None:
    ours, other = Embedder("tint", mean_colour, "1"), Embedder("tint", mean_colour, "2")
    with ImageIndex.open(home / "index.bovw") as index:
        found = find_similar(index, home / "copy.jpg", "tint", embedders=[ours])
        assert first(found) == "3.png"
        assert find_similar(index, "photos/3.png", "tint").matches[0].id != "photos/3.png"
        with pytest.raises(ParameterError, match="takes its network"):
            find_similar(index, home / "copy.jpg", "tint")
        with pytest.raises(IncompatibleError, match="another network"):
            find_similar(index, home / "copy.jpg", "tint", embedders=[other])


def test_a_text_is_compared_by_the_embedding_of_its_network(home: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({"red": 0, "green": 1, "blue": 2}, unk_token="red")
    tokenizers.Tokenizer(words).save(str(tmp_path / "tokenizer.json"))
    encoder = TextEncoder(text_network(tmp_path / "text.onnx"), tmp_path / "tokenizer.json")
    wanted = np.array([-1, 2, -1])  # of "green"; the second number of the pictures' is green, too
    with ImageIndex.open(home / "index.bovw") as index:
        found = find_similar_to_text(index, "green", encoder, "tint")
        for match in found.matches:
            vector = mean_colour(np.asarray(cv2.imread(match.path)))
            cosine = vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted)
            assert match.similarity == pytest.approx(cosine, abs=0.02)
        with pytest.raises(ParameterError, match="no embedding"):
            find_similar_to_text(index, "green", encoder, "vlad")


@pytest.mark.parametrize(
    "by", ["", "nonsense", "vlad,vlad", "vlad=", "vlad=0", "vlad=nan", "vlad=-1", {}, 3, "fused=1"]
)
def test_what_is_no_mixture_is_refused(home: Path, by: object) -> None:
    with ImageIndex.open(home / "index.bovw") as index, pytest.raises(ParameterError, match="by: "):
        find_similar(index, home / "copy.jpg", by)  # type: ignore[arg-type]


def test_what_is_neither_a_picture_nor_an_image_is_refused(home: Path) -> None:
    with ImageIndex.open(home / "index.bovw") as index:
        with pytest.raises(ImageError, match="no such file"):
            find_similar(index, "photos/absent.png")
        with pytest.raises(ParameterError, match="k: 0 is below 1"):
            find_similar(index, home / "copy.jpg", k=0)


@pytest.mark.slow
def test_the_command_answers_and_goes_on_after_a_bad_picture(home: Path) -> None:
    (home / "bad.jpg").write_text("none")
    done = run(
        *("similar", "bad.jpg", "copy.jpg", "photos/blank.png", "--json", "-k", "2"),
        *("--report", "page.html"),
        cwd=home,
    )
    assert done.returncode == 1
    bad, copy, blank = map(json.loads, done.stdout.splitlines())
    assert "error" in bad and copy["matches"][0]["id"] == "photos/3.png"
    assert blank["matches"][0]["id"] == "photos/blank.png" and "no features" in done.stderr
    page = (home / "page.html").read_text()
    assert page.count("<figure") == 6 and "is not an image" in page
    text = run("similar", "copy.jpg", "--by", "vlad=1,colour=.5", cwd=home).stdout
    assert text.startswith("copy.jpg: by vlad 1, colour 0.5, ") and "photos/3.png" in text
