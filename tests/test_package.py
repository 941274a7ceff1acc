"""What is shipped is what is said of it. `scripts/check-package` builds, installs and uses it."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# Of those who change bovw.
OURS = {"docs", "bench", "dev", "package"}


def test_the_models_are_those_whose_origin_is_told() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    told = re.findall(r"^\| `(models/\S+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", page, re.MULTILINE)
    files = [path for path in (ROOT / "models").glob("*/*") if path.suffix in (".npy", ".json")]
    assert told == [
        (
            path.relative_to(ROOT).as_posix(),
            f"{path.stat().st_size:,}",
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(files)
    ]


def test_the_extra_all_has_every_extra_of_users_and_the_page_names_them() -> None:
    (everything,) = EXTRAS["all"]
    extras = set(EXTRAS) - OURS - {"all"}
    assert set(everything.removeprefix("bovw[").removesuffix("]").split(",")) == extras
    page = (ROOT / "docs" / "packages.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {*extras, "all"}


def test_the_container_has_no_rights_and_only_the_wheel() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().splitlines()
    last = max(number for number, line in enumerate(dockerfile) if line.startswith("FROM "))
    assert "USER 1000" in dockerfile[last:], "the stage that runs is not that of root"
    assert (ROOT / "Dockerfile.dockerignore").read_text().split() == ["*", "!dist/bovw-*.whl"]


def test_the_threat_model_names_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    assert not [name for name in sorted(named) if f"def {name}(" not in tests]
    assert all((ROOT / path).is_file() for path in re.findall(r"`(tests/\S+\.py)`", page))
