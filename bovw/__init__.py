"""Find the picture that a crop, a detail or a distorted copy came from: classical image search with
visual words.

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
    from .errors import BovwError, ImageError
    from .evaluation.run import evaluate
    from .evaluation.scores import Evaluation, SetScores
    from .evaluation.synthetic import make_synthetic_queries
    from .evaluation.truth import GroundTruth, Query, read_queries
    from .features.local import FeatureSpec
    from .features.training import TrainingReport, train_vocabulary
    from .features.vocabulary import Vocabulary
    from .geometry.difference import Difference
    from .image_index import ImageIndex
    from .index.check import CheckReport, Damage, check_index
    from .index.update import AddReport, RemoveReport
    from .pictures.reading import Limits
    from .search.comparison import Comparison, compare_pictures
    from .search.drawing import draw_comparison, draw_match
    from .search.match import Match
    from .search.options import SearchOptions
    from .search.result import SearchResult
    from .searcher import IndexInfo

__all__ = [
    "AddReport",
    "BovwError",
    "CheckReport",
    "Comparison",
    "Damage",
    "Difference",
    "Evaluation",
    "FeatureSpec",
    "GroundTruth",
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
    "Vocabulary",
    "__version__",
    "check_index",
    "compare_pictures",
    "draw_comparison",
    "draw_match",
    "evaluate",
    "make_synthetic_queries",
    "read_queries",
    "train_vocabulary",
]

HOMES = {
    "index.check": ("CheckReport", "Damage", "check_index"),
    "geometry.difference": ("Difference",),
    "errors": ("BovwError", "ImageError"),
    "evaluation.run": ("evaluate",),
    "features.local": ("FeatureSpec",),
    "pictures.reading": ("Limits",),
    "image_index": ("ImageIndex",),
    "searcher": ("IndexInfo",),
    "search.match": ("Match",),
    "search.comparison": ("Comparison", "compare_pictures"),
    "evaluation.synthetic": ("make_synthetic_queries",),
    "search.drawing": ("draw_comparison", "draw_match"),
    "search.result": ("SearchResult",),
    "evaluation.scores": ("Evaluation", "SetScores"),
    "search.options": ("SearchOptions",),
    "features.training": ("TrainingReport", "train_vocabulary"),
    "evaluation.truth": ("Query", "GroundTruth", "read_queries"),
    "index.update": ("AddReport", "RemoveReport"),
    "features.vocabulary": ("Vocabulary",),
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
