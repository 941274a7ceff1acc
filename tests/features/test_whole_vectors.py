"""The vectors of whole pictures: as their definitions say, and of the models that ship alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bovw import FeatureSpec, VocabularyError
from bovw.features import projection
from bovw.features.appearance import thumbnail
from bovw.features.local import extract
from bovw.features.projection import SHAPE_SIZE, VLAD_SIZE, whole_models
from bovw.features.shape import shape
from bovw.features.vlad import vlad, vlad_vector
from bovw.features.vocabulary import shipped_models
from bovw.pictures.reading import picture_from_array
from tests.helpers.pictures import textured


def unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def test_a_vlad_is_what_its_definition_says() -> None:
    picture = picture_from_array(textured(1, 200, 150), 1024)
    descriptors = extract(picture, FeatureSpec()).descriptors
    centres = whole_models().centres
    sums = np.zeros(centres.shape)
    for descriptor in descriptors.astype(np.float64):
        nearest = ((centres - descriptor) ** 2).sum(axis=1).argmin()
        sums[nearest] += descriptor - centres[nearest]
    rooted = np.sign(sums) * np.sqrt(np.abs(sums))
    expected = unit(np.concatenate([unit(row) for row in rooted]))
    assert np.allclose(vlad_vector(descriptors, centres), expected, atol=1e-4)
    short = vlad(descriptors)
    assert short.shape == (VLAD_SIZE,) and np.abs(short).max() == 127
    # the order of the features does not matter
    assert np.abs(vlad(descriptors[::-1]).astype(int) - short).max() <= 1


def test_what_has_nothing_has_zeros() -> None:
    assert not vlad(np.zeros((0, 128), np.float32)).any()
    for blank in (np.zeros((1, 1, 3), np.uint8), np.full((40, 50, 3), 200, np.uint8)):
        row = shape(thumbnail(blank))
        assert row.shape == (SHAPE_SIZE,) and not row.any()


def test_other_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shipped_models("whole", "whole.json")
    assert folder is not None
    shutil.copytree(folder, tmp_path / "whole")
    offset = np.load(tmp_path / "whole" / "shape_offset.npy")
    np.save(tmp_path / "whole" / "shape_offset.npy", offset + np.float16(1))
    monkeypatch.setattr(projection, "shipped_models", lambda *_: tmp_path / "whole")
    with pytest.raises(VocabularyError, match="not the models of this version"):
        whole_models.__wrapped__()
    (tmp_path / "whole" / "vlad_offset.npy").write_bytes(b"none")
    with pytest.raises(VocabularyError, match="cannot be read"):
        whole_models.__wrapped__()
