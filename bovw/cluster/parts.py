"""The shards of a generation as parts of one collection: for a search, and for what compares images
as wholes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..answers.parts import StoredFeatures
from ..features.local import FeatureSpec
from ..features.vocabulary import Vocabulary
from ..index.columns import Embedding
from ..index.paths import PictureRoot
from ..search.options import SearchOptions
from ..search.query import Clock, Variant
from ..search.ranking import PartAnswer
from ..similarity.mixture import Mixture
from ..similarity.parts import PartMatches
from ..similarity.whole import Whole
from .manifest import ClusterManifest
from .packing import pack

__all__ = ["ShardParts", "ShardWholes"]


class Asking(Protocol):
    """Asks the shards of a generation."""

    def __call__(
        self, manifest: ClusterManifest, method: str, *arguments: Any, every: bool = False
    ) -> tuple[list[Any], str]:
        """See `ClusterIndex._asked`."""


class ShardParts:
    """The shards of one generation as a search sees them (see `answers.parts`).

    Attributes:
        note: that shards are missing, and what share of the images the others hold; else empty.
    """

    def __init__(
        self,
        manifest: ClusterManifest,
        vocabulary: Vocabulary,
        asked: Asking,
        where: Mapping[str, Any] | None,
    ) -> None:
        self.manifest, self.vocabulary, self.asked = manifest, vocabulary, asked
        self.where = None if where is None else dict(where)
        self.note = ""

    @property
    def spec(self) -> FeatureSpec:
        """How the pictures were extracted."""
        return self.manifest.features

    @property
    def image_count(self) -> int:
        """Live images of the whole."""
        return self.manifest.image_count

    def ask(
        self, variants: Sequence[Variant], options: SearchOptions, clock: Clock
    ) -> list[PartAnswer]:
        """What each shard says of a query. Raises ShardMissingError."""
        outlines, pieces = pack(variants, len(self.vocabulary))
        answers, self.note = self.asked(
            self.manifest, "answer", options, self.where, outlines, *pieces
        )
        clock.lap("shards")
        return answers

    def features_of(self, ids: Sequence[str]) -> dict[str, StoredFeatures]:
        """The features of some images, by their ids."""
        found: dict[str, StoredFeatures] = {}
        for each in self.asked(self.manifest, "features_of", list(ids), every=True)[0]:
            found.update(each)
        return found


class ShardWholes:
    """The shards of one generation as parts of a collection (see `similarity.parts.Wholes`).

    Attributes:
        note: that shards are missing, and what share of the images the others hold; else empty.
    """

    # a cluster is built without networks
    embeddings: Sequence[Embedding] = ()

    def __init__(
        self, manifest: ClusterManifest, vocabulary: Vocabulary, root: PictureRoot, asked: Asking
    ) -> None:
        self.manifest, self.vocabulary, self.asked = manifest, vocabulary, asked
        self.full_path, self.note = root.opener(), ""

    @property
    def spec(self) -> FeatureSpec:
        """How the pictures were extracted."""
        return self.manifest.features

    @property
    def image_count(self) -> int:
        """Live images of the whole."""
        return self.manifest.image_count

    @property
    def columns(self) -> frozenset[str]:
        """The columns that some image of some shard has. Raises ShardMissingError."""
        found, _ = self.asked(self.manifest, "columns")
        return frozenset().union(*found)

    def image(self, name: str, weights: Mixture) -> Whole | None:
        """What is known of an image. Raises ShardMissingError."""
        found, _ = self.asked(self.manifest, "whole", name, weights, every=True)
        return next((each for each in found if each is not None), None)

    def compare(
        self, whole: Whole, weights: Mixture, k: int, where: Mapping[str, Any] | None
    ) -> list[PartMatches]:
        """What each shard says of a query. Raises ShardMissingError."""
        asked_for = None if where is None else dict(where)
        found, self.note = self.asked(self.manifest, "compare", whole, weights, k, asked_for)
        return found
