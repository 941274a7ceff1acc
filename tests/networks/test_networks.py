"""Networks of other people: what they are shown, what is taken of what they give, and what an index
does with it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw import (
    Embedder,
    ImageIndex,
    IncompatibleError,
    NetworkError,
    ParameterError,
    TextEncoder,
    load_embedder,
)
from bovw.networks.declared import declared
from bovw.networks.embedder import TAKEN, as_int8
from bovw.networks.model import RuntimeSession, opened_session
from bovw.networks.recipe import Recipe, fitted, from_options, prepare
from bovw.similarity.mixture import MEASURES
from tests.helpers.command import run
from tests.helpers.networks import mean_colours, save_network, text_network
from tests.helpers.pictures import textured

pytest.importorskip("onnxruntime")
PLAIN = {"mean": "0", "std": "1", "scale": "1", "fit": "stretch"}


def one_colour(blue: int, green: int, red: int) -> NDArray[np.uint8]:
    return np.full((40, 60, 3), (blue, green, red), np.uint8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_layout_and_size_are_read_from_the_model(tmp_path: Path, layout: str) -> None:
    model = mean_colours(tmp_path / "model.onnx", layout)
    embedder = load_embedder("tint", model, PLAIN)
    assert embedder.width == 3
    assert embedder.vector(one_colour(10, 20, 30)) == pytest.approx([30, 20, 10])
    assert load_embedder("tint", model, {**PLAIN, "colours": "BGR"}).vector(
        one_colour(10, 20, 30)
    ) == pytest.approx([10, 20, 30])
    usual = load_embedder("tint", model).vector(one_colour(10, 20, 30))
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (np.array([30, 20, 10]) / 255 - means) / deviations
    assert usual == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", [1, 2])  # float, uint8
def test_opencv_runs_what_onnxruntime_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, kind: int
) -> None:
    model = mean_colours(tmp_path / "model.onnx", layout, kind)
    embedder = load_embedder("tint", model)
    expected = embedder.vector(textured(1, 90, 60))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    opened_session.cache_clear()
    try:
        other = load_embedder("tint", model)
        found = other.vector(textured(1, 90, 60))
        with pytest.raises(NetworkError, match="it takes"):
            load_embedder("tint", model, {"size": "8"})
    finally:
        opened_session.cache_clear()
    assert found == pytest.approx(expected, abs=1e-3)
    assert other.fingerprint == embedder.fingerprint


@pytest.mark.parametrize("make", [mean_colours, text_network])
def test_what_a_file_declares_is_what_onnxruntime_says(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    model = make(tmp_path / "model.onnx")
    session = RuntimeSession(str(model))
    assert declared(model) == (session.inputs, session.outputs)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_what_is_no_network_declares_nothing_and_does_no_harm(noise: bytes, at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = mean_colours(Path(folder) / "model.onnx")
        content = path.read_bytes()
        path.write_bytes(content[:at] + noise + content[at + len(noise) :])
        with contextlib.suppress(ValueError):
            declared(path)


def test_a_name_that_means_something_else_is_refused() -> None:
    assert {*MEASURES, "fused", "search"} <= TAKEN
    with pytest.raises(ParameterError, match="take another name"):
        Embedder("colour", mean_colour, "1")


def test_whole_numbers_are_shown_as_they_are(tmp_path: Path) -> None:
    model = mean_colours(tmp_path / "model.onnx", "NHWC", kind=2)  # uint8
    assert load_embedder("tint", model).vector(one_colour(10, 20, 30)) == pytest.approx(
        [30, 20, 10]
    )


def test_the_output_is_chosen_by_name(tmp_path: Path) -> None:
    model = mean_colours(tmp_path / "model.onnx")
    chosen = load_embedder("tint", model, {**PLAIN, "output": "other"})
    assert chosen.vector(one_colour(10, 20, 30)) == pytest.approx([-30, -20, -10])
    with pytest.raises(NetworkError, match="no output 'absent', but other, embedding"):
        load_embedder("tint", model, {"output": "absent"})


def test_tokens_and_maps_become_vectors(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    for name, shape, pool, expected in (
        ("tokens", [1, -1, 3], "first", [1, 1, 1]),
        ("tokens", [1, -1, 3], "mean", [1, 1, 1]),
        ("maps", [1, 3, 8, 8], "first", [1, 1, 1]),
    ):
        model = save_network(
            tmp_path / f"{name}{pool}.onnx",
            [helper.make_node("Reshape", ["pixels", "shape"], ["out"])],
            [("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
            [("out", [1, None, None, None][: len(shape)])],
            [helper.make_tensor("shape", TensorProto.INT64, [len(shape)], shape)],
        )
        embedder = load_embedder("n", model, {**PLAIN, "scale": "0.1", "pool": pool})
        assert embedder.vector(one_colour(10, 10, 10)) == pytest.approx(expected)


def test_a_config_beside_the_model_says_how_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    model = mean_colours(tmp_path / "onnx" / "model.onnx", side="s")
    config = {
        "crop_size": {"height": 16, "width": 16},
        "do_center_crop": True,
        "size": {"shortest_edge": 20},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    found = load_embedder("tint", model)
    assert found.vector(one_colour(255, 255, 255)) == pytest.approx([2, 2, 2])
    without = load_embedder("tint", model, {"mean": "0", "std": "1"})
    assert without.vector(one_colour(255, 255, 255)) == pytest.approx([1, 1, 1])
    assert without.fingerprint != found.fingerprint
    (tmp_path / "preprocessor_config.json").write_text("[]")
    with pytest.raises(NetworkError, match=r"preprocessor_config\.json: cannot be used"):
        load_embedder("tint", model)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    shorter=st.none() | st.integers(1, 60),
    fit=st.sampled_from(["crop", "stretch", "pad"]),
)
def test_any_picture_is_brought_to_any_size(
    width: int, height: int, size: tuple[int, int], shorter: int | None, fit: str
) -> None:
    recipe = Recipe(size=size, shorter=shorter, fit=fit)
    colours = np.full((height, width, 3), 200, np.uint8)
    found = fitted(colours, size, recipe)
    assert found.shape == (size[1], size[0], 3)
    if fit != "pad":
        assert (found == 200).all()
    assert prepare(colours, recipe).shape == (1, 3, size[1], size[0])


def test_the_middle_is_cut_out() -> None:
    colours = np.zeros((10, 30, 3), np.uint8)
    colours[:, 10:20] = 255
    assert (fitted(colours, (10, 10), Recipe(fit="crop")) == 255).all()
    padded = fitted(colours, (30, 30), Recipe(fit="pad"))
    assert (padded[:10] == 128).all() and (padded[10:20] == colours).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sice": "3"}, "'sice' is unknown"),
        ({"size": "big"}, "size: 'big'"),
        ({"size": "1x2x3"}, "size:"),
        ({"mean": "1,2"}, "mean:"),
        ({"std": "0"}, "std:"),
        ({"scale": "nan"}, "scale:"),
        ({"fit": "squeeze"}, "fit:"),
        ({"layout": "CHW"}, "layout:"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, str], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        from_options(Recipe(), options)


def test_networks_that_make_no_vectors_are_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(NetworkError, match="cannot be run"):
        load_embedder("n", tmp_path / "text.onnx")
    two = save_network(
        tmp_path / "two.onnx",
        [helper.make_node("Add", ["a", "b"], ["c"])],
        [("a", TensorProto.FLOAT, [1, 3, 8, 8]), ("b", TensorProto.FLOAT, [1, 3, 8, 8])],
        [("c", [1, 3, 8, 8])],
    )
    with pytest.raises(NetworkError, match="inputs a, b"):
        load_embedder("n", two)
    flat = save_network(
        tmp_path / "flat.onnx",
        [helper.make_node("Neg", ["a"], ["c"])],
        [("a", TensorProto.FLOAT, [1, 8])],
        [("c", [1, 8])],
    )
    with pytest.raises(NetworkError, match="takes no pictures"):
        load_embedder("n", flat)
    with pytest.raises(NetworkError, match="cannot be run on"):
        load_embedder("n", mean_colours(tmp_path / "sized.onnx"), {"size": "16"})


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ([], "shape"),
        ([np.nan], "not finite"),
        ("vector", "no numbers"),
    ],
)
def test_functions_that_give_no_vector_are_named(found: object, named: str) -> None:
    embedder = Embedder("mine", lambda _: found, "1")  # type: ignore[arg-type, return-value]
    with pytest.raises(NetworkError, match=f"mine: .*{named}"):
        embedder.vector(one_colour(0, 0, 0))


def test_a_function_that_fails_and_a_name_that_cannot_be_are_named() -> None:
    with pytest.raises(NetworkError, match="mine: fails with ZeroDivisionError"):
        Embedder("mine", lambda _: [1 / 0], "1").vector(one_colour(0, 0, 0))
    for name in ("", "A", "1a", "a-b", "a" * 33):
        with pytest.raises(ParameterError, match="is no name"):
            Embedder(name, lambda _: [1.0], "1")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_whole_numbers_point_where_the_vector_does(values: list[float]) -> None:
    vector = np.array(values, np.float32)
    whole = as_int8(vector)
    largest = np.abs(vector).max()
    assert np.abs(whole.astype(np.float64) * largest / 127 - vector).max() <= largest / 253


def mean_colour(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The function of an embedder, for processes."""
    return np.asarray(pixels.mean(axis=(0, 1)))


def grey_only(pixels: NDArray[np.uint8]) -> list[float]:
    """One that fails on some pictures."""
    if pixels[0, 0, 0] == 128:
        return [1.0]
    raise ValueError("too colourful")


def test_an_index_keeps_vectors_and_refuses_those_of_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), textured(number, 120, 90))
    ours = Embedder("tint", mean_colour, "1")
    with ImageIndex.create("i.bovw") as index:
        index.add(paths[:2])
        assert index.info().embeddings == ()
        index.add(paths[2], embedders=[ours], jobs=1)
        assert index.info().embeddings == ("tint",)
        rows = index._snapshot.optional("embedding_tint")
        assert rows.known.tolist() == [False, False, True]
        assert rows.values[2].tolist() == as_int8(mean_colour(textured(2, 120, 90))).tolist()
        with pytest.raises(IncompatibleError, match="another version"):
            index.add(paths[3], embedders=[Embedder("tint", mean_colour, "2")])
        with pytest.raises(ParameterError, match="vectors of tint"):
            index.add([], complete=True)
        assert index.add([], complete=True, embedders=[ours]).changed == 2
        index.merge()
        assert index._snapshot.optional("embedding_tint").known.all()
        report = index.add(paths[3], embedders=[ours, Embedder("grey", grey_only, "1")])
        assert "grey: fails with ValueError" in report.failed[0].reason
    with ImageIndex.open("i.bovw") as index:
        assert len(index) == 3 and index.info().embeddings == ("tint",)
        assert index._snapshot.optional("embedding_tint").known.all()


def colour_tokenizer(path: Path) -> Any:
    """A tokenizer of three words, written to a file."""
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({"red": 0, "green": 1, "blue": 2}, unk_token="red")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return tokenizer


def test_a_text_has_the_vector_of_its_words(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = colour_tokenizer(tmp_path / "tokenizer.json")
    model = text_network(tmp_path / "text.onnx")
    text = TextEncoder(model, tmp_path / "tokenizer.json")
    assert text.vector("green") == pytest.approx([-1, 2, -1])
    assert text.vector("green blue") == pytest.approx([-1, 0.5, 0.5])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        "$A blue", special_tokens=[("blue", 2)]
    )
    tokenizer.enable_padding(length=4, pad_id=1)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert text.tokens("green") == ([1, 2, 1, 1], [1, 1, 0, 0])
    tokens, mask = text.tokens("red " * 200)
    assert (len(tokens), tokens[-1], sum(mask)) == (77, 2, 77)  # what ends it is kept
    with pytest.raises(NetworkError, match="is no tokenizer"):
        TextEncoder(model, model).vector("green")


def test_the_command_takes_a_network(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), textured(1, 120, 90))
    mean_colours(tmp_path / "model.onnx")
    done = run("index", "photos", "--embed", "tint=model.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(run("info", "--json", cwd=tmp_path).stdout)["embeddings"] == "tint"
    wrong = run("index", "photos", "--embed", "tint=absent.onnx", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "bovw: error: absent.onnx: there is no such file\n",
    )


def test_the_command_finds_by_a_network_with_a_picture_an_id_and_words(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name, colour in (("red", (60, 60, 200)), ("green", (60, 200, 60)), ("teal", (90, 190, 60))):
        cv2.imwrite(str(tmp_path / "photos" / f"{name}.png"), one_colour(*colour))
    cv2.imwrite(str(tmp_path / "query.png"), one_colour(60, 210, 60))
    mean_colours(tmp_path / "model.onnx")
    text_network(tmp_path / "text.onnx")
    colour_tokenizer(tmp_path / "tokenizer.json")
    network = ["--embed", "tint=model.onnx"]
    assert run("index", "photos", *network, cwd=tmp_path).returncode == 0

    def first(*arguments: str) -> str:
        done = run("similar", *arguments, "--by", "tint", "-k1", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["matches"][0]["id"])

    assert first("query.png", *network) == "photos/green.png"
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert first("photos/green.png") == "photos/teal.png"  # by its id: nothing is read
    words = ["--text-model", "text.onnx", "--tokenizer", "tokenizer.json"]
    assert first("--text", "red", *words) == "photos/red.png"

    for arguments, said in (
        (["query.png"], "takes its network (--embed tint=MODEL.onnx)"),
        (["query.png", *network, "--embed-with", "colours=BGR"], "of the same asked in another"),
        (["absent.png", *network], "absent.png: there is no such file"),
    ):
        failed = run("similar", *arguments, "--by", "tint", cwd=tmp_path)
        assert failed.returncode in (1, 2)
        assert said in failed.stderr
