"""What two images have in common, and what that makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bovw.pairs.evidence import Evidence, verdict
from bovw.pairs.overlay import Resemblance

COPY: dict[str, Any] = {
    "inliers": 30,
    "share": 0.5,
    "log_chance": -70.0,
    "drift": 0.1,
    "bits": 64,
    "alike": Resemblance(0.98, 0.99, 3.0),
}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "duplicate"),
        ({"alike": Resemblance(0.4, 0.99, 40.0)}, "duplicate"),  # something lies on top
        ({"share": 0.1}, "near"),
        ({"share": 0.1, "alike": Resemblance(0.999, 0.999, 3.0)}, "duplicate"),  # blurred
        ({"inliers": 5}, "near"),
        ({"drift": 1.0}, "near"),  # another photograph
        ({"log_chance": 0.0}, ""),  # chance
        ({"log_chance": -4.0}, "duplicate"),
        ({"inliers": 0, "log_chance": 0.0, "bits": 2}, "duplicate"),
        ({"inliers": 0, "log_chance": 0.0, "bits": 8}, ""),
    ],
)
def test_what_is_a_duplicate(known: dict[str, Any], said: str) -> None:
    evidence = Evidence(first=1, second=0, matrix=np.eye(3), **{**COPY, **known})
    assert verdict(evidence, 1000) == said
