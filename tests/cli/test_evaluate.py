"""`bovw evaluate` as its users run it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import ir_measures
import pytest
from ir_measures import AP

from tests.helpers.command import run
from tests.helpers.pictures import crop_query, textured


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with an index, and crops of them with a table."""
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "photos").mkdir()
    lines = ["set\tquery\trelevant"]
    for number in range(4):
        cv2.imwrite(str(folder / "photos" / f"bild {number}.png"), textured(number, 320, 240))
        cv2.imwrite(
            str(folder / f"crop {number}.png"),
            crop_query(textured(number, 320, 240), 60, 40, 150, 120)[0],
        )
        lines.append(f"crops\tcrop {number}.png\tphotos/bild {number}.png")
    (folder / "queries.tsv").write_text(
        "\n".join([*lines, "crops\tgone.png\tphotos/bild 0.png"]) + "\n"
    )
    assert run("index", "photos", "--jobs", "1", cwd=folder).returncode == 0
    return folder


@pytest.mark.slow
def test_self_needs_nothing_but_the_index(folder: Path, tmp_path: Path) -> None:
    outputs: list[str | Path] = [
        "--save",
        tmp_path / "scores.json",
        "--report",
        tmp_path / "page.html",
        "--keep",
        tmp_path / "kept",
    ]
    done = run("evaluate", "--self", "--sample", "2", "--jobs", "1", *outputs, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:5] == ["set", "queries", "Success@1", "Success@10", "mAP"] and lines[1][
        :4
    ] == ["crop", "50", "%", "2"]
    assert (
        next(line for line in done.stdout.splitlines() if line.startswith("mirrored")).split()[1]
        == "2"
    )
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (
        scores["index"]["images"] == 4
        and len(scores["queries"]) == 2 * 25
        and scores["options"]["words"] == 4
    )
    assert scores["options"]["crop"] is None  # by the outline of each
    assert scores["sets"][0]["means"]["Success@1"].keys() == {"mean", "low", "high"}
    page = (tmp_path / "page.html").read_text()
    HTMLParser().feed(page)
    assert page.count("<svg role") == 4 and "<script" not in page and "http-equiv" in page
    again = run(
        "evaluate",
        "--queries",
        tmp_path / "kept" / "queries.tsv",
        "--images",
        ".",
        "--save",
        tmp_path / "again.json",
        cwd=folder,
    )
    assert again.returncode == 0
    compared = run(
        "evaluate", "--compare", tmp_path / "scores.json", tmp_path / "again.json", cwd=folder
    )
    assert compared.returncode == 0 and compared.stdout.endswith(
        "No difference here means anything: each may be chance.\n"
    )


@pytest.mark.slow
def test_queries_give_a_run_that_others_score_alike(folder: Path, tmp_path: Path) -> None:
    outputs: list[str | Path] = [
        "--run",
        tmp_path / "run.trec",
        "--save-qrels",
        tmp_path / "qrels",
        "--save",
        tmp_path / "scores.json",
    ]
    done = run("evaluate", "--queries", "queries.tsv", "--crop", *outputs, cwd=folder)
    assert done.returncode == 1 and "gone.png: there is no such file" in done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["options"]["crop"] is True
    qrels, ranking = (
        ir_measures.read_trec_qrels(str(tmp_path / "qrels")),
        ir_measures.read_trec_run(str(tmp_path / "run.trec")),
    )
    theirs = {
        metric.query_id: metric.value for metric in ir_measures.iter_calc([AP], qrels, ranking)
    }
    ours = {row["query"].replace(" ", "%20"): row["values"]["AP"] for row in scores["queries"]}
    # the query that could not be read found nothing
    assert theirs == pytest.approx({**ours, "gone.png": 0.0})
    scored = run(
        "evaluate", "--queries", "queries.tsv", "--score", tmp_path / "run.trec", cwd=folder
    )
    assert scored.returncode == 0 and scored.stdout.splitlines()[1].split()[:2] == ["crops", "5"]
    cut: list[str | Path] = [
        "--score",
        tmp_path / "run.trec",
        "--depth",
        "1",
        "--save",
        tmp_path / "cut.json",
    ]
    assert run("evaluate", "--queries", "queries.tsv", *cut, cwd=folder).returncode == 0
    assert (
        max(len(row["first"]) for row in json.loads((tmp_path / "cut.json").read_text())["queries"])
        == 1
    )
    limited = run("evaluate", "--queries", "queries.tsv", "--limit", "pixels=100", cwd=folder)
    assert (
        limited.returncode == 1
        and limited.stderr.count("is too large: 150 x 120 pixels, more than 100") == 4
    )
    (folder / "qrels").write_text((tmp_path / "qrels").read_text())
    judged = run("evaluate", "--qrels", "qrels", "--score", tmp_path / "run.trec", cwd=folder)
    assert judged.stdout.splitlines()[1].split()[2:] == scored.stdout.splitlines()[1].split()[2:]


@pytest.mark.slow
def test_a_sweep_ends_in_a_recommendation(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "queries.tsv").read_text().splitlines()
    (folder / "two.tsv").write_text(
        "\n".join([*lines[:2], lines[2] + ",photos/absent.png", lines[-1]]) + "\n"
    )
    outputs: list[str | Path] = ["--save", tmp_path / "s.json", "--report", tmp_path / "s.html"]
    done = run(
        "evaluate",
        "--sweep",
        "--queries",
        "two.tsv",
        "--among",
        "2",
        "--jobs",
        "1",
        *outputs,
        cwd=folder,
    )
    warning, problem = done.stderr.splitlines()
    assert (
        "1 relevant images are not in the index and count as missed, such as photos/absent.png"
        in warning
    )
    assert done.returncode == 1 and problem.endswith("gone.png: there is no such file")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 queries among 2 images") and lines[3].startswith(
        "present settings"
    )
    assert lines[-1].startswith(("Take --", "Keep the present settings"))
    trials = {
        trial["label"]: trial for trial in json.loads((tmp_path / "s.json").read_text())["trials"]
    }
    assert (
        trials["--features orb"]["bytes"]
        != trials["present settings"]["bytes"]
        == trials["--words 8"]["bytes"]
    )
    sizes = [
        trial for trial in trials.values() if trial["bytes"] != trials["present settings"]["bytes"]
    ]
    assert (tmp_path / "s.html").read_text().count("<circle") == len(trials) + 1 + len(sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            [],
            2,
            "nothing to evaluate: give one of --self, --queries, --qrels, --revisitop, --compare",
        ),
        (["--self", "--queries", "queries.tsv"], 2, "--self and --queries: give one of"),
        (["--queries", "queries.tsv", "--keep", "x"], 2, "--keep: does not go with ground truth"),
        (["--sweep", "--compare", "a", "b"], 2, "--sweep: does not go with --compare"),
        (["--compare", "a", "b", "--images", "x"], 2, "--images: does not go with --compare"),
        (
            ["--queries", "queries.tsv", "--score", "x", "--words", "4"],
            2,
            "--words: does not go with --score",
        ),
        (["--self", "--among", "9"], 2, "--among: does not go with an evaluation without --sweep"),
        (["--self", "--false-alarms", "2"], 2, "false_alarms: 2.0 is not above 0"),
        (["--queries", "absent.tsv"], 1, "absent.tsv: cannot be read"),
        (["--queries", "queries.tsv", "--images", "/"], 1, "holds none of the 4 relevant images"),
    ],
)
def test_mistakes_are_told_in_a_line(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run("evaluate", *arguments, cwd=folder)
    assert (
        (done.returncode, done.stdout) == (code, "")
        and message in done.stderr
        and len(done.stderr.splitlines()) == 1
    )


@pytest.mark.slow
def test_without_the_library_the_cure_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ir_measures.py").write_text("raise ImportError('no')")
    path = f"{tmp_path}:{':'.join(__import__('sys').path)}"
    done = run("evaluate", "--self", "--sample", "1", cwd=folder, env={"PYTHONPATH": path})
    assert done.returncode == 1 and done.stderr.startswith(
        "bovw: error: ir-measures is not installed: `pip install"
    )
