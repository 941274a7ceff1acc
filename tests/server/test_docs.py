"""The examples of docs/serve.md run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_command import running

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()


@pytest.fixture(scope="module")
def url(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache = str(tmp_path_factory.mktemp("cache"))
    command = ["-m", "bovw", "serve", "--index", "photos.bovw", "--port", "0", "--jobs", "1"]
    with running([*command, "--cache", cache], collection) as (_, url):
        yield url


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("python", [sys.executable, "-c"]),
        ("sh", ["sh", "-ec"]),
        ("javascript", ["node", "--input-type=module", "-e"]),
    ],
)
def test_an_example_runs(
    url: str, collection: Path, tmp_path: Path, language: str, command: list[str]
) -> None:
    needed = "curl" if language == "sh" else command[0]
    if not shutil.which(needed):
        pytest.skip(f"{needed} is not installed")
    shutil.copy(collection / "crop.png", tmp_path / "query.jpg")
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace("http://127.0.0.1:8717/", url)
    done = subprocess.run([*command, code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "photos/large.png" in done.stdout
