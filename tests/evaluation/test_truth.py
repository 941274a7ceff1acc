"""Ground truth: read as it was written, one name a picture, and bad files told by their line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bovw.errors import EvaluationError
from bovw.evaluation.trec import write_qrels
from bovw.evaluation.truth import (
    GroundTruth,
    PathNames,
    Query,
    read_qrels_truth,
    read_queries,
    read_revisitop,
    write_queries,
)

HEADING = "set\tquery\trelevant\tignore\toutline\n"


def table(folder: Path, *lines: str) -> Path:
    path = folder / "queries.tsv"
    path.write_text(HEADING + "".join(line + "\n" for line in lines))
    return path


def test_a_table_is_read_as_documented(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "crops\tq/1.jpg\ta.jpg,./b/../b/c.jpg\td.jpg\t0,0 9.5,0 9.5,7 0,7",
        "views\tq/2.jpg\ta.jpg",
    )
    truth = read_queries(path)
    first, second = truth.queries
    assert truth.folder == str(tmp_path) and first.path == str(tmp_path / "q" / "1.jpg")
    assert first.set == "crops"
    assert first.relevant == {"a.jpg", "b/c.jpg"} and first.ignore == {"d.jpg", "q/1.jpg"}
    assert first.outline == ((0, 0), (9.5, 0), (9.5, 7), (0, 7)) and second.outline is None
    # both seek a.jpg, so they are not independent
    assert first.group == second.group
    assert truth.judgements()["q/1.jpg"] == {"a.jpg": 1, "b/c.jpg": 1, "d.jpg": -1, "q/1.jpg": -1}


def test_a_query_is_no_answer_to_itself(tmp_path: Path) -> None:
    (query,) = read_queries(table(tmp_path, "s\tq.jpg\ta.jpg,./q.jpg")).queries
    assert query.relevant == {"a.jpg"} and query.ignore == {"q.jpg"} and query.own == "q.jpg"
    write_qrels(tmp_path / "qrels", {"q.jpg": {"a.jpg": 1, "q.jpg": 1}})
    assert read_qrels_truth(tmp_path / "qrels").queries[0].relevant == {"a.jpg"}


@pytest.mark.parametrize("bad", [{"bbx": [0, 0, float("inf"), 9]}, {"bbx": 7}, []])
def test_bad_lists_of_revisitop_are_told(tmp_path: Path, bad: object) -> None:
    (tmp_path / "gnd.json").write_text(
        json.dumps({"imlist": ["a"], "qimlist": ["q"], "gnd": [bad]})
    )
    with pytest.raises(EvaluationError, match="is not revisitop's ground truth"):
        read_revisitop(tmp_path / "gnd.json")


def test_what_other_programs_write_is_read_or_told(tmp_path: Path) -> None:
    (tmp_path / "queries.tsv").write_text("query\trelevant\nq.jpg\ta.jpg\n", encoding="utf-8-sig")
    assert read_queries(tmp_path / "queries.tsv").queries[0].id == "q.jpg"
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(EvaluationError, match="is not revisitop's ground truth"):
        read_revisitop(tmp_path / "deep.json")


def test_views_of_one_object_are_one_group(tmp_path: Path) -> None:
    truth = read_queries(
        table(tmp_path, "o\t1.jpg\t2.jpg,3.jpg", "o\t2.jpg\t1.jpg,3.jpg", "o\t7.jpg\t8.jpg")
    )
    assert truth.queries[0].group == truth.queries[1].group != truth.queries[2].group


def test_answers_may_lie_elsewhere_and_behind_links(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "tables").mkdir()
    truth = read_queries(table(tmp_path / "tables", "s\tq.jpg\ta.jpg"), tmp_path / "link")
    assert truth.folder == str(tmp_path / "photos") and truth.queries[0].relevant == {"a.jpg"}
    named = PathNames(tmp_path / "photos")
    assert (
        named(str(tmp_path / "link" / "a.jpg")) == "a.jpg"
        and named(str(tmp_path / "b.jpg")) == "../b.jpg"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["s\tq.jpg\ta.jpg", "s\tq.jpg\tb.jpg"], "line 3: the query q.jpg is there already"),
        (["s\t\ta.jpg"], "line 2: names no query"),
        (["s\tq.jpg\ta.jpg\t\t0,0 1,1"], "line 2: the outline '0,0 1,1' is not four"),
        (["s\tq.jpg\ta.jpg\t\t0,0 1,nan 1,1 0,1"], "line 2: the outline"),
        (["s\tq.jpg\ta.jpg\t\t\tmore\tstill more"], "line 2: has more columns"),
        (["s\tq.jpg\ta\0/b.jpg"], "no picture has this name"),
        ([], "holds no queries"),
    ],
)
def test_bad_tables_are_told_by_their_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_queries(table(tmp_path, *lines))


def test_missing_columns_and_files(tmp_path: Path) -> None:
    (tmp_path / "other.tsv").write_text("query,relevant\n")
    with pytest.raises(EvaluationError, match="no column query and no column relevant"):
        read_queries(tmp_path / "other.tsv")
    with pytest.raises(EvaluationError, match=r"absent.tsv: cannot be read: No such file"):
        read_queries(tmp_path / "absent.tsv")


def test_a_table_comes_back(tmp_path: Path) -> None:
    corners = ((0.0, 0.0), (9.25, 0.0), (9.25, 7.0), (0.0, 7.0))
    query = Query(
        "q.png",
        "crop",
        str(tmp_path / "q.png"),
        frozenset(["a b.jpg", 'tab\t"x.jpg']),
        frozenset(["c.jpg"]),
        corners,
        (1, 2, 3, 4),
    )
    write_queries(tmp_path / "queries.tsv", GroundTruth([query], str(tmp_path)))
    (again,) = read_queries(tmp_path / "queries.tsv").queries
    assert (again.relevant, again.outline, again.box) == (query.relevant, corners, (1, 2, 3, 4))
    assert again.ignore == {"c.jpg", "q.png"}
    comma = GroundTruth([Query("q.png", "crop", "q.png", frozenset(["a,b.jpg"]))], str(tmp_path))
    with pytest.raises(EvaluationError, match=r"a,b.jpg has a comma"):
        write_queries(tmp_path / "queries.tsv", comma)


def test_qrels_name_pictures_and_what_to_ignore(tmp_path: Path) -> None:
    write_qrels(tmp_path / "qrels", {"my query.jpg": {"a b.jpg": 2, "c.jpg": 0, "d.jpg": -1}})
    (query,) = read_qrels_truth(tmp_path / "qrels").queries
    assert query.path == str(tmp_path / "my query.jpg")
    assert query.relevant == {"a b.jpg"} and query.ignore == {"d.jpg", "my query.jpg"}


def test_revisitop_gives_three_levels(tmp_path: Path) -> None:
    lists = {"bbx": [10.4, 20, 110, 220.6], "easy": [0], "hard": [1, 2], "junk": [3]}
    truth = {
        "imlist": ["a", "b", "c", "d"],
        "qimlist": ["q", "r"],
        "gnd": [lists, {**lists, "easy": []}],
    }
    (tmp_path / "gnd.json").write_text(json.dumps(truth))
    read = read_revisitop(tmp_path / "gnd.json")
    easy, medium, hard, *rest = read.queries
    assert (
        read.revisitop
        and easy.path == str(tmp_path / "jpg" / "q.jpg")
        and easy.box == (10, 20, 100, 201)
    )
    assert easy.relevant == {"a.jpg"} and easy.ignore == {"b.jpg", "c.jpg", "d.jpg", "q.jpg"}
    assert medium.relevant == {"a.jpg", "b.jpg", "c.jpg"} and medium.ignore == {"d.jpg", "q.jpg"}
    assert hard.relevant == {"b.jpg", "c.jpg"} and hard.ignore == {"a.jpg", "d.jpg", "q.jpg"}
    # the second has no answer that is easy, and is not asked there
    assert [query.set for query in rest] == ["medium", "hard"]
    (tmp_path / "gnd.json").write_text(json.dumps({**truth, "qimlist": ["q"]}))
    with pytest.raises(EvaluationError, match="is not revisitop's ground truth"):
        read_revisitop(tmp_path / "gnd.json")
