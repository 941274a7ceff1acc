"""Settings of all tests."""

from __future__ import annotations

import os
from pathlib import Path

# One thread a process: the threads of OpenMP wait for one another on a busy machine, ten times as
# long as they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import pytest
from hypothesis import settings

from bovw import FeatureSpec, Vocabulary, train_vocabulary
from tests.helpers.pictures import textured

cv2.setNumThreads(1)
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten small pictures, 0.png to 9.png, of the seeds 0 to 9. A test that changes files copies
    them.
    """
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{seed}.png" for seed in range(10)]
    for seed, path in enumerate(paths):
        assert cv2.imwrite(str(path), textured(seed, 160, 120))
    return paths


@pytest.fixture(scope="session")
def vocabulary(photos: list[Path]) -> Vocabulary:
    """64 words of RootSIFT, trained on the small pictures, for up to 60 features an image."""
    return train_vocabulary(photos, 64, FeatureSpec("rootsift", 60, 256))[0]
