"""Copies are found, named for what they are, and kept by the rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import (
    DuplicateOptions,
    DuplicateReport,
    FeatureSpec,
    ImageIndex,
    IncompatibleError,
    IndexClosedError,
    ParameterError,
    Vocabulary,
    find_duplicates,
    train_vocabulary,
)
from tests.helpers.pictures import textured

Pictures = Mapping[str, bytes | NDArray[np.uint8]]


def filled(words: Vocabulary, pictures: Pictures) -> ImageIndex:
    index = ImageIndex.in_memory(words)
    index.add_images([(name, picture, None) for name, picture in pictures.items()])
    return index


def said(report: DuplicateReport) -> dict[str, dict[str, str]]:
    """What each member of each group is, by the id of what is kept."""
    return {
        group.kept.id: {member.image.id: member.relation.text() for member in group.members}
        for group in report.groups
    }


@pytest.fixture(scope="module")
def index(words: Vocabulary, copies: Pictures) -> ImageIndex:
    return filled(words, copies)


@pytest.mark.slow
@pytest.mark.parametrize("thorough", [False, True])
def test_copies_are_named_for_what_they_are(
    index: ImageIndex, copies: Pictures, thorough: bool
) -> None:
    report = find_duplicates(index, DuplicateOptions(thorough=thorough))
    (group,) = report.groups
    relations = {member.image.id: member.relation for member in group.members}
    kept = group.kept.id
    assert set(relations) | {kept} == set(copies) - {"other", "another"}
    assert kept == "edited"  # all as large: the first of the ids, as there are no files
    assert report.image_count == len(copies)
    assert report.compared == len(copies) - 1  # of two that are identical, one is


@pytest.mark.slow
def test_relations_to_the_original(words: Vocabulary, copies: Pictures, tmp_path: Path) -> None:
    """In files, so that one of them can be preferred."""
    for name, picture in copies.items():
        content = picture
        if not isinstance(content, bytes):
            content = cv2.imencode(".png", content)[1].tobytes()
        (tmp_path / f"{name.replace(':', '')}.png").write_bytes(content)
    with ImageIndex.create(tmp_path / "index.bovw", words) as index:
        index.add([tmp_path], jobs=0)
        options = DuplicateOptions(prefer=["original.png"], protect=["*270*"])
        (group,) = find_duplicates(index, options).groups
        assert Path(group.kept.path).stem == "original"
        assert len(group.members) == len(copies) - 3
        for member in group.members:
            name = Path(member.image.path).stem
            text = "edited" if "edited" in name else name
            assert member.relation.text() == text, name
            assert member.image.protected == ("270" in name)
        assert {Path(each.image.path).stem for each in group.removable} == {
            Path(each.image.path).stem for each in group.members if "270" not in each.image.path
        }
        for kind, terms in (
            ("exact", {"identical"}),
            ("part", {"crop of"}),
            ("same", {"identical", "recompressed", "resized", "turned", "mirrored", "edited"}),
        ):
            options = DuplicateOptions(kind=kind, prefer=["original.png"])  # type: ignore[arg-type]
            (group,) = find_duplicates(index, options).groups
            assert {member.relation.term for member in group.members} == terms, kind
        ignored = [
            (str(tmp_path / "original.png"), str(tmp_path / "mirrored.png")),
            ("other.png", "another.png"),
        ]
        options = DuplicateOptions(prefer=["original.png"], ignore=ignored)
        groups = find_duplicates(index, options).groups
        assert Path(groups[0].kept.path).stem == "original"
        assert "mirrored" not in {Path(each.image.path).stem for each in groups[0].members}
        (tmp_path / "kept").mkdir()
        (tmp_path / "turned 180.png").rename(tmp_path / "kept" / "turned 180.png")
        index.add([tmp_path], jobs=0, prune=True)
        options = DuplicateOptions(reference=[str(tmp_path / "kept")])
        (group,) = find_duplicates(index, options).groups
        assert (group.kept.path.endswith("180.png"), group.kept.reference) == (True, True)


@pytest.mark.slow
def test_a_second_run_compares_what_is_new_and_says_the_same(
    words: Vocabulary, copies: Pictures, tmp_path: Path
) -> None:
    names = list(copies)
    with ImageIndex.create(tmp_path / "index.bovw", words) as index:
        index.add_images([(name, copies[name], None) for name in names[:6]])
        assert find_duplicates(index).compared == 5
        assert find_duplicates(index).compared == 0
        index.add_images([(name, copies[name], None) for name in names[6:]])
        index.remove_images(["0.5 x"])
        index.merge()
        second = find_duplicates(index)
        assert second.compared == len(names) - 6
        for file in (tmp_path / "index.bovw").glob("duplicates-*"):
            file.unlink()
        afresh = find_duplicates(index)
        assert afresh.compared == len(names) - 2
        assert afresh.to_dict()["groups"] == second.to_dict()["groups"]
        (file,) = (tmp_path / "index.bovw").glob("duplicates-*")
        file.write_bytes(b"no archive")
        assert find_duplicates(index).to_dict()["groups"] == second.to_dict()["groups"]


@pytest.mark.slow
def test_against_another_index(words: Vocabulary, copies: Pictures) -> None:
    """What the other index has is kept, though it is smaller."""
    mine = filled(words, {name: copies[name] for name in ("original", "identical", "another")})
    theirs = filled(words, {name: copies[name] for name in ("0.5 x", "other")})
    report = find_duplicates(mine, against=theirs)
    assert said(report) == {"0.5 x": {"original": "2 x", "identical": "2 x"}}
    assert report.groups[0].kept.reference
    theirs.add_images([("same", copies["original"], None)])
    report = find_duplicates(mine, DuplicateOptions(kind="exact"), against=theirs)
    assert said(report) == {"same": {"original": "identical", "identical": "identical"}}
    small = ImageIndex.in_memory(words, max_side=256)
    with pytest.raises(IncompatibleError, match="max_side 256"):
        find_duplicates(mine, against=small)


def test_pictures_without_features(words: Vocabulary) -> None:
    """A hash and a thumbnail say of them what can be said."""
    white, black = np.full((50, 60, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8)
    x, y = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 50))
    ramp = np.round(255 * np.exp(0.7 * x + 1.5 * y + x * y - 3.2)).astype(np.uint8)
    index = filled(
        words,
        {"white": white, "small": white[:40], "black": black, "ramp": ramp, "up": ramp[:, ::-1]},
    )
    assert not index.info().feature_count
    assert said(find_duplicates(index)) == {
        "white": {"small": "0.89 x"},
        "ramp": {"up": "mirrored"},
    }
    assert find_duplicates(filled(words, {})).groups == []


def test_orb(photos: list[Path]) -> None:
    """ORB's descriptors cannot be mirrored: the hash tells of mirrored pictures, nevertheless."""
    vocabulary, _ = train_vocabulary(photos[:4], 64, FeatureSpec("orb", 100, 256))
    shown = {str(number): path.read_bytes() for number, path in enumerate(photos[:4])}
    mirrored = np.ascontiguousarray(textured(0, 160, 120)[:, ::-1])
    index = filled(vocabulary, {**shown, "mirrored": mirrored})
    assert said(find_duplicates(index)) == {"0": {"mirrored": "mirrored"}}


def test_bad_arguments(words: Vocabulary) -> None:
    index = ImageIndex.in_memory(words)
    for wrong in (
        {"kind": "all of them"},
        {"near": 1},
        {"thorough": "yes"},
        {"prefer": "*.png"},
        {"reference": [""]},
        {"ignore": [("a",)]},
    ):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            DuplicateOptions(**wrong)
    with pytest.raises(ParameterError, match="options"):
        find_duplicates(index, {"kind": "exact"})  # type: ignore[arg-type]
    index.close()
    with pytest.raises(IndexClosedError):
        find_duplicates(index)


def test_another_photograph_of_a_scene_is_no_duplicate(words: Vocabulary) -> None:
    """Its pixels lie up to 2.5 pixels elsewhere, neighbouring ones alike: a step to the side."""
    picture = textured(1, 480, 360)
    y, x = np.mgrid[:360, :480].astype(np.float32)
    elsewhere = x + np.float32(2.5) * np.sin(y / 30)
    view = cv2.remap(picture, elsewhere, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    index = filled(words, {"photo": picture, "view": np.asarray(view, np.uint8)})
    assert not find_duplicates(index).groups
    report = find_duplicates(index, DuplicateOptions(near=True))
    assert said(report) == {"photo": {"view": "same thing"}}
