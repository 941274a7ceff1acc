"""The documentation is true: each example runs, and the pages of library and command are made
anew.
"""

from __future__ import annotations

import doctest
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bovw
from bovw import ImageIndex

HERE = Path(__file__).parents[1]
PHOTOS = sorted((HERE / "data" / "photos").iterdir())[2:8]
NAMES = [name for name in bovw.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the examples run: six photographs, an index of them, a query."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "photos").mkdir()
    for photo in PHOTOS:
        shutil.copy(photo, folder / "photos")
    shutil.copy(HERE / "data" / "query.jpg", folder)
    with ImageIndex.create(folder / "photos.bovw") as index:
        assert index.add(folder / "photos").added == 6
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name: str) -> None:
    thing = getattr(bovw, name)
    source = inspect.getdoc(thing) or ""
    example = doctest.DocTestParser().get_doctest(source, {}, name, None, 0)
    assert example.examples, f"{name} shows no example"
    told: list[str] = []
    result = doctest.DocTestRunner().run(example, out=told.append)
    assert not result.failed, "".join(told)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["make-api", "make-man"])
def test_the_page_is_what_the_docstrings_and_the_help_say(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "scripts" / script), "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
