"""Synthetic queries: their answers are true, and the same wherever the pictures lie."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import ImageIndex
from bovw.errors import EvaluationError
from bovw.evaluation.perturbation import PERTURBATIONS
from bovw.evaluation.run import evaluate
from bovw.evaluation.scores import ALL
from bovw.evaluation.synthetic import NEGATIVES, make_synthetic_queries
from bovw.evaluation.truth import read_queries, write_queries
from tests.helpers.pictures import textured


@pytest.mark.slow
def test_queries_have_true_answers(folder: Path, index: ImageIndex, tmp_path: Path) -> None:
    (tmp_path / "negatives").mkdir()
    cv2.imwrite(str(tmp_path / "negatives" / "new.png"), textured(99, 320, 240))
    shutil.copy(folder / "photos" / "picture 2.png", tmp_path / "negatives" / "known.png")
    how = {"sample": 2, "seed": 3, "negatives": [str(tmp_path / "negatives")]}
    truth, failed = make_synthetic_queries(index, tmp_path / "first", **how)  # type: ignore[arg-type]
    assert [Path(error.name).name for error in failed] == [
        "known.png"
    ] and "is no negative" in failed[0].reason
    assert len(truth.queries) == 3 * len(PERTURBATIONS)
    negatives = [query for query in truth.queries if query.set == NEGATIVES]
    assert len(negatives) == len(PERTURBATIONS) and not any(query.relevant for query in negatives)
    again, _ = make_synthetic_queries(index, tmp_path / "second", **how)  # type: ignore[arg-type]
    for one, other in zip(truth.queries, again.queries, strict=True):
        assert (
            replace(one, path="") == replace(other, path="")
            and Path(one.path).read_bytes() == Path(other.path).read_bytes()
        )
    evaluation = evaluate(index, truth)
    sets = {line.set: line for line in evaluation.by_set()}
    assert list(sets) == [*PERTURBATIONS, NEGATIVES, ALL]
    assert sets[NEGATIVES].means.keys() == {"FalseAlarm"} and sets[ALL].queries == 2 * len(
        PERTURBATIONS
    )
    assert sets["crop 50 %"].means["Success@1"].mean == sets["mirrored"].means["Placed"].mean == 1
    corner_error = sets["pasted"].corner_error
    assert corner_error is not None and corner_error < 0.01


@pytest.mark.slow
def test_queries_are_the_same_wherever_the_pictures_lie(
    folder: Path, index: ImageIndex, tmp_path: Path
) -> None:
    shutil.copytree(folder / "photos", tmp_path / "elsewhere")
    with ImageIndex.create(tmp_path / "i.bovw") as other:
        other.add([tmp_path / "elsewhere"])
        theirs, _ = make_synthetic_queries(other, tmp_path / "theirs", sample=2, seed=1)
    ours, _ = make_synthetic_queries(index, tmp_path / "ours", sample=2, seed=1)
    for one, two in zip(ours.queries, theirs.queries, strict=True):
        assert (one.id, one.outline) == (two.id, two.outline) and Path(
            one.path
        ).read_bytes() == Path(two.path).read_bytes()


@pytest.mark.slow
def test_copies_of_an_original_are_neither_right_nor_wrong(
    index: ImageIndex, tmp_path: Path
) -> None:
    truth, _ = make_synthetic_queries(index, tmp_path, sample=7)
    originals = {
        next(iter(query.relevant)): query for query in truth.queries if query.set == "crop 50 %"
    }
    assert (
        originals["photos/twin.png"].ignore == {"photos/picture 0.png"}
        and not originals["photos/picture 1.png"].ignore
    )
    for query in truth.queries:
        assert not query.relevant & query.ignore
        if query.set == "pasted":
            # what it was pasted into is truly there, and is another picture
            assert query.ignore and (
                query.group not in ("photos/picture 0.png", "photos/twin.png")
                or len(query.ignore) == 2
            )


@pytest.mark.slow
def test_pictures_that_are_gone_or_changed_are_told(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "photos", tmp_path / "photos")
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([tmp_path / "photos"])
        (tmp_path / "photos" / "picture 1.png").unlink()
        cv2.imwrite(str(tmp_path / "photos" / "picture 2.png"), textured(50, 320, 240))
        truth, failed = make_synthetic_queries(index, tmp_path / "queries", sample=7)
        assert {Path(error.name).name: error.reason.split()[0] for error in failed} == {
            "picture 1.png": "there",
            "picture 2.png": "has",
        }
        assert len({query.group for query in truth.queries}) == 5
        shutil.rmtree(tmp_path / "photos")
        with pytest.raises(EvaluationError, match="no picture to make queries of"):
            make_synthetic_queries(index, tmp_path / "queries")


def test_a_table_of_them_is_ground_truth_for_others(
    folder: Path, index: ImageIndex, tmp_path: Path
) -> None:
    truth, _ = make_synthetic_queries(index, tmp_path, sample=1)
    write_queries(tmp_path / "queries.tsv", truth)
    read = read_queries(tmp_path / "queries.tsv", folder)
    for one, other in zip(truth.queries, read.queries, strict=True):
        assert (one.id, one.set, one.relevant) == (other.id, other.set, other.relevant)
        assert np.allclose(np.array(one.outline), np.array(other.outline), atol=0.006)


@pytest.mark.slow
def test_images_without_files_are_passed_over(folder: Path, tmp_path: Path) -> None:
    with ImageIndex.in_memory() as index:
        # the same content as a picture that has a file
        content = (folder / "photos" / "picture 1.png").read_bytes()
        index.add_images([("from memory", content, None)])
        with pytest.raises(EvaluationError, match="no images with files"):
            make_synthetic_queries(index, tmp_path / "none")
        index.add([folder / "photos" / "picture 1.png"])
        truth, failed = make_synthetic_queries(index, tmp_path / "queries")
    assert not failed and len(truth.queries) == len(PERTURBATIONS)
    assert {query.ignore for query in truth.queries} == {frozenset(["from memory"])}
