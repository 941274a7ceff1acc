"""The benchmarks run, here on few pictures, and say what they promise to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_all_parts_run_and_report(tmp_path: Path) -> None:
    done = benchmarks(
        "smoke", "--work", str(tmp_path / "work"), "--json", str(tmp_path / "report.json")
    )
    assert done.returncode == 0, done.stderr
    reports = {
        part: json.loads((tmp_path / f"report-{part}.json").read_text())
        for part in ("accuracy", "reliability", "scale", "compare", "costs")
    }
    for part, report in reports.items():
        assert report["benchmark"] == part
        assert report["machine"]["cores"] == os.cpu_count()
        assert {"bovw", "Python", "numpy", "opencv-contrib-python"} <= set(report["versions"])
        assert "data/" in report["data"]
    accuracy = {line["set"]: line for line in reports["accuracy"]["figures"]}
    assert accuracy["crop25"]["verified"][0] > 0.9
    negatives = {line["index"]: line for line in reports["reliability"]["figures"]["negatives"]}
    assert (
        negatives["all"]["queries"]
        == negatives["others"]["queries"] + negatives["images"]["queries"]
        > 20
    )
    assert all(
        line["verified"]["0.0001"] <= line["verified"]["0.1"] <= 0.1 * line["queries"]
        for line in negatives.values()
    )
    assert all(line["right"]["0.01"] > 0.8 for line in reports["reliability"]["figures"]["recall"])
    assert [row["images"] for row in reports["scale"]["figures"]] == [100, 500]
    assert all(
        row["crop queries, as by default"]["recall"] == 1 for row in reports["scale"]["figures"]
    )
    systems = {system["name"]: system for system in reports["compare"]["figures"]["systems"]}
    assert not any(
        systems[name]["skipped"]
        for name in (
            "bovw",
            "bovw-tfidf",
            "sift-exact",
            "sift-flann",
            "orb",
            "opencv-bow",
            "colour",
        )
    )
    assert reports["costs"]["figures"]["build_ms"]["encode"] > 0


def test_without_the_development_pictures_there_is_nothing_to_do(tmp_path: Path) -> None:
    done = benchmarks("accuracy", "--work", str(tmp_path / "work"), data=str(tmp_path))
    assert done.returncode == 0 and "nothing to do" in done.stdout
