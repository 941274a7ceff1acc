"""docs/inspection.md: its Python runs in its order, and ends in what the page says."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bovw import errors
from tests.helpers.pictures import crop_query, textured

PAGE = (Path(__file__).parents[1] / "docs" / "inspection.md").read_text()


@pytest.mark.slow
def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, seeds in (("references", (1, 2, 3)), ("strangers", (11, 12, 13, 14))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            assert cv2.imwrite(str(tmp_path / folder / f"{seed}.png"), textured(seed))
    frame, _ = crop_query(textured(2), 60, 40, 300, 240, angle_degrees=10)
    assert cv2.imwrite(str(tmp_path / "frame.png"), frame)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "inspection")
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for block in blocks[:-1]:
        exec(block, names)
    assert names["best"].id == "2" and names["best"].metadata == {"line": 3, "file": "2.png"}
    assert 1e-301 < names["threshold"] <= 0.01 and len(names["strangers"]) == 4
    assert (names["verdict"], names["detail"]) == ("accept", "2")
    assert all(names["judged"](textured(seed))[0] == "reject" for seed in (21, 22))
    dark = names["judged"](np.zeros((480, 640), np.uint8))
    assert dark[0] == "no picture" and "no features" in dark[1]
    exec(blocks[-1], names)
    assert names["verdicts"] == ["accept", "accept", "no picture"]
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", "accept: 2") in said
    assert any(level == "ERROR" and "ImageError: <array>" in text for level, text in said)


def test_the_table_names_errors_that_exist() -> None:
    named = re.findall(r"`(\w+Error)`", PAGE.partition("## What raises what?")[2])
    assert set(named) - {"ValueError"} <= set(errors.__all__) and "IndexClosedError" in named
