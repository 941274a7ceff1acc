"""Scores of sets: kept, compared, and shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bovw import ImageIndex, Match
from bovw.errors import EvaluationError
from bovw.evaluation.run import evaluate, score
from bovw.evaluation.saved import compared, read_scores, save_scores
from bovw.evaluation.scorecard import scores_text, worst, write_scorecard
from bovw.evaluation.scores import Evaluation, Outcome
from bovw.evaluation.truth import GroundTruth, Query, read_revisitop
from tests.helpers.queries import crop_of


def test_a_query_that_found_nothing_is_a_failure_to_show() -> None:
    query = Query("q", "s", "q", frozenset(["a.jpg"]))
    nothing = Outcome(query, {"Success@1": 0.0, "RR": 0.0, "FalseAlarm": 0.0}, [])
    assert worst(Evaluation([nothing], "")) == [nothing]
    # of a run that was read nobody knows what the system saw
    assert worst(Evaluation([Outcome(query, {"Success@1": 0.0, "RR": 0.0}, [])], "")) == []


def test_a_page_begins_with_the_summary_and_the_failures(tmp_path: Path) -> None:
    truth = GroundTruth(
        [
            Query("<q>", "one right", "a", frozenset(["a.jpg"])),
            Query("r", "three right", "b", frozenset(["a.jpg", "b.jpg", "c.jpg"])),
        ],
        str(tmp_path),
    )
    run = score(truth, {"<q>": ["x.jpg", "a.jpg"], "r": ["a.jpg", "b.jpg", "c.jpg"]})
    wrong = Match("x.jpg", 1.0, str(tmp_path / "x.jpg"), inliers=9, verified=True)
    false_alarm = {**run.outcomes[0].values, "FalseAlarm": 1.0}
    late = replace(run.outcomes[0], values=false_alarm, matches=[wrong])
    evaluation = replace(run, outcomes=[late, run.outcomes[1]])
    one, three, *_ = sets = evaluation.by_set()
    # with one right image, P@3 cannot be more than 1/3
    assert one.best["P@3"] == three.best["R@1"] == pytest.approx(1 / 3)
    assert "P@1" not in one.best and "AP" not in one.best
    assert ".333 (.01-.33), at most .333" in scores_text(evaluation, sets)
    write_scorecard(tmp_path / "page.html", "<t>", evaluation, sets)
    page = (tmp_path / "page.html").read_text()
    headings = re.findall("<h2>(.*)</h2>", page)
    assert headings == ["Summary", "Failures", "Scores", "Plots", "What the measures are"]
    assert "1 of 2 (50.0 %)" in page and "1 of 2 went wrong; these are the worst 1," in page
    assert "✗ 1. verified, a wrong image" in page and "<h1>&lt;t&gt;</h1>" in page
    assert "one right: &lt;q&gt;" in page and "false alarm, found at rank 2" in page


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
