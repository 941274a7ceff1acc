"""What every benchmark says of itself: the machine, the versions, the data."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "opencv-contrib-python",
    "numpy",
    "scipy",
    "scikit-learn",
    "ImageHash",
    "pdqhash",
    "pycolmap",
    "pimmi",
    "faiss-cpu",
    "imagededup",
)


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def circumstances(part: str, data: str) -> dict[str, Any]:
    """What a figure depends on beside the code."""
    from bovw import __version__

    versions = {"bovw": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "benchmark": part,
        "command": " ".join(["python benchmarks", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(memory / 1e9, 1),
            "system": platform.platform(),
        },
        "versions": versions,
        "data": data,
    }


def heading(facts: dict[str, Any]) -> str:
    """The same for people."""
    machine = facts["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"{facts['benchmark']}: {facts['data']}\n"
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gb']} GB, "
        f"{machine['system']}; {facts['date']}\n{versions}"
    )


def save(file: Path, facts: dict[str, Any], figures: object) -> None:
    """Write a report as JSON."""
    file.write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n")
