"""What it costs to have bovw at all: processor time to start, and megabytes on disk, each with its
bound.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
# What is started, and milliseconds of processor time that it may take beyond the start of Python
# itself, on the machine of docs/benchmarks.md.
STARTS: dict[str, tuple[list[str], int]] = {
    "import bovw": (["-c", "import bovw"], 50),
    "bovw --help": (["-m", "bovw", "--help"], 400),
    "from bovw import ImageIndex": (["-c", "from bovw import ImageIndex"], 900),
}
# Megabytes of the wheel's files, and of all that an installation without extras has.
OWN_MB, BASE_MB = 20, 650


def children_ms() -> float:
    """Processor time of all ended child processes, in milliseconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def start_ms(arguments: list[str], runs: int) -> float:
    """Processor time of a start of Python in milliseconds: the least of some runs, since others on
    the machine can only add to it.
    """
    found = []
    for _ in range(runs):
        before = children_ms()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        found.append(children_ms() - before)
    return min(found)


def base_names() -> list[str]:
    """The distributions that an installation of bovw without extras has, itself first."""
    names = ["bovw"]
    for name in names:
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if wanted and needed.name.lower() not in names:
                names.append(needed.name.lower())
    return names


def megabytes(name: str) -> float:
    """The files of a distribution, without compiled modules; those of bovw are in the work tree."""
    if name == "bovw":
        files = [*(ROOT / "bovw").rglob("*"), *(ROOT / "models").rglob("*")]
    else:
        files = [Path(str(file.locate())) for file in distribution(name).files or []]
    return (
        sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc") / 1e6
    )


def run(runs: int) -> dict[str, Any]:
    """Measure, print a table and return the figures."""
    sizes = {name: megabytes(name) for name in base_names()}
    python = start_ms(["-c", "pass"], runs)
    rows = [
        (f"{name}, CPU ms", round(start_ms(arguments, runs) - python), bound)
        for name, (arguments, bound) in STARTS.items()
    ]
    rows.append(("files of bovw and its models, MB", round(sizes["bovw"]), OWN_MB))
    rows.append(
        (f"all {len(sizes)} packages without extras, MB", round(sum(sizes.values())), BASE_MB)
    )
    print(f"Python itself starts in {python:.0f} ms of processor time; beyond that")
    print(f"{'what it costs to have bovw':40s} {'measured':>8s} {'bound':>6s}")
    for name, value, bound in rows:
        print(f"{name:40s} {value:8d} {bound:6d}{'' if value <= bound else '  TOO MUCH'}")
    largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    print("largest, MB: " + ", ".join(f"{name} {sizes[name]:.0f}" for name in largest))
    return {
        "rows": {name: {"measured": value, "bound": bound} for name, value, bound in rows},
        "mb": {name: round(size, 1) for name, size in sizes.items()},
    }
