"""Drawings: what is long is drawn large, nothing is drawn across the other picture, and words say
what the colours say.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bovw import Match, draw_match
from bovw.search.drawing import HEIGHT, MARGIN, OUTLINE, WIDTH, laid_out
from tests.helpers.pictures import textured

sides = st.integers(1, 20_000)
sizes = st.tuples(sides, sides)


@given(one=sizes, other=sizes)
def test_two_pictures_fit_and_do_not_overlap(one: tuple[int, int], other: tuple[int, int]) -> None:
    layout = laid_out(one, other)
    height, width = layout.shape
    # a picture that would be thinner than a pixel is one pixel thick
    assert width <= WIDTH + 2 and height <= HEIGHT + 2
    ends = [
        np.maximum(1, np.rint(np.array(size) * scale)) + origin
        for size, scale, origin in zip((one, other), layout.scales, layout.origins, strict=True)
    ]
    assert all((end <= np.array([width, height]) - MARGIN).all() for end in ends)
    assert all(min(origin) >= MARGIN for origin in layout.origins)
    # the part of the second, with its margin, begins where the first has ended
    assert any(ends[0][axis] <= layout.half[axis] for axis in (0, 1))
    assert (np.array(layout.half) <= layout.origins[1]).all()


@pytest.mark.parametrize(
    ("query", "image", "above"),
    [
        ((800, 600), (1024, 768), False),
        ((600, 800), (1024, 768), False),
        ((4000, 300), (1024, 768), True),
        ((4000, 300), (5000, 400), True),
        ((300, 4000), (1024, 768), False),
        ((300, 4000), (400, 5000), False),
    ],
)
def test_what_is_long_is_drawn_as_large_as_there_is_room(
    query: tuple[int, int], image: tuple[int, int], above: bool
) -> None:
    layout = laid_out(query, image)
    assert (layout.half[1] > 0) == above
    # none is a ribbon: it has about half of the room or more in one direction
    for size, scale in zip((query, image), layout.scales, strict=True):
        assert size[0] * scale > 0.45 * WIDTH or size[1] * scale > 0.9 * (HEIGHT - 2 * MARGIN)


def test_an_outline_is_drawn_in_its_own_picture_alone() -> None:
    query, image = textured(1, 600, 60), textured(2, 320, 240)
    outline = np.array([[-500.0, -900.0], [100.0, -900.0], [100.0, 100.0], [-500.0, 100.0]])
    match = Match("i", 1.0, inliers=9, verified=True, outline=outline, rotation=0.0, scale=1.0)
    drawing = draw_match(query, image, match)
    layout = laid_out((600, 60), (320, 240))
    green = (drawing == OUTLINE).all(axis=2)
    assert green[layout.half[1] :].any() and not green[: layout.half[1]].any()
    plain = draw_match(query, image, Match("i", 1.0, inliers=9))
    # the words below differ
    assert (drawing[layout.shape[0] :] != plain[layout.shape[0] :]).any()
