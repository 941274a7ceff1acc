"""Find the picture that a crop, a detail or a distorted copy came from: classical image search with visual words.

    from bovw import ImageIndex, SearchOptions

    with ImageIndex.create("photos.bovw") as index:
        index.add(["photos"])
        result = index.search("crop.jpg", SearchOptions(crop=True))

Names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .check import CheckReport, Damage, check_index
    from .difference import Difference
    from .errors import BovwError, ImageError
    from .evaluation import Evaluation, evaluate
    from .features import FeatureSpec
    from .images import Limits
    from .index import ImageIndex, IndexInfo
    from .match import Match
    from .pair import Comparison, compare_pictures
    from .probes import make_probes
    from .render import draw_comparison, draw_match
    from .result import SearchResult
    from .scores import SetScores, set_scores
    from .search import SearchOptions
    from .training import TrainingReport, train_vocabulary
    from .truth import Query, Truth, read_queries
    from .update import AddReport, RemoveReport
    from .vocabulary import Vocabulary, shipped_vocabulary

__all__ = [
    "AddReport",
    "BovwError",
    "CheckReport",
    "Comparison",
    "Damage",
    "Difference",
    "Evaluation",
    "FeatureSpec",
    "ImageError",
    "ImageIndex",
    "IndexInfo",
    "Limits",
    "Match",
    "Query",
    "RemoveReport",
    "SearchOptions",
    "SearchResult",
    "SetScores",
    "TrainingReport",
    "Truth",
    "Vocabulary",
    "__version__",
    "check_index",
    "compare_pictures",
    "draw_comparison",
    "draw_match",
    "evaluate",
    "make_probes",
    "read_queries",
    "set_scores",
    "shipped_vocabulary",
    "train_vocabulary",
]

HOMES = {
    "check": ("CheckReport", "Damage", "check_index"),
    "difference": ("Difference",),
    "errors": ("BovwError", "ImageError"),
    "evaluation": ("Evaluation", "evaluate"),
    "features": ("FeatureSpec",),
    "images": ("Limits",),
    "index": ("ImageIndex", "IndexInfo"),
    "match": ("Match",),
    "pair": ("Comparison", "compare_pictures"),
    "probes": ("make_probes",),
    "render": ("draw_comparison", "draw_match"),
    "result": ("SearchResult",),
    "scores": ("SetScores", "set_scores"),
    "search": ("SearchOptions",),
    "training": ("TrainingReport", "train_vocabulary"),
    "truth": ("Query", "Truth", "read_queries"),
    "update": ("AddReport", "RemoveReport"),
    "vocabulary": ("Vocabulary", "shipped_vocabulary"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
