"""The figures of the documentation are what `scripts/make-figures` makes of data/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parents[1]
FIGURES = HERE / "docs" / "figures"
# A browser says how long it took, and a map may lie in another way on another machine.
MADE_ANEW = {"page", "map"}
SAME = {"match", "compare", "duplicates", "features", "words", "votes", "signatures", "certainty"}
# Libraries of other versions draw and compress in other ways: this share of the pixels may differ.
DIFFERENT, LEVELS = 0.03, 40
MOST_BYTES = 250_000


def pixels_of(figure: Path) -> NDArray[np.int64]:
    """A figure as numbers: (h, w, 3)."""
    with Image.open(figure) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.int64)


@pytest.mark.slow
def test_the_figures_are_made_by_the_command(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "scripts" / "make-figures"), str(tmp_path), *SAME]
    subprocess.run(command, check=True)
    assert {path.stem for path in tmp_path.iterdir()} == SAME
    for made in sorted(tmp_path.iterdir()):
        kept = FIGURES / made.name
        if made.read_bytes() != kept.read_bytes():
            one, other = pixels_of(made), pixels_of(kept)
            assert one.shape == other.shape, made.name
            assert (np.abs(one - other).max(axis=2) > LEVELS).mean() < DIFFERENT, made.name


def test_all_figures_are_there_and_small() -> None:
    sizes = {path.stem: path.stat().st_size for path in FIGURES.glob("*.png")}
    assert set(sizes) == SAME | MADE_ANEW
    assert max(sizes.values()) < MOST_BYTES
    assert all(pixels_of(FIGURES / f"{name}.png").shape[1] <= 900 for name in sizes)
