"""Evaluations: against plain searches, with probes whose answers are known, and with what goes
wrong.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import ImageIndex, SearchOptions
from bovw.errors import EvaluationError, ParameterError
from bovw.evaluation.bootstrap import Estimate
from bovw.evaluation.perturbation import PERTURBATIONS
from bovw.evaluation.run import Evaluation, Outcome, evaluate, evaluate_settings, score
from bovw.evaluation.scorecard import scores_text, worst
from bovw.evaluation.scores import ALL, compared, read_scores, save_scores, set_scores
from bovw.evaluation.sweep import PRESENT, Trial, recommended, settings_around, shared, sweep
from bovw.evaluation.synthetic import NEGATIVES, make_synthetic_queries
from bovw.evaluation.truth import GroundTruth, Query, read_queries, read_revisitop, write_queries
from bovw.features.local import FeatureSpec
from bovw.geometry.transform import project
from tests.helpers.pictures import corners, crop_query, textured


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, one of them twice, with an index."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "photos").mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / "photos" / f"picture {number}.png"), textured(number, 320, 240))
    shutil.copy(folder / "photos" / "picture 0.png", folder / "photos" / "twin.png")
    with ImageIndex.create(folder / "index.bovw") as index:
        index.add([folder / "photos"])
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[ImageIndex]:
    with ImageIndex.open(folder / "index.bovw") as index:
        yield index


def crop_of(folder: Path, number: int, name: str) -> Query:
    """A crop of a picture, with its true place."""
    pixels, matrix = crop_query(textured(number, 320, 240), 60, 40, 180, 150, 20, 0.9)
    cv2.imwrite(str(folder / name), pixels)
    outline = project(matrix, corners(pixels.shape[1], pixels.shape[0]))
    answer = frozenset([f"photos/picture {number}.png"])
    return Query(
        name,
        "crops",
        str(folder / name),
        answer,
        outline=tuple((x, y) for x, y in outline.tolist()),
        group=name,
    )


def test_an_evaluation_says_what_searches_say(folder: Path, index: ImageIndex) -> None:
    queries = [crop_of(folder, number, f"crop {number}.png") for number in (1, 2)]
    # the second one is told to seek the wrong image, and to ignore the right one
    wrong = replace(
        queries[1], relevant=frozenset(["photos/picture 4.png"]), ignore=queries[1].relevant
    )
    evaluation = evaluate(index, GroundTruth([queries[0], wrong], str(folder)))
    good, bad = evaluation.outcomes
    result = index.search(queries[0].path, SearchOptions(k=1000, crop=True))
    assert good.ranking == [str(Path(match.path).relative_to(folder)) for match in result.matches]
    assert [match.verified for match in good.matches] == [
        match.verified for match in result.matches[:10]
    ]
    assert (
        good.values["Success@1"] == good.values["Verified"] == good.values["Placed"] == 1
        and good.values["FalseAlarm"] == 0
    )
    assert (
        good.corner_error is not None
        and good.corner_error < 0.01
        and good.feature_count == result.feature_count
    )
    assert "photos/picture 2.png" not in bad.ranking and bad.values["FalseAlarm"] == 0
    rank = (
        bad.ranking.index("photos/picture 4.png") + 1
        if "photos/picture 4.png" in bad.ranking
        else 0
    )
    assert bad.values["RR"] == pytest.approx(1 / rank if rank else 0)
    assert bad.values["Placed"] == 0 and bad.corner_error is None
    again = score(GroundTruth([queries[0], wrong], str(folder)), evaluation.rankings())
    for one, other in zip(evaluation.outcomes, again.outcomes, strict=True):
        assert other.values.items() <= one.values.items()


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
    assert (
        [match.path for match in outcome.matches]
        == outcome.ranking
        == ["twice.png", "other.png"][: len(outcome.ranking)]
    )


def test_a_name_counts_once(tmp_path: Path) -> None:
    truth = GroundTruth([Query("q", "s", "q", frozenset(["b.jpg", "c.jpg"]))], str(tmp_path))
    (outcome,) = score(truth, {"q": ["b.jpg", "./b.jpg", "x/../b.jpg", "c.jpg"]}).outcomes
    assert (
        outcome.ranking == ["b.jpg", "c.jpg"] and outcome.values["AP"] == outcome.values["P@1"] == 1
    )


def test_a_query_that_found_nothing_is_a_failure_to_show() -> None:
    query = Query("q", "s", "q", frozenset(["a.jpg"]))
    nothing = Outcome(query, {"Success@1": 0.0, "RR": 0.0, "FalseAlarm": 0.0}, [])
    assert worst(Evaluation([nothing], "")) == [nothing]
    # of a run that was read nobody knows what the system saw
    assert worst(Evaluation([Outcome(query, {"Success@1": 0.0, "RR": 0.0}, [])], "")) == []


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
    for options, evaluation in zip(
        settings, evaluate_settings(index, truth, settings), strict=True
    ):
        (alone,) = evaluate(index, truth, options).outcomes
        (outcome,) = evaluation.outcomes
        assert (outcome.ranking, outcome.values) == (
            alone.ranking,
            alone.values,
        ) and evaluation.options == options
        assert outcome.values["Verified"] == bool(options.verify_top)


def test_views_give_the_score_of_ukbench(folder: Path, index: ImageIndex) -> None:
    names = [f"photos/picture {number}.png" for number in (1, 2, 3, 4)]
    own = names[0]
    query = Query(own, "views", str(folder / own), frozenset(names[1:]), frozenset([own]), own=own)
    (outcome,) = evaluate(index, GroundTruth([query], str(folder))).outcomes
    first = [
        Path(match.path).name for match in index.search(folder / own, SearchOptions(k=4)).matches
    ]
    assert (
        outcome.values["N-S"] == sum(f"photos/{name}" in names for name in first)
        and own not in outcome.ranking
    )


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


@pytest.mark.slow
def test_probes_have_true_answers(folder: Path, index: ImageIndex, tmp_path: Path) -> None:
    (tmp_path / "negatives").mkdir()
    cv2.imwrite(str(tmp_path / "negatives" / "new.png"), textured(99, 320, 240))
    shutil.copy(folder / "photos" / "picture 2.png", tmp_path / "negatives" / "known.png")
    how = {"sample": 2, "seed": 3, "negatives": [str(tmp_path / "negatives")]}
    truth, failed = make_synthetic_queries(index, tmp_path / "first", **how)  # type: ignore[arg-type]
    assert [Path(error.name).name for error in failed] == [
        "known.png"
    ] and "is no stranger" in failed[0].reason
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
    sets = {line.set: line for line in set_scores(evaluation)}
    assert list(sets) == [*PERTURBATIONS, NEGATIVES, ALL]
    assert sets[NEGATIVES].means.keys() == {"FalseAlarm"} and sets[ALL].queries == 2 * len(
        PERTURBATIONS
    )
    assert sets["crop 50 %"].means["Success@1"].mean == sets["mirrored"].means["Placed"].mean == 1
    corner_error = sets["pasted"].corner_error
    assert corner_error is not None and corner_error < 0.01


@pytest.mark.slow
def test_probes_are_the_same_wherever_the_pictures_lie(
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


def test_copies_of_a_source_are_neither_right_nor_wrong(index: ImageIndex, tmp_path: Path) -> None:
    truth, _ = make_synthetic_queries(index, tmp_path, sample=7)
    sources = {
        next(iter(query.relevant)): query for query in truth.queries if query.set == "crop 50 %"
    }
    assert (
        sources["photos/twin.png"].ignore == {"photos/picture 0.png"}
        and not sources["photos/picture 1.png"].ignore
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
        truth, failed = make_synthetic_queries(index, tmp_path / "probes", sample=7)
        assert {Path(error.name).name: error.reason.split()[0] for error in failed} == {
            "picture 1.png": "there",
            "picture 2.png": "has",
        }
        assert len({query.group for query in truth.queries}) == 5
        shutil.rmtree(tmp_path / "photos")
        with pytest.raises(EvaluationError, match="no picture to make queries of"):
            make_synthetic_queries(index, tmp_path / "probes")


def test_scores_come_back_and_are_compared(folder: Path, index: ImageIndex, tmp_path: Path) -> None:
    truth = GroundTruth(
        [crop_of(folder, number, f"crop {number}.png") for number in range(1, 6)], str(folder)
    )
    good = evaluate(index, truth)
    bad = score(truth, {"crop 1.png": []})
    for name, evaluation in (("good", good), ("bad", bad)):
        save_scores(tmp_path / name, evaluation, set_scores(evaluation), {"index": "i"})
    read = read_scores(tmp_path / "good")
    assert read.values["crop 1.png"] == pytest.approx(good.outcomes[0].values, abs=1e-6)
    contrasts = {one.measure: one for one in compared(read, read_scores(tmp_path / "bad"))}
    # five groups that all got worse: 2 of 2^5 sign patterns are as extreme, so it may still be
    # chance
    assert contrasts["AP"].paired_test.difference.mean == -1 and contrasts["AP"].p == pytest.approx(
        2 / 32, abs=0.01
    )
    assert not contrasts["AP"].significant and "Verified" not in contrasts
    same = compared(read, read)
    assert all(one.p == 1 and one.paired_test.difference.mean == 0 for one in same)
    (tmp_path / "other").write_text("[]")
    with pytest.raises(EvaluationError, match="holds no scores"):
        read_scores(tmp_path / "other")
    with pytest.raises(EvaluationError, match="no query in common"):
        compared(read, replace(read, sets={}))


def test_revisitop_is_scored_and_shown_by_its_own_measures(tmp_path: Path) -> None:
    lists = {"bbx": [0, 0, 9, 9], "easy": [0], "hard": [2], "junk": [1]}
    (tmp_path / "gnd.json").write_text(
        json.dumps({"imlist": ["a", "b", "c"], "qimlist": ["q"], "gnd": [lists]})
    )
    truth = read_revisitop(tmp_path / "gnd.json")
    evaluation = score(
        truth,
        {
            key: ["q.jpg", "b.jpg", "c.jpg", "x.jpg", "a.jpg"]
            for key in ("easy/q", "medium/q", "hard/q")
        },
    )
    # the query and junk go first: x, a at easy; c, x, a at medium; c, x at hard
    means = {line.set: line.means["AP(revisitop)"].mean for line in set_scores(evaluation)}
    assert means == pytest.approx(
        {"easy": (0 + 1 / 2) / 2, "medium": (1 + (1 / 2 + 2 / 3) / 2) / 2, "hard": 1.0}
    )
    heading, *lines = scores_text(evaluation, set_scores(evaluation)).splitlines()
    assert heading.split() == [
        "set",
        "queries",
        "mAP(revisitop)",
        "P(revisitop)@1",
        "P(revisitop)@5",
        "P(revisitop)@10",
    ]
    assert [line.split()[:3] for line in lines[:3]] == [
        ["easy", "1", ".250"],
        ["medium", "1", ".792"],
        ["hard", "1", "1.000"],
    ]


def test_settings_differ_in_one_knob_each() -> None:
    spec, options = FeatureSpec(), SearchOptions()
    first, *others = settings_around(spec, options)
    assert first.label == PRESENT and (first.spec, first.options) == (spec, options)
    for setting in others:
        changed = [
            (a, b)
            for a, b in zip(vars(spec).values(), vars(setting.spec).values(), strict=True)
            if a != b
        ]
        changed += [
            (a, b)
            for a, b in zip(vars(options).values(), vars(setting.options).values(), strict=True)
            if a != b
        ]
        assert (
            len(changed) == 1
            and setting.label.startswith("--")
            and str(changed[0][1]) in setting.label
        )
    assert len({setting.label for setting in others}) == len(others) == 3 + 3 + 1 + 3 + 3 + 1


def trial(label: str, found: int, seconds: float, size: float) -> Trial:
    """A setting that finds the first so many percent of 400 queries."""
    values = {str(number): float(number < 4 * found) for number in range(400)}
    return Trial(
        label,
        values,
        {query: query for query in values},
        seconds,
        size,
        Estimate(found / 100, None, None),
    )


def test_the_recommendation_follows_its_rule() -> None:
    present = trial(PRESENT, 90, 1.0, 1000)
    # cheaper and as good: taken; cheaper still, but surely worse or perhaps worse: not
    choice, advice = recommended(
        [
            present,
            trial("half", 90, 0.5, 1000),
            trial("worse", 70, 0.1, 100),
            trial("perhaps", 88, 0.4, 1000),
        ]
    )
    assert choice.label == "half" and advice.startswith(
        "Take half: it finds surely about as much (0.900 first, against 0.900 now"
    )
    assert "0.50 times the time and 1.00 times the bytes" in advice
    # more by chance is no reason; hardly cheaper is none either
    assert (
        recommended(
            [
                present,
                replace(
                    present,
                    label="lucky",
                    values={**present.values, "397": 1.0, "398": 1.0, "399": 1.0},
                    seconds=3.0,
                ),
                trial("hardly", 90, 0.95, 950),
            ]
        )[0]
        is present
    )
    # surely more is one, even if it costs more
    choice, advice = recommended([present, trial("better", 100, 2.0, 2000)])
    assert choice.label == "better" and "finds surely more" in advice
    # and what costs a tenth less than that, and finds as much, a better one
    assert (
        recommended([present, trial("better", 100, 2.0, 2000), trial("cheaper", 100, 1.2, 1200)])[
            0
        ].label
        == "cheaper"
    )


def test_a_little_more_is_told_but_not_taken_if_it_costs_more() -> None:
    queries = [str(number) for number in range(2000)]
    groups = {query: query for query in queries}
    present = Trial(
        PRESENT,
        {query: float(query not in queries[:16]) for query in queries},
        groups,
        1.0,
        1000,
        Estimate(0.992, None, None),
    )
    better = Trial(
        "better", dict.fromkeys(queries, 1.0), groups, 3.0, 1000, Estimate(1.0, None, None)
    )
    choice, advice = recommended([present, better])
    assert (
        choice is present
        and "better finds surely more, but surely by less than 0.02, and costs more" in advice
    )


def test_settings_are_compared_on_the_queries_that_both_have() -> None:
    present, half = trial(PRESENT, 90, 1.0, 1000), trial("half", 90, 0.5, 1000)
    # the first query failed at one setting, the last at the other; the rest must not be shifted
    # against one another
    present.values.pop("0")
    half.values.pop("399")
    first, second, groups = shared(present, half)
    assert first == second and groups == [str(number) for number in range(1, 399)]
    assert recommended([present, half])[0] is half
    with pytest.raises(EvaluationError, match="no query could be used with both"):
        shared(present, replace(half, values={}))


def test_a_sweep_of_queries_that_cannot_be_used_says_so(
    folder: Path, index: ImageIndex, tmp_path: Path
) -> None:
    gone = replace(crop_of(folder, 1, "crop 1.png"), path=str(folder / "gone.png"))
    with pytest.raises(
        EvaluationError,
        match=r"no query with answers that can be used: .*gone.png: there is no such file",
    ):
        sweep(index, GroundTruth([gone], str(folder)), SearchOptions(), tmp_path, among=2)


def test_a_table_of_probes_is_ground_truth_for_others(
    folder: Path, index: ImageIndex, tmp_path: Path
) -> None:
    truth, _ = make_synthetic_queries(index, tmp_path, sample=1)
    write_queries(tmp_path / "queries.tsv", truth)
    read = read_queries(tmp_path / "queries.tsv", folder)
    for one, other in zip(truth.queries, read.queries, strict=True):
        assert (one.id, one.set, one.relevant) == (other.id, other.set, other.relevant)
        assert np.allclose(np.array(one.outline), np.array(other.outline), atol=0.006)
