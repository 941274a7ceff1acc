"""Groups are stars around what is kept."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bovw.duplicates.groups import stars

Pairs = set[tuple[int, int]]


@given(
    st.permutations(range(9)),
    st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14),
    st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14),
)
def test_every_member_agrees_with_the_best_of_its_group(
    nodes: list[int], known: Pairs, hidden: Pairs
) -> None:
    """Known pairs connect; whether others agree is asked."""
    known, hidden = (
        {(one, other) for one, other in each if one != other} for each in (known, hidden)
    )

    def agrees(one: int, other: int) -> bool:
        return bool({(one, other), (other, one)} & (known | hidden))

    def agree(kept: int, others: Sequence[int]) -> list[bool]:
        return [agrees(kept, other) for other in others]

    found = stars(nodes, known, agree)
    placed = [node for star in found for node in (star.kept, *star.members)]
    assert sorted(placed) == sorted({node for pair in known for node in pair})
    for star in found:
        assert all(agrees(star.kept, member) for member in star.members)
        assert star.kept == min((star.kept, *star.members), key=nodes.index)
    for one, other in known:
        components = {star.component for star in found if {one, other} & {star.kept, *star.members}}
        assert len(components) == 1


def test_a_chain_is_no_group() -> None:
    """0 agrees with 1, 1 with 2, 2 with 3: only what agrees with the best, 1, is with it."""
    found = stars([1, 3, 0, 2], [(0, 1), (1, 2), (2, 3)], lambda _, others: [False] * len(others))
    assert [(star.kept, star.members, star.component) for star in found] == [
        (1, [0, 2], 1),
        (3, [], 1),
    ]


def test_what_is_connected_by_others_is_asked_once() -> None:
    asked = list[tuple[int, list[int]]]()

    def agree(kept: int, others: Sequence[int]) -> list[bool]:
        asked.append((kept, list(others)))
        return [True] * len(others)

    (star,) = stars([0, 1, 2], [(0, 1), (1, 2)], agree)
    assert (star.members, asked) == ([1, 2], [(0, [2])])
