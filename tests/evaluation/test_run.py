"""Evaluations: against plain searches, and with what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bovw import ImageIndex, SearchOptions
from bovw.errors import EvaluationError, ParameterError
from bovw.evaluation.run import evaluate, evaluate_settings, score
from bovw.evaluation.synthetic import make_synthetic_queries
from bovw.evaluation.truth import GroundTruth, Query
from tests.helpers.pictures import textured
from tests.helpers.queries import crop_of


def test_an_evaluation_says_what_searches_say(folder: Path, index: ImageIndex) -> None:
    queries = [crop_of(folder, number, f"crop {number}.png") for number in (1, 2)]
    # the second one is told to seek the wrong image, and to ignore the right one
    wrong = replace(
        queries[1], relevant=frozenset(["photos/picture 4.png"]), ignore=queries[1].relevant
    )
    evaluation = evaluate(index, GroundTruth([queries[0], wrong], str(folder)))
    good, bad = evaluation.outcomes
    result = index.search(queries[0].path, SearchOptions(k=1000, crop=True))
    paths = [match.path for match in result.matches]
    assert good.ranking == [str(Path(path).relative_to(folder)) for path in paths]
    assert [match.to_dict() for match in good.matches] == [
        match.to_dict() for match in result.matches[:10]
    ]
    # they are many, and would all be kept
    assert result.matches[0].inliers and not any(len(m.correspondences) for m in good.matches)
    assert good.values["Success@1"] == good.values["Verified"] == good.values["Placed"] == 1
    assert good.values["FalseAlarm"] == 0
    assert good.corner_error is not None and good.corner_error < 0.01
    assert good.feature_count == result.feature_count
    assert good.seconds and good.cpu_seconds
    assert "photos/picture 2.png" not in bad.ranking and bad.values["FalseAlarm"] == 0
    ranks = [rank for rank, name in enumerate(bad.ranking, 1) if name in wrong.relevant]
    assert bad.values["RR"] == pytest.approx(1 / ranks[0] if ranks else 0)
    assert bad.values["Placed"] == 0 and bad.corner_error is None
    again = score(GroundTruth([queries[0], wrong], str(folder)), evaluation.rankings())
    for one, other in zip(evaluation.outcomes, again.outcomes, strict=True):
        assert other.values.items() <= one.values.items()


class Bare:
    """An index of which nothing is known but that it is a Searcher."""

    def __init__(self, index: ImageIndex) -> None:
        self.__len__ = index.__len__
        self.info, self.records = index.info, index.records
        self.search, self.search_many = index.search, index.search_many


@pytest.mark.slow
def test_any_searcher_is_evaluated_with_any_number_of_processes(
    index: ImageIndex, tmp_path: Path
) -> None:
    bare: Any = Bare(index)
    made, _ = make_synthetic_queries(bare, tmp_path, sample=1)
    truth = GroundTruth(made.queries[:12], made.folder)
    settings = [SearchOptions(k=7), SearchOptions(k=7, scoring="tfidf", mirror=False)]
    for first, second in zip(
        evaluate_settings(index, truth, settings),
        evaluate_settings(bare, truth, settings, jobs=2),
        strict=True,
    ):
        assert len(first.outcomes) == 12 and first.rankings() == second.rankings()
        for one, other in zip(first.outcomes, second.outcomes, strict=True):
            assert (one.values, one.corner_error) == (other.values, other.corner_error)


@pytest.mark.slow
def test_images_without_files_are_named_by_their_ids(folder: Path) -> None:
    queries = [crop_of(folder, number, f"crop {number}.png") for number in (1, 2)]
    queries[0] = replace(queries[0], relevant=frozenset(["no. 1"]))
    with ImageIndex.in_memory() as index:
        index.add_images([("no. 1", textured(1, 320, 240), None)])
        index.add([folder / "photos" / "picture 2.png"])
        evaluation = evaluate(index, GroundTruth(queries, str(folder)))
    for outcome in evaluation.outcomes:
        assert outcome.ranking[0] in outcome.query.relevant and outcome.values["Placed"] == 1


@pytest.mark.slow
def test_an_image_counts_once(tmp_path: Path) -> None:
    pixels = [textured(number, 320, 240) for number in range(3)]
    cv2.imwrite(str(tmp_path / "query.png"), pixels[0])
    # the first image shows the query twice; its second match is not one of the next image
    cv2.imwrite(str(tmp_path / "twice.png"), np.hstack([pixels[0], pixels[1], pixels[0]]))
    cv2.imwrite(str(tmp_path / "other.png"), pixels[2])
    truth = GroundTruth(
        [Query("q", "s", str(tmp_path / "query.png"), frozenset(["twice.png"]))], str(tmp_path)
    )
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([tmp_path / "twice.png", tmp_path / "other.png"])
        options = SearchOptions(k=5, instances=3)
        assert (
            sum(match.verified for match in index.search(tmp_path / "query.png", options).matches)
            == 2
        )
        (outcome,) = evaluate(index, truth, options, crop=True).outcomes
    assert outcome.values["Verified"] == 1 and outcome.values["FalseAlarm"] == 0
    assert outcome.ranking == ["twice.png", "other.png"][: len(outcome.ranking)]
    assert [match.id for match in outcome.matches] == outcome.ranking


def test_a_name_counts_once(tmp_path: Path) -> None:
    truth = GroundTruth([Query("q", "s", "q", frozenset(["b.jpg", "c.jpg"]))], str(tmp_path))
    (outcome,) = score(truth, {"q": ["b.jpg", "./b.jpg", "x/../b.jpg", "c.jpg"]}).outcomes
    assert (
        outcome.ranking == ["b.jpg", "c.jpg"] and outcome.values["AP"] == outcome.values["P@1"] == 1
    )


def test_a_verified_wrong_image_is_a_false_alarm(folder: Path, index: ImageIndex) -> None:
    query = replace(crop_of(folder, 3, "crop 3.png"), relevant=frozenset())
    (outcome,) = evaluate(index, GroundTruth([query], str(folder))).outcomes
    assert outcome.values == {"FalseAlarm": 1.0}


def test_settings_share_the_extraction_and_differ_in_what_they_find(
    folder: Path, index: ImageIndex
) -> None:
    truth = GroundTruth([crop_of(folder, 1, "crop 1.png")], str(folder))
    settings = [
        SearchOptions(k=3),
        SearchOptions(k=3, verify_top=0),
        SearchOptions(k=3, scoring="tfidf", verify_top=0, words_per_feature=1),
    ]
    found = evaluate_settings(index, truth, settings)
    for options, evaluation in zip(settings, found, strict=True):
        (alone,) = evaluate(index, truth, options).outcomes
        (outcome,) = evaluation.outcomes
        assert (outcome.ranking, outcome.values) == (alone.ranking, alone.values)
        assert evaluation.options == options
        assert outcome.values["Verified"] == bool(options.verify_top)


def test_views_give_the_score_of_ukbench(folder: Path, index: ImageIndex) -> None:
    names = [f"photos/picture {number}.png" for number in (1, 2, 3, 4)]
    own = names[0]
    query = Query(own, "views", str(folder / own), frozenset(names[1:]), frozenset([own]), own=own)
    (outcome,) = evaluate(index, GroundTruth([query], str(folder))).outcomes
    first = [match.id for match in index.search(folder / own, k=4).matches]
    assert outcome.values["N-S"] == sum(name in names for name in first)
    assert own not in outcome.ranking


def test_what_cannot_be_used_is_told(folder: Path, index: ImageIndex) -> None:
    good = crop_of(folder, 1, "crop 1.png")
    gone = replace(good, id="gone", path=str(folder / "gone.png"))
    outside = replace(good, id="outside", box=(0, 0, 5000, 10))
    part = replace(
        good, id="part", relevant=good.relevant | {"photos/absent.png"}, box=(10, 10, 120, 100)
    )
    evaluation = evaluate(index, GroundTruth([good, gone, outside, part], str(folder)))
    assert [outcome.query.id for outcome in evaluation.outcomes] == ["crop 1.png", "part"]
    assert [Path(error.name).name for error in evaluation.failed] == ["gone.png", "crop 1.png"]
    # once, whatever it was asked with
    settings = [SearchOptions(), SearchOptions(mirror=False)]
    for each in evaluate_settings(index, GroundTruth([gone, good], str(folder)), settings):
        assert each.failed == evaluation.failed[:1] and len(each.outcomes) == 1
    assert (
        evaluation.absent == ["photos/absent.png"] and evaluation.outcomes[1].values["R@100"] == 0.5
    )
    with pytest.raises(
        EvaluationError, match="holds none of the 1 relevant images, such as /elsewhere/photos"
    ):
        evaluate(index, GroundTruth([good], "/elsewhere"))
    with pytest.raises(EvaluationError, match="none of the queries"):
        score(GroundTruth([good], str(folder)), {"other": []})
    with pytest.raises(ParameterError):
        evaluate(index, GroundTruth([good], str(folder)), jobs=-1)
