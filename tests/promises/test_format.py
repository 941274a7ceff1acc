"""The format of an index: docs/format.md is true, and an index of long ago is read and answers as
it did.

tests/fixtures/index-2 is an index of the first released format. It stands for all those that are
out there: every later version of the program must open it, and find in it what is in answers.json.
It is never made again; if a test here fails, the program is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import FeatureSpec, ImageIndex, SearchOptions, check_index, kernel
from bovw.features.local import extract
from bovw.index.record import ImageRecord, parse_record, record_line
from bovw.index.segment import Segment
from bovw.pictures.reading import load_picture
from tests.fuzz.index import counted, make_variants
from tests.helpers.pictures import textured

FIXTURES = Path(__file__).parents[1] / "fixtures"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
LATIN = os.fsdecode(b"photos/caf\xe9.jpg")
LIVE = ["photos/0.jpg", "photos/2.jpg", "photos/4.jpg", "photos/1.jpg", "photos/5.jpg", LATIN]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A copy of the fixture, which may be changed, with the pictures beside it."""
    shutil.copytree(FIXTURES / "index-2", tmp_path / "index-2")
    shutil.copytree(FIXTURES / "photos", tmp_path / "photos")
    return tmp_path / "index-2"


def names(opened: ImageIndex) -> list[str]:
    """The paths of the images, relative to where the index is."""
    return [
        os.path.relpath(record.path, opened._storage.path.parent)
        for record in opened.records()
        if record.path
    ]


def require_recorded_answers(opened: ImageIndex) -> None:
    """Compare with answers.json. Its features were found by OpenCV, whose versions differ a little
    in what they find, as our own detector does, so numbers may differ a little, too.
    """
    for answer in json.loads((FIXTURES / "answers.json").read_bytes()):
        best = opened.search(
            FIXTURES / "queries" / answer["query"], SearchOptions(crop=answer["crop"])
        ).matches[0]
        assert os.path.relpath(best.path, opened._storage.path.parent) == answer["image"]
        assert (best.verified, best.mirrored) == (answer["verified"], answer["mirrored"])
        assert best.inliers == pytest.approx(answer["inliers"], rel=0.2)
        np.testing.assert_allclose(np.asarray(best.outline), answer["outline"], atol=1)


def test_an_index_of_long_ago_answers_as_it_did(index: Path) -> None:
    with ImageIndex.open(index) as opened:
        require_recorded_answers(opened)
        assert names(opened) == LIVE


def test_an_index_of_long_ago_is_sound_and_says_what_it_is(index: Path) -> None:
    report = check_index(index)
    assert (report.damages, report.leftovers, report.image_count) == ([], [], 6)
    with ImageIndex.open(index) as opened:
        info = opened.info()
    assert (
        info.image_count,
        info.deleted_count,
        info.feature_count,
        info.segment_count,
        info.generation,
        info.word_count,
    ) == (
        6,
        2,
        1200,
        2,
        4,
        128,
    )
    assert info.spec == FeatureSpec("rootsift", max_features=150, max_side=256)
    assert (
        info.vocabulary == json.loads((index / "manifest-00000004.json").read_bytes())["vocabulary"]
    )
    assert os.path.realpath(info.picture_root) == os.path.realpath(index.parent)


@pytest.mark.slow
def test_an_index_of_long_ago_goes_on_living(index: Path) -> None:
    photos = index.parent / "photos"
    with ImageIndex.open(index) as opened:
        report = opened.add([photos], check_content=True)  # git keeps no modification times
        assert (report.added, report.changed, report.unchanged, report.failed) == (1, 0, 5, [])
        cv2.imwrite(str(photos / "6.png"), textured(20, 240, 180))
        assert opened.add([photos / "6.png"]).added == 1
        assert opened.remove([photos / "4.jpg"]).removed == 1
        require_recorded_answers(opened)
        opened.merge()
        require_recorded_answers(opened)
        found = opened.search(textured(20, 240, 180), SearchOptions(crop=True)).matches[0]
        assert found.path == str(photos / "6.png") and found.verified
        assert names(opened) == [name for name in LIVE if name != "photos/4.jpg"] + [
            "photos/3.jpg",
            "photos/6.png",
        ]
    checked = check_index(index)
    assert (checked.damages, checked.leftovers, checked.image_count) == ([], [], 7)


@pytest.mark.slow
def test_the_next_write_makes_an_index_one_of_this_version(index: Path) -> None:
    """Its segments stay as they are; images with ids of their own may come beside them."""
    version = '"version": {}'
    assert version.format(2) in (index / "manifest-00000004.json").read_text()
    with ImageIndex.open(index) as opened:
        before = opened._snapshot.manifest.segments
        picture = textured(20, 240, 180)
        opened.add_images([("a part", picture, {"line": 7})])
        assert opened._snapshot.manifest.segments[:2] == before
        assert names(opened) == LIVE
    (manifest,) = index.glob("manifest-*.json")
    assert version.format(3) in manifest.read_text()
    assert check_index(index).damages == []
    with ImageIndex.open(index) as opened:
        require_recorded_answers(opened)
        record = opened.record("a part")
        assert record is not None and record.path == "" and record.metadata == {"line": 7}
        opened.merge()
        require_recorded_answers(opened)
        found = opened.search(picture, where={"line": 7}).matches
        assert [match.id for match in found] == ["a part"] and found[0].verified


def test_an_index_of_format_3_says_what_it_said(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "index-3", tmp_path / "index-3")
    shutil.copytree(FIXTURES / "photos", tmp_path / "photos")
    path = tmp_path / "index-3"
    report = check_index(path)
    assert (report.damages, report.leftovers, report.image_count) == ([], [], 4)
    with ImageIndex.open(path) as opened:
        told = {record.id: (bool(record.path), record.metadata) for record in opened.records()}
        assert told == {
            "photos/0.jpg": (True, {"line": 3}),
            "photos/1.jpg": (True, {"line": 3}),
            "board 7": (False, {"line": 4, "parts": ["a", "b"]}),
            "schlüssel": (False, {}),
        }
        for seed, name in ((21, "board 7"), (22, "schlüssel"), (0, "photos/0.jpg")):
            best = opened.search(textured(seed, 240, 180)[20:150, 30:200], crop=True).matches[0]
            assert (best.id, best.verified, best.size) == (name, True, (240, 180))
        assert [
            match.id for match in opened.search(textured(21, 240, 180), where={"line": 4}).matches
        ] == ["board 7"]
        version = json.loads((path / "manifest-00000004.json").read_bytes())["version"]
        assert version == 3 and opened.info().deleted_count == 1
        opened.merge()
        assert len(opened) == 4 and opened.remove_images("board 7").removed == 1


# --- a reader that knows the document and nothing of bovw
# --------------------------------------------------------------


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_array(path: Path) -> NDArray[Any]:
    content = path.read_bytes()
    start = 10 + int.from_bytes(content[8:10], "little")
    header = content[10:start].decode()
    kind, shape = (
        header.split("'descr': '")[1].split("'")[0],
        header.split("'shape': (")[1].split(")")[0],
    )
    return np.frombuffer(content, kind, offset=start).reshape(
        [int(number) for number in shape.split(",") if number.strip()]
    )


def read_vocabulary(folder: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    header = json.loads((folder / "vocabulary.json").read_bytes())
    arrays = {
        name: read_array(folder / f"{name}.npy")
        for name in ("words", "cells", "cell_starts", "projection")
    }
    text = json.dumps([header["features"]["name"], header["word_scale"]])
    assert header["fingerprint"] == sha256(
        text.encode() + b"".join(array.tobytes() for array in arrays.values())
    )
    return header["fingerprint"], {**arrays, "word_scale": np.array(header["word_scale"])}


def read_segment(folder: Path, entry: dict[str, Any], words: int) -> list[dict[str, Any]]:
    """The images of a segment: the record of each, whether it is deleted, and what is known of its
    features.
    """
    place = folder / "segments" / entry["name"]
    assert sha256((place / "segment.json").read_bytes()) == entry["sha256"]
    files = json.loads((place / "segment.json").read_bytes())["files"]
    contents = {name: (place / name).read_bytes() for name in files}
    assert files == {
        name: {"bytes": len(content), "sha256": sha256(content)}
        for name, content in contents.items()
    }
    array = {
        name.removesuffix(".npy"): read_array(place / name)
        for name in files
        if name.endswith(".npy")
    }
    present = np.flatnonzero(np.unpackbits(array["word_bits"], bitorder="little")[:words])
    word, signature = np.empty(entry["features"], int), np.empty(entry["features"], "<u8")
    word[array["posting_features"]] = np.repeat(present, array["word_counts"])
    signature[array["posting_features"]] = array["posting_signatures"]
    deleted = np.zeros(entry["images"], bool)
    if entry["deletion"]:
        flags = folder / "deleted" / f"{entry['deletion']['name']}.npy"
        deleted = read_array(flags)
        assert (
            sha256(flags.read_bytes()) == entry["deletion"]["flags"]
            and deleted.sum() == entry["deletion"]["images"]
        )
    images = []
    for i in range(entry["images"]):
        record = json.loads(
            contents["images.jsonl"][array["line_starts"][i] : array["line_starts"][i + 1]]
        )
        path_digest = hashlib.sha256(
            record.get("id", record.get("path")).encode("utf-8", "surrogateescape")
        ).digest()
        assert int.from_bytes(path_digest[:8], "little") == array["path_hashes"][i]
        own = slice(array["feature_starts"][i], array["feature_starts"][i + 1])
        side = max(record["width"], record["height"])
        images.append(
            {
                "record": record,
                "deleted": bool(deleted[i]),
                "words": word[own],
                "signatures": signature[own],
                "places": array["places"][own] * (side / 65535) - 0.5,
                "scales": side * 2 ** (array["shapes"][own, 0] / 21.25 - 12),
                "angles": 2 * np.pi * array["shapes"][own, 1] / 256,
            }
        )
    return images


def read_index(folder: Path) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """The manifest, and the images of each segment."""
    newest = max(path.name for path in folder.iterdir() if path.name.startswith("manifest-"))
    manifest = json.loads((folder / newest).read_bytes())
    assert manifest["format"] == "bovw-index" and manifest["version"] in (2, 3)
    assert manifest.pop("sha256") == sha256(json.dumps(manifest, sort_keys=True).encode())
    assert newest == f"manifest-{manifest['generation']:08d}.json"
    fingerprint, vocabulary = read_vocabulary(folder / "vocabulary")
    assert fingerprint == manifest["vocabulary"]
    return manifest, [
        read_segment(folder, entry, len(vocabulary["words"])) for entry in manifest["segments"]
    ]


# --- what that reader finds is what bovw finds
# -------------------------------------------------------------------------


def require_equal(images: list[dict[str, Any]], segment: Segment, alive: NDArray[np.bool_]) -> None:
    """Compare what the reader above makes of a segment with what bovw makes of it."""
    word, feature = segment.read_postings(0, len(segment.word_counts))
    word_of, signature_of = (
        np.empty(segment.feature_count, int),
        np.empty(segment.feature_count, np.uint64),
    )
    word_of[feature], signature_of[feature] = word, segment.posting_signatures
    assert (
        len(images) == segment.image_count
        and sum(len(image["words"]) for image in images) == segment.feature_count
    )
    for ordinal, image in enumerate(images):
        assert json.loads(record_line(segment.record(ordinal))) == image["record"]
        assert image["deleted"] != alive[ordinal]
        own = np.arange(*segment.feature_starts[ordinal : ordinal + 2])
        place, scale, angle = segment.geometry(own, np.full(len(own), ordinal))
        np.testing.assert_array_equal(image["words"], word_of[own])
        np.testing.assert_array_equal(image["signatures"], signature_of[own])
        np.testing.assert_allclose(
            image["places"], np.column_stack([place.real, place.imag]), rtol=1e-12
        )
        np.testing.assert_allclose(image["scales"], scale, rtol=1e-12)
        np.testing.assert_allclose(image["angles"], angle, rtol=1e-12)


def test_a_reader_written_from_the_document_reads_what_bovw_reads(index: Path) -> None:
    manifest, segments = read_index(index)
    assert [
        image["record"]["path"] for images in segments for image in images if not image["deleted"]
    ] == LIVE
    with ImageIndex.open(index) as opened:
        assert manifest["root"] == opened._snapshot.manifest.picture_root == "."
        for images, part in zip(segments, opened._snapshot.live_segments, strict=True):
            require_equal(images, part.segment, part.alive)


def test_words_and_signatures_are_what_the_document_says(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of OpenCV finds some other features, so a few may differ; those of this
    version do not. Which of them an index holds is no matter of its format: all are looked at.
    """
    # the index was made when OpenCV found all features
    monkeypatch.setattr(kernel, "library", lambda: None)
    _, vocabulary = read_vocabulary(index / "vocabulary")
    found = read_index(index)[1][0][0]
    assert found["record"]["path"] == "photos/0.jpg"
    spec = FeatureSpec("rootsift", max_features=5000, max_side=256)
    features = extract(load_picture(FIXTURES / "photos" / "0.jpg", spec.max_side), spec)
    words, projection = vocabulary["words"].astype(int), vocabulary["projection"]
    steps = np.rint(features.descriptors * np.float32(1 / vocabulary["word_scale"])).astype(int)
    directions = np.rint(projection * (127 / np.abs(projection).max())).astype(int)
    same = 0
    for place, step in zip(features.xy, steps, strict=True):
        beside = np.hypot(*(found["places"] - place).T)
        nearest = ((step - words) ** 2).sum(axis=1).argmin()
        bits = sum(
            1 << j
            for j, direction in enumerate(directions)
            if (step - words[nearest]) @ direction > 0
        )
        here = np.flatnonzero((beside < 0.01) & (found["words"] == nearest))
        same += any(int(found["signatures"][feature]) == bits for feature in here)
    assert same > 0.9 * len(found["places"]), same / len(found["places"])


def table_after(heading: str, columns: int) -> list[list[str]]:
    """The rows of the first table of the document after some words."""
    rows = []
    for line in DOCUMENT.split(heading, 1)[1].splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and not set(cells[0]) <= {"-"}:
            assert len(cells) == columns, line
            rows.append(cells)
        elif rows and not line:
            break
    return rows[1:]


def keys_after(heading: str) -> set[str]:
    """The keys that the first table after some words has."""
    return {key for key, _ in table_after(heading, 2) for key in re.findall(r"`(\w+)`", key)}


def test_a_line_has_what_there_is_to_say() -> None:
    bare = ImageRecord("a part", 4, 3, "00")
    assert record_line(bare) == b'{"height":3,"id":"a part","sha256":"00","width":4}\n'
    told = ImageRecord("a part", 4, 3, "00", metadata={"b": [1, None], "a": "\u00e9"})
    assert json.loads(record_line(told))["metadata"] == told.metadata
    assert parse_record(record_line(told)) == told and parse_record(record_line(bare)) == bare


def test_the_document_has_the_keys_of_every_file(index: Path) -> None:
    manifest = json.loads((index / "manifest-00000004.json").read_bytes())
    optional = {"exclude", "removed", "embeddings", "failed"}
    assert manifest.keys() | optional == keys_after("others may be there for moments")
    assert manifest["features"].keys() == keys_after("The `features` have these keys")
    assert manifest["segments"][0].keys() == keys_after("Each of the `segments` has these keys")
    assert manifest["segments"][0]["deletion"].keys() == keys_after("A `deletion` has these keys")
    for name in ("00000002", "00000003"):
        assert json.loads(
            (index / f"segments/{name}/segment.json").read_bytes()
        ).keys() == keys_after("### segment.json")
        for line in (index / f"segments/{name}/images.jsonl").read_bytes().splitlines():
            assert json.loads(line).keys() | {"id", "metadata"} == keys_after("### images.jsonl")
    assert json.loads((index / "vocabulary/vocabulary.json").read_bytes()).keys() == keys_after(
        "## Vocabulary"
    )


def require_documented_arrays(
    folder: Path, table: list[list[str]], sizes: dict[str, int]
) -> set[str]:
    """Compare the array files of a folder with a table of the document; returns those that it has
    and the folder has not.
    """
    rows = array_rows(table)
    optional = array_rows(table_after("**Optional columns.**", 4))
    found = {path.name for path in folder.glob("*.npy")}
    assert found <= rows.keys() | optional.keys()
    for name in found:
        kind, shape = (rows | optional)[name]
        array = read_array(folder / name)
        if kind == "narrow":
            kind = next(each for each in ("|u1", "<u2", "<u4") if array.max() <= np.iinfo(each).max)
        assert (array.dtype.str, array.shape) == (kind, eval(shape, sizes)), name
    return rows.keys() - found


def array_rows(table: list[list[str]]) -> dict[str, tuple[str, str]]:
    """Type and shape of each array of a table, by the name of its file."""
    return {
        re.findall(r"`(.+)`", name)[0]: (kind.strip("`"), shape.split(", of ORB")[0])
        for name, kind, shape, _ in table
    }


def sizes_of(segment: Segment) -> dict[str, int]:
    return {
        "I": segment.image_count,
        "F": segment.feature_count,
        "W": len(segment.word_counts),
        "P": int((segment.word_counts > 0).sum()),
    }


def test_the_document_has_the_type_and_shape_of_every_array(index: Path) -> None:
    with ImageIndex.open(index) as opened:
        for segment in opened._snapshot.segments:
            absent = require_documented_arrays(
                index / segment.folder, table_after("### Arrays", 4), sizes_of(segment)
            )
            assert absent == {"document_counts.npy"}  # the segments are small
        vocabulary = {"W": 128, "C": len(opened.vocabulary.cells), "d": 128}
        assert not require_documented_arrays(
            index / "vocabulary", table_after("With d = 128", 4), vocabulary
        )


@pytest.mark.slow
def test_the_files_of_large_segments_are_as_documented(tmp_path: Path) -> None:
    variant = next(each for each in make_variants(tmp_path / "variants") if each.name == "counted")
    manifest, segments = read_index(variant.folder)
    with counted("counted"), ImageIndex.open(variant.folder) as opened:
        for entry, images, part in zip(
            manifest["segments"], segments, opened._snapshot.live_segments, strict=True
        ):
            require_equal(images, part.segment, part.alive)
            place, sizes = variant.folder / part.segment.folder, sizes_of(part.segment)
            assert not require_documented_arrays(place, table_after("### Arrays", 4), sizes)
            present = [
                np.bincount(np.unique(image["words"]), minlength=sizes["W"]) for image in images
            ]
            in_all = np.sum(present, axis=0)
            np.testing.assert_array_equal(
                read_array(place / "document_counts.npy"), in_all[in_all > 0]
            )
            if entry["deletion"]:
                file = variant.folder / "deleted" / f"{entry['deletion']['name']}-documents.npy"
                assert sha256(file.read_bytes()) == entry["deletion"]["documents"]
                gone = [row for row, image in zip(present, images, strict=True) if image["deleted"]]
                np.testing.assert_array_equal(read_array(file), np.sum(gone, axis=0))


def test_files_are_written_as_the_document_says(index: Path) -> None:
    for path in [
        *index.glob("manifest-*"),
        *index.glob("segments/*/segment.json"),
        index / "vocabulary/vocabulary.json",
    ]:
        assert (
            path.read_text("ascii")
            == json.dumps(json.loads(path.read_bytes()), indent=1, sort_keys=True) + "\n"
        )
    for path in index.glob("segments/*/images.jsonl"):
        for line in path.read_text("ascii").splitlines():
            assert line == json.dumps(json.loads(line), separators=(",", ":"), sort_keys=True)
    arrays = [*index.glob("segments/*/*.npy"), *index.glob("deleted/*.npy")]
    assert len(arrays) == 2 * 10 + 1
    for path in arrays:
        content, array = path.read_bytes(), read_array(path)
        text = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}"
        assert (
            content
            == b"\x93NUMPY\x01\x00v\x00" + text.ljust(117).encode() + b"\n" + array.tobytes()
        )
    assert (index / ".lock").read_bytes() == b""
