"""What a search does, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..errors import ParameterError

__all__ = [
    "SCORINGS",
    "THOROUGH",
    "Scoring",
    "SearchOptions",
    "Thorough",
    "chosen_options",
    "require_rate",
]

Scoring = Literal["hamming", "tfidf"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
Thorough = Literal["never", "unsure", "always"]
THOROUGH: tuple[Thorough, ...] = get_args(Thorough)
# Whole numbers, and the least that each may be.
MOST = {"k": 1_000_000, "verify_top": 100_000, "words_per_feature": 256, "instances": 1_000}
LEAST = {"k": 1, "verify_top": 0, "words_per_feature": 1, "instances": 1}


@dataclass(frozen=True)
class SearchOptions:
    """What a search does.

    Attributes:
        k: how many images to return at most.
        crop: the query is a part of what is sought, so the rest of an image does not count against
            it.
        scoring: "hamming" (Hamming embedding, the default) or "tfidf" (textbook cosine, the
            baseline).
        verify_top: so many of the best candidates are verified geometrically, and never fewer than
            `k`; 0 for none.
        words_per_feature: nearest words per query feature. More finds more and scans more.
        mirror: whether the query is tried mirrored as well.
        instances: an image that shows the query several times gives up to so many matches.
        false_alarms: a match is verified if no more images than this, of an index of this size,
            would agree as well by chance: at most about one wrong yes in 1 / false_alarms queries
            (docs/reliability.md). Verified matches come first.
        thorough: look harder (docs/thorough.md): "unsure" where nothing is verified, "always", or
            "never". Takes seconds where it is done.
        expand: ask again with what the verified images show where the query lies, which finds more
            views of what the query shows (docs/expansion.md). Has no effect with `crop`.
        sisters: whether the best verified images are looked at, to mark those that verify each
            other, and to bring the one first that the query shows (see `Match.likeness`). Reads up
            to 8 pictures.

    Raises:
        ParameterError: a value of another type, or outside its range.

    Example:
        >>> from bovw import SearchOptions
        >>> SearchOptions(crop=True, k=3).verify_top
        100
    """

    k: int = 10
    crop: bool = False
    scoring: Scoring = "hamming"
    verify_top: int = 100
    words_per_feature: int = 4
    mirror: bool = True
    instances: int = 1
    false_alarms: float = 0.01
    thorough: Thorough = "never"
    expand: bool = False
    sisters: bool = False

    def __post_init__(self) -> None:
        for name, known in (("scoring", SCORINGS), ("thorough", THOROUGH)):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                raise ParameterError(
                    f"{name}: {getattr(self, name)!r} is unknown, take one of {', '.join(known)}"
                )
        for name, least in LEAST.items():
            value = getattr(self, name)
            if type(value) is not int:
                raise ParameterError(f"{name}: {value!r} is not a whole number")
            if value < least:
                raise ParameterError(f"{name}: {value} is below {least}")
            if value > MOST[name]:
                raise ParameterError(
                    f"{name}: {value} is above {MOST[name]}: it would take too long, or too much "
                    "memory"
                )
        for name in ("crop", "mirror", "expand", "sisters"):
            if type(getattr(self, name)) is not bool:
                raise ParameterError(f"{name}: {getattr(self, name)!r} is neither True nor False")
        require_rate(self.false_alarms)

    @property
    def depth(self) -> int:
        """How many of the best candidates are verified."""
        return max(self.verify_top, self.k) if self.verify_top else 0


def require_rate(false_alarms: float) -> None:
    """Raise ParameterError unless so many false alarms can be asked for."""
    if type(false_alarms) not in (int, float) or not 0 < false_alarms <= 1:
        raise ParameterError(f"false_alarms: {false_alarms!r} is not above 0 and at most 1")


def chosen_options(
    options: SearchOptions | None, crop: bool | None, k: int | None
) -> SearchOptions:
    """The options of a search, with what was said in place of some of them."""
    if not isinstance(options, SearchOptions | None):
        raise ParameterError(f"options: {type(options).__name__} is not SearchOptions")
    chosen = options or SearchOptions()
    if crop is not None:
        chosen = replace(chosen, crop=crop)
    return chosen if k is None else replace(chosen, k=k)
