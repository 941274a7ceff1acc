"""The answer page of `bovw serve`, as a browser shows it."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from .collection import DATA, QUERY
from .sheet import WIDTH, Sheet, fitted

__all__ = ["answer_page", "browser"]

# Pixels of the window; the figure is a little smaller.
ACROSS, DOWN = 1120, 800


def browser() -> str | None:
    """The program that shows pages; None if it or what drives it is missing."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    return shutil.which("chromium")


def answer_page() -> Sheet:
    """The page with the answer to the query of the README's first search."""
    from playwright.sync_api import sync_playwright

    with served() as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": ACROSS, "height": DOWN}, color_scheme="light")
        for _ in range(2):  # the first answer tells how long a process takes to begin
            page.goto(url)
            page.set_input_files("#file", QUERY)
            page.wait_for_selector(".card.verified")
        page.wait_for_load_state("networkidle")
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(500)
        shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        chromium.close()
    sheet = Sheet(WIDTH, round(WIDTH * DOWN / ACROSS))
    sheet.picture(0, 0, fitted(np.asarray(shown)[..., ::-1], WIDTH, DOWN))
    return sheet


@contextmanager
def served() -> Iterator[str]:
    """A server of the photographs; the address of its page."""
    command = [sys.executable, "-m", "bovw"]
    with TemporaryDirectory() as folder:
        # indexed where they are not: the page shows their names, not where this runs
        shutil.copytree(DATA / "photos", Path(folder) / "photos")
        subprocess.run([*command, "index", "photos"], cwd=folder, check=True, stdout=sys.stderr)
        options = ["--port", "0", "--cache", folder]
        with subprocess.Popen(
            [*command, "serve", *options], cwd=folder, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout
            try:
                yield server.stdout.readline().strip()
            finally:
                server.terminate()
