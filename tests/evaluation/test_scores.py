"""Scores of sets: kept, compared, and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bovw import ImageIndex
from bovw.errors import EvaluationError
from bovw.evaluation.run import evaluate, score
from bovw.evaluation.saved import compared, read_scores, save_scores
from bovw.evaluation.scorecard import scores_text, worst
from bovw.evaluation.scores import Evaluation, Outcome
from bovw.evaluation.truth import GroundTruth, Query, read_revisitop
from tests.helpers.queries import crop_of


def test_a_query_that_found_nothing_is_a_failure_to_show() -> None:
    query = Query("q", "s", "q", frozenset(["a.jpg"]))
    nothing = Outcome(query, {"Success@1": 0.0, "RR": 0.0, "FalseAlarm": 0.0}, [])
    assert worst(Evaluation([nothing], "")) == [nothing]
    # of a run that was read nobody knows what the system saw
    assert worst(Evaluation([Outcome(query, {"Success@1": 0.0, "RR": 0.0}, [])], "")) == []


@pytest.mark.slow
def test_scores_come_back_and_are_compared(folder: Path, index: ImageIndex, tmp_path: Path) -> None:
    truth = GroundTruth(
        [crop_of(folder, number, f"crop {number}.png") for number in range(1, 6)], str(folder)
    )
    good = evaluate(index, truth)
    bad = score(truth, {"crop 1.png": []})
    for name, evaluation in (("good", good), ("bad", bad)):
        save_scores(tmp_path / name, evaluation, evaluation.by_set(), {"index": "i"})
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
    means = {line.set: line.means["AP(revisitop)"].mean for line in evaluation.by_set()}
    assert means == pytest.approx(
        {"easy": (0 + 1 / 2) / 2, "medium": (1 + (1 / 2 + 2 / 3) / 2) / 2, "hard": 1.0}
    )
    heading, *lines = scores_text(evaluation, evaluation.by_set()).splitlines()
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
