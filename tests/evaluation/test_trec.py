"""TREC files: other programs read what we write as we meant it, and we read what they write as
trec_eval would.
"""

from __future__ import annotations

from pathlib import Path

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR

from bovw.errors import EvaluationError, OutputError
from bovw.evaluation.metrics import measured
from bovw.evaluation.trec import (
    escaped_name,
    read_qrels,
    read_run,
    unescaped_name,
    write_qrels,
    write_run,
)

AWKWARD = [
    "two words.jpg",
    "tab\tand\nline.jpg",
    "100%.jpg",
    "%20.jpg",
    "é\u00a0\u2003.jpg",
    "\udcff.jpg",
    "a/b/c.jpg",
    "#;\"'",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_becomes_one_field_and_comes_back(name: str) -> None:
    assert len(escaped_name(name).split()) == 1 and escaped_name(name).isascii()
    assert unescaped_name(escaped_name(name)) == name


@pytest.mark.slow
@given(st.text(min_size=1))
def test_any_text_comes_back(name: str) -> None:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # no file can have this name
    if name == name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"):
        assert unescaped_name(escaped_name(name)) == name


def test_a_run_keeps_its_order_here_and_in_other_programs(tmp_path: Path) -> None:
    rankings = {"q 1": AWKWARD, "q2": [f"{number}.jpg" for number in range(3000)]}
    write_run(tmp_path / "run.trec", rankings)
    assert read_run(tmp_path / "run.trec") == rankings
    relevant = {"q 1": {AWKWARD[0], AWKWARD[5]}, "q2": {"7.jpg", "2999.jpg", "absent.jpg"}}
    write_qrels(
        tmp_path / "qrels", {query: dict.fromkeys(images, 1) for query, images in relevant.items()}
    )
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels")))
    ours = measured(rankings, relevant)
    for metric in ir_measures.iter_calc(
        [AP, RR], qrels, list(ir_measures.read_trec_run(str(tmp_path / "run.trec")))
    ):
        assert metric.value == pytest.approx(
            ours[unescaped_name(metric.query_id)][str(metric.measure)]
        )


def test_a_run_of_others_is_ordered_as_trec_eval_does(tmp_path: Path) -> None:
    # equal scores go by name, descending; the third differs from the second beyond 32 bits only;
    # ranks lie
    lines = ["q Q0 b 1 0.5 x", "q Q0 d 2 0.50000000001 x", "q Q0 c 3 0.5 x", "q Q0 a 9 2 x"]
    (tmp_path / "run").write_text("\n".join(lines) + "\n")
    assert read_run(tmp_path / "run") == {"q": ["a", "d", "c", "b"]}
    for image, rank in (("a", 1), ("d", 2), ("c", 3), ("b", 4)):
        run = list(ir_measures.read_trec_run(str(tmp_path / "run")))
        assert ir_measures.calc_aggregate([RR], {"q": {image: 1}}, run)[RR] == pytest.approx(
            1 / rank
        )


def test_qrels_come_back(tmp_path: Path) -> None:
    judgements = {"q 1": {"a b.jpg": 1, "%.jpg": -1}, "q2": {"c.jpg": 0}}
    write_qrels(tmp_path / "qrels", judgements)
    assert read_qrels(tmp_path / "qrels") == judgements


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q Q0 a 1 2 x\nq Q0 b 1 x\n", "line 2: has 5 fields instead of 6"),
        ("q Q0 a 1 much x\n", "line 1: the score 'much' is no number"),
        ("q Q0 a 1 nan x\n", "line 1: the score 'nan' is not finite"),
        ("q Q0 a 1 1e40 x\n", "line 1: the score '1e40' is not finite"),
        ("q Q0 %61 1 2 x\nq Q0 a 2 1 x\n", "line 2: a is there twice for query q"),
        ("\nq Q0 a 1 2 x\nq Q0 a 2 1 x\n", "line 3: a is there twice for query q"),
    ],
)
def test_a_bad_run_is_told_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q 0 a\n", "line 1: has 3 fields instead of 4"),
        ("q 0 a 1\nq 0 a 0\n", "line 2: a is judged twice"),
        ("q 0 a yes\n", "line 1: the relevance"),
    ],
)
def test_bad_qrels_are_told_by_their_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "qrels").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_qrels(tmp_path / "qrels")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match="is no text"):
        read_run(tmp_path / "binary")
    with pytest.raises(EvaluationError, match="absent: cannot be read"):
        read_qrels(tmp_path / "absent")
    with pytest.raises(OutputError, match="cannot be written"):
        write_run(tmp_path / "absent" / "run", {})
