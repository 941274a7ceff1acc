"""By what pictures are compared as a whole: one measure, or several with weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import ParameterError

__all__ = ["FUSED", "MEASURES", "Mixture", "mixture_of"]

# What each weighs, by its name; the weights are above 0.
Mixture = dict[str, float]
# What is kept of every picture, and `words`, of which it has any number.
MEASURES = ("vlad", "colour", "shape", "hash", "words")
FUSED: Mixture = {"vlad": 1.0, "colour": 0.1, "shape": 0.15}


def mixture_of(by: str | Mapping[str, float], others: tuple[str, ...] = ()) -> Mixture:
    """What a text such as "vlad" or "vlad=1,colour=.6", or a mapping, says: the weight of each
    measure. "fused" is FUSED.

    Args:
        others: names of further measures, of an index.

    Raises:
        ParameterError: it names no measure, or one twice, or a weight is not a number above 0.
    """
    if by == "fused":
        return dict(FUSED)
    if isinstance(by, str):
        parts = [part.partition("=") for part in by.split(",")]
        names = [name.strip() for name, _, _ in parts]
        weights: list[object] = [weight if equals else 1.0 for _, equals, weight in parts]
    elif isinstance(by, Mapping):
        names, weights = list(by), list(by.values())
    else:
        raise ParameterError(f"by: {by!r:.60} is neither a text nor a mapping")
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"by: {by!r:.60} names nothing, or the same twice")
    for name in names:
        if name not in MEASURES + others:
            known = ", ".join(("fused", *MEASURES, *others))
            raise ParameterError(f"by: {name!r:.60} is unknown, take one of {known}")
    return {name: weight_of(name, weight) for name, weight in zip(names, weights, strict=True)}


def weight_of(name: str, weight: object) -> float:
    """A weight as a number. Raises ParameterError."""
    try:
        number = float(weight)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ParameterError(f"by: the weight of {name}, {weight!r:.60}, is not a number above 0")
    return number
