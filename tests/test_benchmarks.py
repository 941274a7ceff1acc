"""The benchmarks run, here on few pictures, and say what they promise to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1]


def benchmarks(*arguments: str, data: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        **({"BOVW_BENCH_DATA": data} if data else {}),
    }
    return subprocess.run(
        [sys.executable, str(HERE / "benchmarks"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )


def report_of(part: str, folder: Path) -> dict[str, Any]:
    """The report of a part of the benchmarks that ran on few pictures."""
    file = folder / "report.json"
    done = benchmarks(part, "--small", "--work", str(folder / "work"), "--json", str(file))
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(file.read_text())
    assert report["benchmark"] == part
    assert report["machine"]["cores"] == os.cpu_count()
    assert {"bovw", "Python", "numpy", "opencv-contrib-python"} <= set(report["versions"])
    assert "data/" in report["data"]
    return report


@pytest.mark.slow
def test_accuracy(tmp_path: Path) -> None:
    lines = {line["set"]: line for line in report_of("accuracy", tmp_path)["figures"]}
    assert lines["crop25"]["verified"][0] > 0.9


@pytest.mark.slow
@pytest.mark.benchmark
def test_reliability(tmp_path: Path) -> None:
    figures = report_of("reliability", tmp_path)["figures"]
    negatives = {line["index"]: line for line in figures["negatives"]}
    queries = {name: line["queries"] for name, line in negatives.items()}
    assert queries["all"] == queries["others"] + queries["images"] > 10
    for line in negatives.values():
        verified = line["verified"]
        assert verified["0.0001"] <= verified["0.1"] <= 0.1 * line["queries"]
    assert all(line["right"]["0.01"] > 0.8 for line in figures["recall"])


@pytest.mark.slow
@pytest.mark.benchmark
def test_scale(tmp_path: Path) -> None:
    rows = report_of("scale", tmp_path)["figures"]
    assert [row["images"] for row in rows] == [60, 200]
    assert all(row["crop queries, as by default"]["recall"] == 1 for row in rows)


@pytest.mark.slow
@pytest.mark.benchmark
def test_compare(tmp_path: Path) -> None:
    figures = report_of("compare", tmp_path)["figures"]
    skipped = {system["name"]: system["skipped"] for system in figures["systems"]}
    always = ("bovw", "bovw-tfidf", "sift-exact", "sift-flann", "orb", "opencv-bow", "colour")
    assert not any(skipped[name] for name in always)


@pytest.mark.slow
@pytest.mark.benchmark
def test_costs(tmp_path: Path) -> None:
    figures = report_of("costs", tmp_path)["figures"]
    assert figures["build_ms"]["encode"] > 0
    sizes = [row for name, row in figures["footprint"]["rows"].items() if name.endswith("MB")]
    assert len(sizes) == 2 and all(row["measured"] <= row["bound"] for row in sizes)


@pytest.mark.slow
@pytest.mark.benchmark
def test_serve(tmp_path: Path) -> None:
    figures = report_of("serve", tmp_path)["figures"]
    assert [line["failed"] for line in figures["clients"].values()] == [0, 0, 0]
    assert figures["overload"]["answered"] and figures["overload"]["refused"]
    assert figures["hostile"]["failed"] == 0


@pytest.mark.slow
def test_without_the_development_pictures_there_is_nothing_to_do(tmp_path: Path) -> None:
    done = benchmarks("accuracy", "--work", str(tmp_path / "work"), data=str(tmp_path))
    assert done.returncode == 0 and "nothing to do" in done.stdout


@pytest.mark.slow
@pytest.mark.benchmark
def test_inspection(tmp_path: Path) -> None:
    figures = report_of("inspection", tmp_path)["figures"]
    assert figures["references"] == 2 and figures["wall_ms"]["p99"] >= figures["wall_ms"]["median"]
    assert max(figures["memory_mb"]) - figures["memory_mb"][0] < 20


@pytest.mark.slow
@pytest.mark.benchmark
def test_vocabulary(tmp_path: Path) -> None:
    figures = report_of("vocabulary", tmp_path)["figures"]
    shipped, trained = "65,536 words, 4 a feature", "1,024 words, 4 a feature"
    few, many = figures["sizes"]
    assert few["images"] < many["images"]
    assert few[shipped]["postings"] < many[shipped]["postings"] < many[trained]["postings"]
    assert all(means["crop10"][0] == 1 for means in figures["recall"]["means"].values())


@pytest.mark.slow
@pytest.mark.benchmark
def test_cluster(tmp_path: Path) -> None:
    figures = report_of("cluster", tmp_path)["figures"]
    assert all(row["equal"] == row["queries"] == 4 for row in figures["searches"])
    assert max(figures["bytes"]["query"]) < 95_000
    assert [row["nodes"] for row in figures["nodes"]] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.benchmark
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root")
def test_faults(tmp_path: Path) -> None:
    rows = report_of("faults", tmp_path)["figures"]["faults"]
    assert len(rows) >= 7
    for row in rows:
        assert row["equal"] > 0 and row["other"] == 0, row


@pytest.mark.slow
@pytest.mark.benchmark
def test_duplicates(tmp_path: Path) -> None:
    figures = report_of("duplicates", tmp_path)["figures"]
    for name in ("default", "--thorough"):
        assert min(figures[name]["recall"].values()) >= 0.5 and figures[name]["wrong"] == 0
        assert figures["groups"][name]["wrong"] == 0 < figures["groups"][name]["groups"]
