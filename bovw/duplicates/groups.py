"""Groups of images that agree with one that is kept: stars, no chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Star", "stars"]


@dataclass(frozen=True)
class Star:
    """Nodes that each agree with the first of them.

    Attributes:
        kept: the node that is kept.
        members: the others, in order.
        component: its number; stars of one component are connected by a chain of agreements.
    """

    kept: int
    members: list[int] = field(default_factory=list)
    component: int = 0


def stars(
    nodes: Sequence[int],
    edges: Iterable[tuple[int, int]],
    agree: Callable[[int, Sequence[int]], Sequence[bool]],
) -> list[Star]:
    """Divide nodes, given best first, into stars: of those connected the best is kept, and whatever
    agrees with it is its member; then the best of the rest, and so on. A node that is left alone
    gives a star without members if it is connected to others.

    Args:
        edges: pairs that agree.
        agree: whether a node agrees with each of some others, of which that is not known.
    """
    neighbours = dict[int, set[int]]()
    for one, other in edges:
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    found, done = list[Star](), set[int]()
    component = 0
    rank = {node: place for place, node in enumerate(nodes)}
    for node in nodes:
        if node in done or node not in neighbours:
            continue
        rest = sorted(connected(node, neighbours), key=lambda each: rank[each])
        done.update(rest)
        component += 1
        while rest:
            kept, *others = rest
            close = neighbours[kept]
            unknown = [each for each in others if each not in close]
            answers = agree(kept, unknown) if unknown else []
            close = close | {each for each, yes in zip(unknown, answers, strict=True) if yes}
            found.append(Star(kept, [each for each in others if each in close], component))
            rest = [each for each in others if each not in close]
    return found


def connected(start: int, neighbours: dict[int, set[int]]) -> set[int]:
    """All nodes that a chain leads to from one."""
    found, waiting = {start}, [start]
    while waiting:
        new = neighbours[waiting.pop()] - found
        found |= new
        waiting += new
    return found
