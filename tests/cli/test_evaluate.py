"""`bovw evaluate` as its users run it."""

from __future__ import annotations

import json
import sys
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
        pixels = textured(number, 320, 240)
        cv2.imwrite(str(folder / "photos" / f"bild {number}.png"), pixels)
        cv2.imwrite(str(folder / f"crop {number}.png"), crop_query(pixels, 60, 40, 150, 120)[0])
        lines.append(f"crops\tcrop {number}.png\tphotos/bild {number}.png")
    lines.append("crops\tgone.png\tphotos/bild 0.png")
    (folder / "queries.tsv").write_text("\n".join(lines) + "\n")
    assert run("index", "photos", "--jobs", "1", cwd=folder).returncode == 0
    return folder


@pytest.mark.slow
def test_self_needs_nothing_but_the_index(folder: Path, tmp_path: Path) -> None:
    scores, page, kept = tmp_path / "scores.json", tmp_path / "page.html", tmp_path / "kept"
    outputs: list[str | Path] = ["--save", scores, "--report", page, "--keep", kept]
    done = run("evaluate", "self", "--sample", "2", "--jobs", "1", *outputs, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:5] == ["set", "queries", "Success@1", "Success@10", "mAP"]
    assert lines[1][:4] == ["crop", "50", "%", "2"]
    assert next(line for line in lines if line[:1] == ["mirrored"])[1] == "2"
    saved = json.loads(scores.read_text())
    assert saved["index"]["images"] == 4 and len(saved["queries"]) == 2 * 25
    assert saved["options"] == {
        "k": 1000,
        "crop": None,  # by the outline of each
        "scoring": "hamming",
        "verify": 100,
        "words": 4,
        "mirror": True,
        "instances": 1,
        "false_alarms": 0.01,
        "thorough": "never",
        "expand": False,
        "sisters": False,
    }
    assert saved["sets"][0]["means"]["Success@1"].keys() == {"mean", "low", "high"}
    content = page.read_text()
    HTMLParser().feed(content)
    assert content.count("<svg role") == 4
    assert "<script" not in content and "http-equiv" in content
    again = tmp_path / "again.json"
    table: list[str | Path] = [kept / "queries.tsv", "--images", ".", "--save", again]
    assert run("evaluate", "truth", *table, cwd=folder).returncode == 0
    compared = run("evaluate", "compare", scores, again, cwd=folder)
    assert compared.returncode == 0
    last = "No difference here means anything: each may be chance.\n"
    assert compared.stdout.endswith(last)


@pytest.mark.slow
def test_negatives_have_no_answers(folder: Path, tmp_path: Path) -> None:
    new, known = tmp_path / "new.png", folder / "photos" / "bild 1.png"
    cv2.imwrite(str(new), textured(50, 320, 240))
    asked: list[str | Path] = ["--sample", "2", "--negatives", new, "--negatives", known]
    scores = tmp_path / "scores.json"
    done = run("evaluate", "self", *asked, "--depth", "3", "--save", scores, cwd=folder)
    reason = "bild 1.png: is in the index, so it is no negative\n"
    assert done.returncode == 1 and done.stderr.endswith(reason) and done.stderr.count("\n") == 1
    rows = [row for row in json.loads(scores.read_text())["queries"] if row["set"] == "negatives"]
    assert [row["values"].keys() for row in rows] == [{"FalseAlarm"}] * 25


@pytest.mark.slow
def test_queries_give_a_run_that_others_score_alike(folder: Path, tmp_path: Path) -> None:
    ranked, qrels, scores = tmp_path / "run.trec", tmp_path / "qrels", tmp_path / "scores.json"
    outputs: list[str | Path] = ["--run", ranked, "--save-qrels", qrels, "--save", scores]
    done = run("evaluate", "truth", "queries.tsv", "--crop", *outputs, cwd=folder)
    assert done.returncode == 1 and "gone.png: there is no such file" in done.stderr
    saved = json.loads(scores.read_text())
    assert saved["options"]["crop"] is True
    judgements = ir_measures.read_trec_qrels(str(qrels))
    ranking = ir_measures.read_trec_run(str(ranked))
    found = ir_measures.iter_calc([AP], judgements, ranking)
    theirs = {metric.query_id: metric.value for metric in found}
    ours = {row["query"].replace(" ", "%20"): row["values"]["AP"] for row in saved["queries"]}
    # the query that could not be read found nothing
    assert theirs == pytest.approx({**ours, "gone.png": 0.0})
    scored = run("evaluate", "run", ranked, "--truth", "queries.tsv", cwd=folder)
    (_, line, *_) = scored.stdout.splitlines()
    assert scored.returncode == 0 and line.split()[:2] == ["crops", "5"]
    cut = tmp_path / "cut.json"
    shallow: list[str | Path] = ["--truth", "queries.tsv", "--depth", "1", "--save", cut]
    assert run("evaluate", "run", ranked, *shallow, cwd=folder).returncode == 0
    assert max(len(row["first"]) for row in json.loads(cut.read_text())["queries"]) == 1
    (folder / "qrels").write_text(qrels.read_text())
    form = ["--format", "qrels"]
    judged = run("evaluate", "run", ranked, "--truth", "qrels", *form, cwd=folder)
    assert judged.stdout.splitlines()[1].split()[2:] == line.split()[2:]
    searched = run("evaluate", "truth", "qrels", *form, "--crop", cwd=folder)
    assert searched.stdout.splitlines()[1].split()[1] == "4"


@pytest.mark.slow
def test_queries_have_limits(folder: Path) -> None:
    done = run("evaluate", "truth", "queries.tsv", "--limit", "pixels=100", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.count("is too large: 150 x 120 pixels, more than 100") == 4


@pytest.mark.slow
def test_a_sweep_ends_in_a_recommendation(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "queries.tsv").read_text().splitlines()
    (folder / "two.tsv").write_text(
        "\n".join([*lines[:2], lines[2] + ",photos/absent.png", lines[-1]]) + "\n"
    )
    outputs: list[str | Path] = ["--save", tmp_path / "s.json", "--report", tmp_path / "s.html"]
    few = ["--among", "2", "--jobs", "1"]
    done = run("evaluate", "sweep", "two.tsv", *few, *outputs, cwd=folder)
    warning, problem = done.stderr.splitlines()
    missed = "1 relevant images are not in the index and count as missed, such as photos/absent.png"
    assert missed in warning
    assert done.returncode == 1 and problem.endswith("gone.png: there is no such file")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 queries among 2 images")
    assert lines[3].startswith("present settings")
    assert lines[-1].startswith(("Take --", "Keep the present settings"))
    saved = json.loads((tmp_path / "s.json").read_text())
    trials = {trial["label"]: trial for trial in saved["trials"]}
    present = trials["present settings"]["bytes"]
    assert trials["--features orb"]["bytes"] != present == trials["--words 8"]["bytes"]
    sizes = [trial for trial in trials.values() if trial["bytes"] != present]
    assert (tmp_path / "s.html").read_text().count("<circle") == len(trials) + 1 + len(sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["slef"], 2, "slef"),
        (["truth"], 2, "FILE"),
        (["run", "x"], 2, "--truth"),
        (["truth", "queries.tsv", "--keep", "x"], 2, "--keep"),
        (["truth", "queries.tsv", "--format", "xml"], 2, "qrels"),
        (["compare", "a", "b", "--images", "x"], 2, "--images"),
        (["run", "x", "--truth", "queries.tsv", "--words", "4"], 2, "--words"),
        (["self", "--among", "9"], 2, "--among"),
        (["sweep", "two.tsv", "--sample", "9"], 2, "--sample: no queries are made where there is"),
        (["sweep", "--images", "x"], 2, "--format, --images: say what of a ground truth"),
        (["self", "--false-alarms", "2"], 2, "false_alarms: 2.0 is not above 0"),
        (["truth", "absent.tsv"], 1, "absent.tsv: cannot be read"),
        (["truth", "queries.tsv", "--images", "/"], 1, "holds none of the 4 relevant images"),
        (["compare", "queries.tsv", "queries.tsv"], 1, "holds no scores that `bovw evaluate"),
    ],
)
def test_mistakes_are_told_in_a_line(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run("evaluate", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_alone_it_says_what_it_can_do(folder: Path) -> None:
    done = run("evaluate", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[0] for line in done.stdout.rpartition("Commands:\n")[2].splitlines()]
    assert names == ["self", "truth", "run", "sweep", "compare", "labels", "modes", "cifar"]


@pytest.mark.slow
def test_without_the_library_the_cure_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ir_measures.py").write_text("raise ImportError('no')")
    path = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"}
    done = run("evaluate", "self", "--sample", "1", cwd=folder, env=path)
    cure = "bovw: error: ir-measures is not installed: `pip install"
    assert done.returncode == 1 and done.stderr.startswith(cure)
