"""The visual words: the nearest are found, signatures are what they say, and damage never goes
unnoticed.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw.errors import IncompatibleError, ParameterError, VocabularyError
from bovw.features.encoding import encode, encode_all
from bovw.features.local import FEATURE_NAMES, FeatureSpec, as_unit_vectors, extract, mirror
from bovw.features.training import build, random_projection
from bovw.features.vocabulary import ARRAYS, SIGNATURE_BITS, Vocabulary, shipped_folder
from bovw.pictures.reading import picture_from_array
from tests.helpers.pictures import textured

ALL_NAMES = pytest.mark.parametrize("name", FEATURE_NAMES)
WORDS = 300


def clustered(name: str, count: int, seed: int) -> NDArray[Any]:
    """Descriptors in 40 clouds, as the features of pictures are."""
    centres = np.random.default_rng(99).random((40, 128)).astype(np.float32) ** 3
    rng = np.random.default_rng(seed)
    points = np.abs(
        centres[rng.integers(0, 40, count)]
        + rng.normal(size=(count, 128)).astype(np.float32) * 0.12
    )
    if name == "orb":
        bits = np.column_stack([points > 0.2, points[:, ::-1] > 0.5])
        return np.packbits(bits, axis=1)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)


def trained(name: str, words: int = WORDS) -> Vocabulary:
    return build(clustered(name, 8 * words, 0), words, FeatureSpec(name), 0)[0]


VOCABULARIES = {name: trained(name) for name in FEATURE_NAMES}


def distances(vocabulary: Vocabulary, descriptors: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distance of each descriptor to each word, from the definition."""
    points = vocabulary.quantise(descriptors).astype(np.int64)
    words = vocabulary.quantised_words(slice(None)).astype(np.int64)
    return np.asarray(((points[:, None] - words[None]) ** 2).sum(axis=2), np.int64)


@ALL_NAMES
def test_steps_are_whole_numbers_near_the_descriptors(name: str) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 50, 0)
    quantise = vocabulary.quantise(descriptors)
    unit = 1 / 16 if name == "orb" else vocabulary.word_scale
    assert quantise.dtype == np.float32 and np.array_equal(quantise, np.rint(quantise))
    assert np.abs(quantise * unit - as_unit_vectors(descriptors)).max() <= unit / 2 * 1.001
    assert np.allclose(
        vocabulary.quantised_words(slice(None)) * unit, vocabulary.centres(slice(None)), rtol=1e-5
    )


# --- nearest


@pytest.mark.slow
@ALL_NAMES
@pytest.mark.parametrize("count", [1, 3, 10])
def test_with_all_cells_the_nearest_words_are_those_of_brute_force(name: str, count: int) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 200, 1)
    true = distances(vocabulary, descriptors)
    found = vocabulary.nearest(descriptors, count, len(vocabulary.cells))
    assert found.dtype == np.int32
    assert found.shape == (200, count)
    assert np.array_equal(found, np.argsort(true, axis=1, kind="stable")[:, :count])


@pytest.mark.slow
@ALL_NAMES
def test_few_cells_find_most_nearest_words_and_more_cells_more(name: str) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 400, 2)
    true = distances(vocabulary, descriptors)
    best = true.min(axis=1)
    recalls = []
    for cells in (1, 2, 4, len(vocabulary.cells)):
        found = vocabulary.nearest(descriptors, 1, cells)[:, 0]
        recalls.append(float((true[np.arange(400), found] == best).mean()))
    assert recalls == sorted(recalls)
    assert recalls[2] > 0.8
    assert recalls[3] == 1


@ALL_NAMES
def test_nearest_come_first_also_with_few_cells(name: str) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 100, 3)
    found = vocabulary.nearest(descriptors, 6, 3)
    ordered = np.take_along_axis(distances(vocabulary, descriptors), found, axis=1)
    assert (np.diff(ordered, axis=1) >= 0).all()


@ALL_NAMES
@pytest.mark.parametrize("count", [100, 150, WORDS])
def test_more_words_than_a_cell_holds_are_still_distinct(name: str, count: int) -> None:
    vocabulary = VOCABULARIES[name]
    assert count > np.diff(vocabulary.cell_starts).max()
    found = vocabulary.nearest(clustered(name, 20, 4), count, 1)
    assert found.min() >= 0
    assert found.max() < len(vocabulary)
    assert all(len(set(row)) == count for row in found.tolist())


@pytest.mark.slow
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any), st.integers(1, 9), st.data()
)
def test_cells_of_any_size_even_empty_ones(
    sizes: list[int], cells: int, data: st.DataObject
) -> None:
    total = sum(sizes)
    count = data.draw(st.integers(1, total))
    rng = np.random.default_rng(total)
    vocabulary = Vocabulary(
        FeatureSpec(),
        rng.integers(0, 256, (total, 128)).astype(np.uint8),
        0.002,
        rng.random((len(sizes), 128), np.float32),
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        random_projection(128, 0),
    )
    descriptors = clustered("rootsift", 7, total)
    found = vocabulary.nearest(descriptors, count, cells)
    assert all(len(set(row)) == count for row in found.tolist())
    if cells >= len(sizes):
        assert np.array_equal(
            found, np.argsort(distances(vocabulary, descriptors), axis=1, kind="stable")[:, :count]
        )


@ALL_NAMES
def test_a_descriptor_finds_the_same_words_alone_and_in_company(name: str) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 60, 5)
    together = vocabulary.nearest(descriptors, 2, 4)
    alone = np.concatenate([vocabulary.nearest(descriptors[n : n + 1], 2, 4) for n in range(60)])
    assert (together == alone).mean() > 0.98  # equal but for distances that differ in the last bit


@ALL_NAMES
def test_no_descriptors_no_words(name: str) -> None:
    vocabulary, none = VOCABULARIES[name], clustered(name, 5, 0)[:0]
    found = vocabulary.nearest(none, 3, 4)
    assert found.shape == (0, 3)
    signatures = vocabulary.signatures(none, found)
    assert signatures.shape == (0, 3)
    assert signatures.dtype == np.uint64


@pytest.mark.parametrize("count", [0, -1, WORDS + 1])
def test_counts_outside_the_range_are_refused(count: int) -> None:
    with pytest.raises(ParameterError, match=f"count: {count} is outside 1..{WORDS}"):
        VOCABULARIES["rootsift"].nearest(clustered("rootsift", 3, 0), count, 4)


def test_other_features_are_refused_with_both_names() -> None:
    VOCABULARIES["orb"].require_features("orb")
    with pytest.raises(IncompatibleError, match=r"rootsift.*orb"):
        VOCABULARIES["orb"].require_features("rootsift")


# --- signatures


@ALL_NAMES
def test_signatures_bit_by_bit(name: str) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 12, 6)
    words = vocabulary.nearest(descriptors, 3, 8)
    signatures = vocabulary.signatures(descriptors, words)
    assert signatures.shape == (12, 3)
    assert signatures.dtype == np.uint64
    points = vocabulary.quantise(descriptors).astype(np.int64)
    centres = vocabulary.quantised_words(slice(None)).astype(np.int64)
    directions = np.rint(
        vocabulary.projection * (127 / np.abs(vocabulary.projection).max())
    ).astype(np.int64)
    for n in range(12):
        for k in range(3):
            for bit in range(SIGNATURE_BITS):
                side = int((points[n] - centres[words[n, k]]) @ directions[bit])
                assert bool(int(signatures[n, k]) >> bit & 1) == (side > 0)


@ALL_NAMES
def test_signatures_of_near_descriptors_are_nearer_than_of_others(name: str) -> None:
    vocabulary, descriptors = VOCABULARIES[name], clustered(name, 300, 7)
    near = descriptors.copy()
    if name == "orb":
        near[:, 0] ^= 1
    else:
        near += np.random.default_rng(0).normal(size=near.shape).astype(np.float32) * 0.005
    words = vocabulary.nearest(descriptors, 1, 4)
    signatures = vocabulary.signatures(descriptors, words)
    to_near = np.bitwise_count(signatures ^ vocabulary.signatures(near, words)).mean()
    to_others = np.bitwise_count(
        signatures ^ vocabulary.signatures(np.roll(descriptors, 1, axis=0), words)
    ).mean()
    assert to_near < to_others / 2


@ALL_NAMES
def test_projection_is_orthonormal(name: str) -> None:
    rows = random_projection(FeatureSpec(name).dimension, 3).astype(np.float64)
    assert np.allclose(rows @ rows.T, np.eye(SIGNATURE_BITS), atol=1e-5)


# --- files


@ALL_NAMES
def test_saved_and_loaded_is_the_same(tmp_path: Path, name: str) -> None:
    vocabulary = VOCABULARIES[name]
    vocabulary.save(tmp_path / "new" / "folder")
    loaded = Vocabulary.load(tmp_path / "new" / "folder")
    assert loaded.fingerprint == vocabulary.fingerprint
    assert loaded.spec == vocabulary.spec
    assert loaded.word_scale == vocabulary.word_scale
    for array in ARRAYS:
        assert np.array_equal(getattr(loaded, array), getattr(vocabulary, array))
    descriptors = clustered(name, 50, 8)
    words = vocabulary.nearest(descriptors, 2, 4)
    assert np.array_equal(loaded.nearest(descriptors, 2, 4), words)
    assert np.array_equal(
        loaded.signatures(descriptors, words), vocabulary.signatures(descriptors, words)
    )


def test_a_pickle_has_the_arrays_alone() -> None:
    one = VOCABULARIES["rootsift"]
    fresh = dataclasses.replace(one)
    size = len(pickle.dumps(fresh))
    words = fresh.nearest(clustered("rootsift", 20, 1), 2, 4)
    fresh.signatures(clustered("rootsift", 20, 1), words)
    assert fresh.fingerprint == one.fingerprint
    content = pickle.dumps(fresh)
    assert len(content) == size
    loaded = pickle.loads(content)
    assert np.array_equal(loaded.nearest(clustered("rootsift", 20, 1), 2, 4), words)
    assert loaded.fingerprint == one.fingerprint


def test_fingerprints_tell_vocabularies_apart() -> None:
    one = VOCABULARIES["rootsift"]
    words = one.words.copy()
    words[0, 0] ^= 1
    others = [
        Vocabulary(one.spec, words, one.word_scale, one.cells, one.cell_starts, one.projection),
        Vocabulary(
            one.spec, one.words, one.word_scale * 1.01, one.cells, one.cell_starts, one.projection
        ),
        Vocabulary(
            one.spec,
            one.words,
            one.word_scale,
            one.cells,
            one.cell_starts,
            random_projection(128, 1),
        ),
        VOCABULARIES["orb"],
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 5


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header_with(content: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(content) | changes).encode()


def damaged(files: dict[str, bytes], kind: str) -> dict[str, bytes | None]:
    """What to write over the files; None removes one."""
    words, header = files["words.npy"], files["vocabulary.json"]
    flipped = bytearray(words)
    flipped[-1000] ^= 4
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    zipped = io.BytesIO()
    np.savez(zipped, words=np.zeros((5, 128), np.uint8))
    header_of: dict[str, dict[str, Any]] = {
        "other format": {"format": "bovw-vocabulary-9"},
        "other fingerprint": {"fingerprint": "0" * 64},
        "other scale": {"word_scale": 0.5},
        "scale is a text": {"word_scale": "much"},
        "features unknown": {"features": {"name": "surf"}},
        "features of another form": {"features": {"colour": "red"}},
        "features no object": {"features": 3},
    }
    if kind in header_of:
        return {"vocabulary.json": header_with(header, **header_of[kind])}
    changes: dict[str, dict[str, bytes | None]] = {
        "byte flipped": {"words.npy": bytes(flipped)},
        "truncated": {"words.npy": words[:-10]},
        "header cut": {"words.npy": words[:20]},
        "empty": {"words.npy": b""},
        "pickled objects": {"words.npy": pickled.getvalue()},
        "a plain pickle": {"words.npy": pickle.dumps([1, 2])},
        "a zip": {"words.npy": zipped.getvalue()},
        "other array": {"words.npy": npy(np.zeros((5, 128), np.uint8))},
        "other type": {"words.npy": npy(np.zeros((WORDS, 128), np.float32))},
        "other dimensions": {"cells.npy": npy(np.zeros(7, np.float32))},
        "no dimension": {"cell_starts.npy": npy(np.array(5))},
        "no words": {
            "words.npy": npy(np.zeros((0, 128), np.uint8)),
            "cell_starts.npy": npy(np.zeros(1, np.int64)),
        },
        "huge shape": {"words.npy": words.replace(b"(300, 128)", b"(9999999999, 128)", 1)},
        "half a shape": {"words.npy": words.replace(b"(300, 128)", b"(300, 128 ", 1)},
        "json garbage": {"vocabulary.json": b"\xff{not json"},
        "json list": {"vocabulary.json": b"[]"},
        "json empty": {"vocabulary.json": b""},
        "json object empty": {"vocabulary.json": b"{}"},
        **{f"without {name}": {name: None} for name in files},
    }
    return changes[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "byte flipped",
            "truncated",
            "header cut",
            "empty",
            "pickled objects",
            "a plain pickle",
            "a zip",
            "other array",
            "other type",
        ),
        *(
            "other dimensions",
            "no dimension",
            "no words",
            "huge shape",
            "half a shape",
            "json garbage",
            "json list",
            "json empty",
        ),
        *(
            "json object empty",
            "other format",
            "other fingerprint",
            "other scale",
            "scale is a text",
            "features unknown",
        ),
        *(
            "features of another form",
            "features no object",
            "without vocabulary.json",
            "without words.npy",
            "without cells.npy",
        ),
        *("without cell_starts.npy", "without projection.npy"),
    ],
)
def test_damage_is_noticed(tmp_path: Path, kind: str) -> None:
    vocabulary = VOCABULARIES["rootsift"]
    vocabulary.save(tmp_path)
    Vocabulary.load(tmp_path)
    for name, content in damaged(vocabulary.files(), kind).items():
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(VocabularyError, match=str(tmp_path)):
        Vocabulary.load(tmp_path)


@pytest.mark.slow
@example("words", 0.46875, True, 1)
@given(
    st.sampled_from(ARRAYS), st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(1, 255)
)
def test_no_flipped_byte_of_an_array_changes_the_words_unnoticed(
    array: str, place: float, in_header: bool, flip: int
) -> None:
    vocabulary = VOCABULARIES["orb"]
    with tempfile.TemporaryDirectory() as folder:
        files = {name: bytearray(content) for name, content in vocabulary.files().items()}
        content = files[f"{array}.npy"]
        content[int(place * (128 if in_header else len(content)))] ^= flip
        for name, whole in files.items():
            (Path(folder) / name).write_bytes(whole)
        try:
            loaded = Vocabulary.load(folder)
        except VocabularyError:
            return
        assert loaded.fingerprint == vocabulary.fingerprint
        for name in ARRAYS:
            assert np.array_equal(getattr(loaded, name), getattr(vocabulary, name))


def test_absent_folder_and_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="no vocabulary here"):
        Vocabulary.load(tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(VocabularyError, match="file"):
        Vocabulary.load(tmp_path / "file")
    with pytest.raises(VocabularyError, match="cannot be written"):
        VOCABULARIES["orb"].save(tmp_path / "file")


# --- shipped


@ALL_NAMES
def test_shipped_vocabularies_are_sound(name: str) -> None:
    vocabulary = Vocabulary.shipped(name)
    assert vocabulary.spec.kind == name
    assert len(vocabulary) == {"rootsift": 65_536, "orb": 16_384}[name]
    descriptors = clustered(name, 20, 9)
    words = vocabulary.nearest(descriptors, 2, 8)
    assert vocabulary.signatures(descriptors, words).shape == (20, 2)
    rows = vocabulary.projection.astype(np.float64)
    assert np.allclose(rows @ rows.T, np.eye(SIGNATURE_BITS), atol=1e-5)
    if name == "rootsift":
        assert np.median(np.linalg.norm(vocabulary.centres(slice(None)), axis=1)) == pytest.approx(
            0.95, abs=0.1
        )


def test_shipped_vocabularies_are_small() -> None:
    folders = [shipped_folder(name) for name in FEATURE_NAMES]
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) <= 24 * 2**20


def test_no_vocabulary_for_unknown_features() -> None:
    with pytest.raises(ParameterError, match="surf"):
        Vocabulary.shipped("surf")


@pytest.mark.slow
@pytest.mark.parametrize("features", FEATURE_NAMES)
def test_a_picture_is_encoded_alone_as_in_a_batch_to_the_last_bit(features: str) -> None:
    vocabulary = Vocabulary.shipped(features)
    spec = vocabulary.spec.limited(max_features=150)
    pictures = [
        extract(picture_from_array(textured(seed, 300, 200), 1024), spec) for seed in range(6)
    ]
    alone = [encode(each, vocabulary) for each in pictures]
    for encoded, expected in zip(encode_all(pictures, vocabulary), alone, strict=True):
        np.testing.assert_array_equal(encoded.words, expected.words)
        np.testing.assert_array_equal(encoded.signatures, expected.signatures)
        np.testing.assert_array_equal(encoded.xy, expected.xy)


def test_mirrored_descriptors_have_the_mirrored_words() -> None:
    vocabulary = VOCABULARIES["rootsift"]
    features = extract(picture_from_array(textured(3, 320, 240), 1024), vocabulary.spec)
    mirrored = mirror(features, picture_from_array(textured(3, 320, 240), 1024), vocabulary.spec)
    nearest = vocabulary.nearest(features.descriptors, 3, len(vocabulary.cells))
    expected = vocabulary.nearest(mirrored.descriptors, 3, len(vocabulary.cells))
    assert (vocabulary.mirrored(nearest) == expected).mean() > 0.999  # but for ties
    np.testing.assert_array_equal(vocabulary.mirrored(vocabulary.mirrored(nearest)), nearest)
